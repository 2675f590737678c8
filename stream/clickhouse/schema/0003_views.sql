-- What readers query: the present state, without the columns that are the indexer's own.
CREATE OR REPLACE VIEW `{database}`.`scorecard_current`{on_cluster} AS
SELECT
    customer_id, scorecard_id, event_time, is_process, template_id, conversation_id, agent_user_id, submission_source,
    scorecard_time, submitted_at, score, comment, created_at, updated_at
FROM `{database}`.`scorecard` FINAL;

CREATE OR REPLACE VIEW `{database}`.`score_current`{on_cluster} AS
SELECT
    customer_id, scorecard_id, event_time, is_process, score_id, criterion_id, numeric_value, ai_value, not_applicable,
    comment, updated_at
FROM `{database}`.`score` FINAL;
