"""ClickHouse's side: clients by shard, grouped inserts, the meaning of its errors, the DDL in schema/.

Enters: rows that are split by shard already, queries. Leaves: acknowledged rows, answers, errors by their remedy. It
never decides where a row belongs, and never drops a row or a table.
"""
