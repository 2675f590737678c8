-- Users and roles in ClickHouse with the least privileges, for the database `scorestream` (SCORESTREAM_CLICKHOUSE_DATABASE).
-- Run on every shard (or add ON CLUSTER) by an administrator with access management; running it again changes nothing.
-- The users cannot log in before somebody gives them a password and a host:
--     ALTER USER scorestream_writer IDENTIFIED WITH sha256_password BY '...' HOST ANY;   -- and so for the three others
-- tests/integration/clickhouse/test_grants.py records what each command sends, and holds it against this file.

-- The worker, verify, reindex, purge, replay, backfill, monitor: insert rows and delete markers, read what stands. They
-- never alter or drop.
CREATE ROLE IF NOT EXISTS scorestream_writer_role;
GRANT SELECT, INSERT ON scorestream.* TO scorestream_writer_role;
-- Number and size of the tables' parts, for monitoring; system.tables and system.columns need no grant.
GRANT SELECT ON system.parts TO scorestream_writer_role;
-- A worker that ends finds its own long queries here, and ends them (KILL QUERY needs no grant for those).
GRANT SELECT ON system.processes TO scorestream_writer_role;
-- `scorestream doctor`: broken parts, and replicas that are late or read-only.
GRANT SELECT ON system.detached_parts TO scorestream_writer_role;
GRANT SELECT ON system.replicas TO scorestream_writer_role;
-- A row policy that hides rows from the writer leaves appeals visible. Without this grant nobody notices one.
GRANT SHOW ROW POLICIES ON *.* TO scorestream_writer_role;

-- `scorestream schema apply`. CLUSTER is for SCORESTREAM_CLICKHOUSE_CLUSTER.
CREATE ROLE IF NOT EXISTS scorestream_owner_role;
GRANT scorestream_writer_role TO scorestream_owner_role;
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE, ALTER VIEW, DROP TABLE, DROP VIEW, TRUNCATE ON scorestream.* TO scorestream_owner_role;
GRANT TABLE ENGINE ON ReplacingMergeTree TO scorestream_owner_role;
GRANT TABLE ENGINE ON ReplicatedReplacingMergeTree TO scorestream_owner_role;
GRANT CLUSTER ON *.* TO scorestream_owner_role;

-- `scorestream replay start --into scorestream_green`, `cutover`, `cutover --drop-old`. A shadow's name begins with that of the
-- live database: `scorestream*.*` stands for both. Before ClickHouse 24.10 name each database instead.
CREATE ROLE IF NOT EXISTS scorestream_operator_role;
GRANT scorestream_writer_role TO scorestream_operator_role;
GRANT SELECT, INSERT, CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER SETTINGS, ALTER MODIFY COMMENT, DROP DATABASE, DROP TABLE, DROP VIEW ON scorestream*.* TO scorestream_operator_role;
GRANT TABLE ENGINE ON ReplacingMergeTree TO scorestream_operator_role;
GRANT TABLE ENGINE ON ReplicatedReplacingMergeTree TO scorestream_operator_role;
GRANT CLUSTER ON *.* TO scorestream_operator_role;

-- Analysts and dashboards: the views, and the tables below them (a view runs with its reader's rights).
CREATE ROLE IF NOT EXISTS scorestream_reader_role;
GRANT SELECT ON scorestream.* TO scorestream_reader_role;

CREATE USER IF NOT EXISTS scorestream_writer HOST NONE DEFAULT ROLE scorestream_writer_role;
CREATE USER IF NOT EXISTS scorestream_owner HOST NONE DEFAULT ROLE scorestream_owner_role;
CREATE USER IF NOT EXISTS scorestream_operator HOST NONE DEFAULT ROLE scorestream_operator_role;
CREATE USER IF NOT EXISTS scorestream_reader HOST NONE DEFAULT ROLE scorestream_reader_role SETTINGS readonly = 2;
GRANT scorestream_writer_role TO scorestream_writer;
GRANT scorestream_owner_role TO scorestream_owner;
GRANT scorestream_operator_role TO scorestream_operator;
GRANT scorestream_reader_role TO scorestream_reader;
