-- The tables as they were before 0.2: the month in the sort key instead of the event time. For tests of the refusal and of
-- the way out; `{database}` is filled in.
CREATE DATABASE IF NOT EXISTS `{database}`;
CREATE TABLE IF NOT EXISTS `{database}`.`scorecard` (
    `customer_id`       LowCardinality(String),
    `scorecard_id`      UUID,
    `event_time`        DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
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
    `_version`          UInt128 CODEC(ZSTD(1)),
    `_deleted`          UInt8 DEFAULT 0,
    `_indexed_at`       DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(_version, _deleted)
PARTITION BY toYYYYMM(event_time)
PRIMARY KEY (customer_id, scorecard_id)
ORDER BY (customer_id, scorecard_id, toYYYYMM(event_time))
SETTINGS non_replicated_deduplication_window = 0, replicated_deduplication_window = 0,
    index_granularity = 1024, min_parts_to_merge_at_once = 16, merge_selector_base = 20;
CREATE TABLE IF NOT EXISTS `{database}`.`score` (
    `customer_id`    LowCardinality(String),
    `scorecard_id`   UUID,
    `event_time`     DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `is_process`     Bool,
    `score_id`       UUID,
    `criterion_id`   UUID CODEC(ZSTD(1)),
    `numeric_value`  Nullable(Float64) CODEC(ZSTD(1)),
    `ai_value`       Nullable(Float64) CODEC(ZSTD(1)),
    `not_applicable` Bool,
    `comment`        Nullable(String) CODEC(ZSTD(3)),
    `updated_at`     DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `_version`       UInt128 CODEC(ZSTD(1)),
    `_deleted`       UInt8 DEFAULT 0,
    `_indexed_at`    DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(_version, _deleted)
PARTITION BY toYYYYMM(event_time)
PRIMARY KEY (customer_id, scorecard_id)
ORDER BY (customer_id, scorecard_id, score_id, toYYYYMM(event_time))
SETTINGS non_replicated_deduplication_window = 0, replicated_deduplication_window = 0,
    index_granularity = 1024, min_parts_to_merge_at_once = 16, merge_selector_base = 20;
CREATE OR REPLACE VIEW `{database}`.`scorecard_current` AS
SELECT
    customer_id, scorecard_id, event_time, is_process, template_id, conversation_id, agent_user_id, submission_source,
    scorecard_time, submitted_at, score, comment, created_at, updated_at
FROM `{database}`.`scorecard` FINAL;
CREATE OR REPLACE VIEW `{database}`.`score_current` AS
SELECT
    customer_id, scorecard_id, event_time, is_process, score_id, criterion_id, numeric_value, ai_value, not_applicable,
    comment, updated_at
FROM `{database}`.`score` FINAL;
CREATE TABLE IF NOT EXISTS `{database}`.`heartbeat` (
    `id`        Int16,
    `beat`      Int64,
    `at`        DateTime64(6, 'UTC'),
    `stored_at` DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(beat)
ORDER BY id
SETTINGS non_replicated_deduplication_window = 0, replicated_deduplication_window = 0;
