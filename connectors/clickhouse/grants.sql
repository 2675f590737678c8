-- Users and roles in ClickHouse with the least privileges, for the database `scorestream` (SCORESTREAM_CLICKHOUSE_DATABASE).
-- Run on every shard (or add ON CLUSTER) by an administrator with access management; running it again changes nothing.
-- The users cannot log in before somebody gives them a password and a host:
--     ALTER USER scorestream_writer IDENTIFIED WITH sha256_password BY '...' HOST ANY;   -- and so for the two others

-- The worker, verify, reindex, ...: inserts rows and delete markers, reads what stands. It never alters or drops.
CREATE ROLE IF NOT EXISTS scorestream_writer_role;
GRANT SELECT, INSERT ON scorestream.* TO scorestream_writer_role;
-- Number and size of the tables' parts, for monitoring; system.tables and system.columns need no grant.
GRANT SELECT ON system.parts TO scorestream_writer_role;

-- `scorestream schema apply`.
CREATE ROLE IF NOT EXISTS scorestream_owner_role;
GRANT scorestream_writer_role TO scorestream_owner_role;
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE, ALTER VIEW, DROP TABLE, DROP VIEW, TRUNCATE ON scorestream.* TO scorestream_owner_role;
GRANT TABLE ENGINE ON ReplacingMergeTree TO scorestream_owner_role;
GRANT TABLE ENGINE ON ReplicatedReplacingMergeTree TO scorestream_owner_role;

-- Analysts and dashboards: the views, and the tables below them (a view runs with its reader's rights).
CREATE ROLE IF NOT EXISTS scorestream_reader_role;
GRANT SELECT ON scorestream.* TO scorestream_reader_role;

CREATE USER IF NOT EXISTS scorestream_writer HOST NONE DEFAULT ROLE scorestream_writer_role;
CREATE USER IF NOT EXISTS scorestream_owner HOST NONE DEFAULT ROLE scorestream_owner_role;
CREATE USER IF NOT EXISTS scorestream_reader HOST NONE DEFAULT ROLE scorestream_reader_role SETTINGS readonly = 2;
GRANT scorestream_writer_role TO scorestream_writer;
GRANT scorestream_owner_role TO scorestream_owner;
GRANT scorestream_reader_role TO scorestream_reader;
