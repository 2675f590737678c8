"""Is ClickHouse what Postgres says, and if not, why: cells, rows, appeals, one scorecard; and the repair.

Enters: a scope. Leaves: findings with reasons, and with `--repair` reindexed scorecards. It never trusts a count where
it can compare content. It never says "clean" about rows that it could not read.
"""
