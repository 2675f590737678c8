-- One row for each state of a score. The keys and settings are as in 0001_scorecard.sql, for the same reasons.
CREATE TABLE IF NOT EXISTS `{database}`.`score`{on_cluster} (
    `customer_id`    LowCardinality(String),
    `scorecard_id`   UUID,
    `event_time`     DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),               -- its scorecard's
    `is_process`     Bool,
    `score_id`       UUID,
    `criterion_id`   UUID CODEC(ZSTD(1)),
    `numeric_value`  Nullable(Float64) CODEC(ZSTD(1)),
    `ai_value`       Nullable(Float64) CODEC(ZSTD(1)),
    `not_applicable` Bool,
    `comment`        Nullable(String) CODEC(ZSTD(3)),
    `updated_at`     DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `_version`       UInt128 CODEC(ZSTD(1)),                                      -- stream/pipeline/ordering.py
    `_deleted`       UInt8 DEFAULT 0,
    `_indexed_at`    DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1))  -- when this state was stored; never inserted
)
ENGINE = {replicated}ReplacingMergeTree(_version, _deleted)
PARTITION BY toYYYYMM(event_time)
PRIMARY KEY (customer_id, scorecard_id)
ORDER BY (customer_id, scorecard_id, score_id, event_time)
SETTINGS non_replicated_deduplication_window = 0, replicated_deduplication_window = 0,
    index_granularity = 1024, min_parts_to_merge_at_once = 16, merge_selector_base = 20;
