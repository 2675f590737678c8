-- The canary: the row that the connector updates in Postgres every few seconds (app.scorestream_heartbeat), come the whole
-- way. The latest row of each id remains after merges, also when a restored database counts its beats from 1 again.
-- `stored_at - at` is how long the way took, and a beat that is in Postgres and not here is late. Every shard gets every
-- beat.
CREATE TABLE IF NOT EXISTS `{database}`.`heartbeat`{on_cluster} (
    `id`        Int16,
    `beat`      Int64,
    `at`        DateTime64(6, 'UTC'),                           -- when Postgres began the transaction
    `stored_at` DateTime64(3, 'UTC') DEFAULT now64(3)           -- by this shard's clock; never inserted
)
ENGINE = {replicated}ReplacingMergeTree(at)
ORDER BY id
SETTINGS non_replicated_deduplication_window = 0, replicated_deduplication_window = 0;
