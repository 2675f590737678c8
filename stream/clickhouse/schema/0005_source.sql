-- Which Postgres cluster the rows come from, and how far its WAL was when a worker last looked. One row remains for each
-- cluster and timeline after merges. A worker that finds another cluster, or a WAL that is not that far, would write
-- versions that lose against the rows that stand; it refuses to start (stream/live/source_check.py).
CREATE TABLE IF NOT EXISTS `{database}`.`source`{on_cluster} (
    `epoch`             UInt16,                                 -- of versions, stream/epochs.py
    `system_identifier` UInt64,                                 -- Postgres' own; 0 where the role may not see it
    `timeline`          UInt32,                                 -- one higher after each promotion; 0 on a standby
    `lsn`               UInt64,                                 -- flushed
    `at`                DateTime64(3, 'UTC') DEFAULT now64(3)   -- by this shard's clock; never inserted
)
ENGINE = {replicated}ReplacingMergeTree(lsn)
ORDER BY (epoch, system_identifier, timeline)
SETTINGS non_replicated_deduplication_window = 0, replicated_deduplication_window = 0;
