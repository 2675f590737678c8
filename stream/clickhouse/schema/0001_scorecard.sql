-- One row for each state of a scorecard; FINAL shows the newest by _version, unless it is a delete marker (_deleted = 1).
--
-- Why the event time is in the sort key: ClickHouse leaves out parts whose event times lie outside of a reader's window
-- before FINAL looks for the newest state. A row that changed its time under one key would have its old state inside the
-- window and its new state in a part that was left out, so the reader would see the old one; an appeal, too. With the time
-- in the key all states of a row have one time and are read or left out together. A change of time writes a delete marker
-- at the old time and a row at the new one (figures and the other way: docs/decisions/006-time-in-the-sort-key.md).
-- No key is in two ClickHouse partitions, so FINAL need not merge across them.
--
-- Why both deduplication windows are 0: ClickHouse can swallow an inserted block that is identical to an earlier one. A row
-- that was retired and is written again at the same version is such a block, and must stand.
--
-- Why fine granules: every change of place looks up a few scorecards by key in every part. 1,024 rows to read for each
-- instead of 8,192; the primary index of 650 M scores takes some tens of megabytes.
--
-- Why at least 16 parts to a merge, and a base of 20: a live indexer inserts small parts all the time, and merging them five
-- by five, mostly together with the largest, rewrote 360 rows for each one inserted. ClickHouse's selector counts each part
-- as 5 MiB more than it has: with the base of 5, sixteen small parts still took one of 18 MB along in every merge. With 20
-- they are merged with one another until they have become as much as the large one is worth (figures: docs/decisions/008-few-inserts-few-parts.md).
--
-- No forced merges of old months (min_age_to_force_merge_seconds): a late change would rewrite a whole month each time.
CREATE TABLE IF NOT EXISTS `{database}`.`scorecard`{on_cluster} (
    `customer_id`       LowCardinality(String),
    `scorecard_id`      UUID,
    `event_time`        DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),            -- of the conversation, or of the process scorecard
    `is_process`        Bool,
    `template_id`       UUID CODEC(ZSTD(1)),
    `conversation_id`   Nullable(UUID),
    `agent_user_id`     Nullable(UUID) CODEC(ZSTD(1)),
    `submission_source` Nullable(Int16) CODEC(ZSTD(1)),
    `scorecard_time`    Nullable(DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    `submitted_at`      Nullable(DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    `score`             Nullable(Float64) CODEC(ZSTD(1)),
    `comment`           Nullable(String) CODEC(ZSTD(3)),
    `created_at`        DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `updated_at`        DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `_version`          UInt128 CODEC(ZSTD(1)),                                   -- stream/pipeline/ordering.py
    `_deleted`          UInt8 DEFAULT 0,
    `_indexed_at`       DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1))  -- when this state was stored; never inserted
)
ENGINE = {replicated}ReplacingMergeTree(_version, _deleted)
PARTITION BY toYYYYMM(event_time)
PRIMARY KEY (customer_id, scorecard_id)
ORDER BY (customer_id, scorecard_id, event_time)
SETTINGS non_replicated_deduplication_window = 0, replicated_deduplication_window = 0,
    index_granularity = 1024, min_parts_to_merge_at_once = 16, merge_selector_base = 20;
