-- The source tables, for the demo and the tests (and as the reference of what the indexer expects).
-- A production database has these already; there, only 0002_cdc.sql is applied.
CREATE SCHEMA IF NOT EXISTS app;

CREATE TABLE IF NOT EXISTS app.chats (
    conversation_id text PRIMARY KEY,          -- a UUID; text because scorecards.conversation_id may hold ''
    customer_id     text NOT NULL,
    agent_user_id   uuid,
    started_at      timestamptz,
    ended_at        timestamptz
);

CREATE TABLE IF NOT EXISTS app.scorecard_templates (
    template_id uuid PRIMARY KEY,
    customer_id text NOT NULL,
    title       text NOT NULL,
    type        smallint NOT NULL              -- 1 = auto (of a conversation), 2 = manual (of a process)
);

CREATE TABLE IF NOT EXISTS app.scorecards (
    scorecard_id      uuid PRIMARY KEY,
    customer_id       text NOT NULL,
    template_id       uuid NOT NULL,
    conversation_id   text,                    -- NULL or '' = a process scorecard; no foreign key: chats may arrive later
    agent_user_id     uuid,
    scorecard_type    smallint,                -- NULL or 0 = ordinary; appeals: 1 = original replica, 2 = request, 3 = resolve
    submission_source smallint,                -- 2 = manual (process)
    scorecard_time    timestamptz,
    submitted_at      timestamptz,
    score             double precision,
    comment           text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now()
);
-- A chat that arrives or moves reindexes its scorecards: one index look-up for each batch of chats.
CREATE INDEX IF NOT EXISTS scorecards_conversation_id ON app.scorecards (conversation_id);

CREATE TABLE IF NOT EXISTS app.scores (
    score_id       uuid PRIMARY KEY,
    scorecard_id   uuid NOT NULL REFERENCES app.scorecards ON DELETE CASCADE,
    criterion_id   uuid NOT NULL,
    numeric_value  double precision,
    ai_value       double precision,
    not_applicable boolean NOT NULL DEFAULT false,
    comment        text,
    updated_at     timestamptz NOT NULL DEFAULT now()
);
-- A reindex reads the scores of its scorecards; without this index each one scans the table.
CREATE INDEX IF NOT EXISTS scores_scorecard_id ON app.scores (scorecard_id);
