"""Is ClickHouse what Postgres says, and if not, why: cells, rows, appeals, one scorecard; and the repair.

Enters: a scope. Leaves: findings with reasons, and with `--repair` reindexed scorecards. It never trusts a count where
it can compare content, and it never says "clean" of what it could not look at.
"""
