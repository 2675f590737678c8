-- What the connector and the worker need from the source database. Run it after the tables exist: as a superuser, or as
-- the owner of the tables and their schema with CREATE on the database, CREATEROLE and, from Postgres 16 on, REPLICATION.
-- Before 16 only a superuser gives REPLICATION: create scorestream_cdc with it first; this file leaves it as it is.
-- On RDS and Aurora the owner needs ADMIN OPTION of rds_replication instead, which the master user has.
-- Running it again as the same role changes nothing but the horizon, which the connector fills again.
-- Passwords are not here. Whoever runs this sets them afterwards:
--     ALTER ROLE scorestream_cdc PASSWORD '...';  ALTER ROLE scorestream_reader PASSWORD '...';
-- The names `app` and `scorestream` are the defaults of SCORESTREAM_POSTGRES_SOURCE_SCHEMA and
-- SCORESTREAM_POSTGRES_PUBLICATION; replace them here where the settings differ.
SET lock_timeout = '10s';  -- ALTER TABLE below waits behind long transactions; better to fail than to queue everybody up
SET client_min_messages = warning;

-- Signals: the connector takes orders (incremental snapshots) from rows of this table, and writes its watermarks to it.
CREATE TABLE IF NOT EXISTS app.scorestream_signal (
    id   varchar(64) PRIMARY KEY,   -- made up by the sender; notifications carry it back
    type varchar(64) NOT NULL,      -- execute-snapshot, stop-snapshot, ...
    data text                       -- JSON
);

-- One row that the connector updates every second: while the captured tables are quiet the slot still advances
-- (otherwise WAL piles up), and a beat that arrives in Kafka proves that the whole way from commit to topic works.
CREATE TABLE IF NOT EXISTS app.scorestream_heartbeat (
    id   smallint PRIMARY KEY CHECK (id = 1),
    beat bigint NOT NULL DEFAULT 1,
    at   timestamptz NOT NULL DEFAULT now()
);

-- The horizon of every second of the last day, by the connector as well: which transactions had ended then, and which had
-- not begun. So a worker that was away knows which rows were written after a conversation and need no reindex for it.
-- Ids of transactions mean nothing in another cluster, so copied rows are deleted here.
CREATE TABLE IF NOT EXISTS app.scorestream_horizon (
    second integer PRIMARY KEY DEFAULT extract(epoch FROM now())::bigint % 86400,
    ended  bigint NOT NULL DEFAULT pg_snapshot_xmin(pg_current_snapshot())::text::bigint,  -- all below this one
    begun  bigint NOT NULL DEFAULT pg_snapshot_xmax(pg_current_snapshot())::text::bigint   -- none from this one on
);
CREATE INDEX IF NOT EXISTS scorestream_horizon_ended ON app.scorestream_horizon (ended, begun);
DELETE FROM app.scorestream_horizon;

-- REPLICA IDENTITY FULL: an update's and a delete's event carry the whole old row. Without it a delete of a score does not
-- say whose it was, a change of place does not say what the place was, and large unchanged texts are missing. Partitions
-- inherit neither this nor the trigger below: run this file again when you have added some.
DO $$
DECLARE
    wanted regclass;
BEGIN
    FOR wanted IN
        WITH listed AS (SELECT unnest(ARRAY['app.chats', 'app.scorecards', 'app.scores']::regclass[]) AS id)
        SELECT id FROM listed UNION SELECT relid FROM listed, pg_partition_tree(id)
    LOOP
        IF (SELECT relreplident FROM pg_class WHERE oid = wanted) <> 'f' THEN
            EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', wanted);
        END IF;
    END LOOP;
END $$;

-- TRUNCATE: its event names no row and has no key, a compacted topic refuses such a message, and the connector would stand
-- still. So it is not published; instead it deletes the rows first, and each delete is an event as any other. That makes
-- it as slow as DELETE. To truncate fast, ALTER TABLE .. DISABLE TRIGGER scorestream_truncate, and `scorestream verify
-- --repair` afterwards.
CREATE OR REPLACE FUNCTION app.scorestream_delete_first() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DELETE FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION app.scorestream_delete_first() FROM PUBLIC;
DO $$
DECLARE
    truncated regclass;
BEGIN
    FOR truncated IN
        WITH listed AS (SELECT unnest(ARRAY['app.chats', 'app.scorecards', 'app.scores']::regclass[]) AS id)
        SELECT id FROM listed UNION SELECT relid FROM listed, pg_partition_tree(id)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = truncated AND tgname = 'scorestream_truncate') THEN
            EXECUTE format('CREATE TRIGGER scorestream_truncate BEFORE TRUNCATE ON %s '
                           'FOR EACH STATEMENT EXECUTE FUNCTION app.scorestream_delete_first()', truncated);
        END IF;
    END LOOP;
END $$;

-- COPY: it writes all rows of a page as one WAL record, and Debezium, which remembers an LSN, leaves out the rest of such a
-- record after a restart amid it. With a row trigger COPY writes one record for each row. The trigger's condition is false,
-- so nothing is ever called. A partitioned table gives it to its partitions.
CREATE OR REPLACE FUNCTION app.scorestream_no_op() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NEW; END';
DO $$
DECLARE
    copied regclass;
BEGIN
    FOREACH copied IN ARRAY ARRAY['app.chats', 'app.scorecards', 'app.scores']::regclass[] LOOP
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = copied AND tgname = 'scorestream_one_by_one') THEN
            EXECUTE format('CREATE TRIGGER scorestream_one_by_one BEFORE INSERT ON %s FOR EACH ROW WHEN (false) '
                           'EXECUTE FUNCTION app.scorestream_no_op()', copied);
        END IF;
    END LOOP;
END $$;

-- publish_via_partition_root: should a table be partitioned one day, its changes keep the name of the table.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'scorestream') THEN
        CREATE PUBLICATION scorestream;
    END IF;
END $$;
ALTER PUBLICATION scorestream SET (publish = 'insert, update, delete', publish_via_partition_root = true);
ALTER PUBLICATION scorestream SET TABLE
    app.chats, app.scorecards, app.scores, app.scorestream_signal, app.scorestream_heartbeat;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'scorestream_cdc') THEN
        CREATE ROLE scorestream_cdc LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'scorestream_reader') THEN
        CREATE ROLE scorestream_reader LOGIN;
    END IF;
    -- Amazon's RDS and Aurora give nobody the attribute; there a role takes its place.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication') THEN
        GRANT rds_replication TO scorestream_cdc;
    ELSIF NOT (SELECT rolreplication FROM pg_roles WHERE rolname = 'scorestream_cdc') THEN
        ALTER ROLE scorestream_cdc REPLICATION;
    END IF;
END $$;

-- The connector: reads the captured tables, writes its own three. A new role has no other attributes; to name them here,
-- NOSUPERUSER for one, takes a superuser.
-- Where a policy would hide rows, a snapshot fails; it must not leave them out without a word.
ALTER ROLE scorestream_cdc SET row_security = off;
GRANT USAGE ON SCHEMA app TO scorestream_cdc;
GRANT SELECT ON app.chats, app.scorecards, app.scores TO scorestream_cdc;
GRANT SELECT, INSERT, UPDATE ON app.scorestream_signal, app.scorestream_heartbeat, app.scorestream_horizon
    TO scorestream_cdc;

-- The worker (and verify, explain, ...): looks up places, changes nothing.
ALTER ROLE scorestream_reader SET default_transaction_read_only = on;
ALTER ROLE scorestream_reader SET row_security = off;
GRANT USAGE ON SCHEMA app TO scorestream_reader;
GRANT SELECT ON app.chats, app.scorecards, app.scores, app.scorecard_templates, app.scorestream_heartbeat,
    app.scorestream_horizon TO scorestream_reader;
