"""The DDL of the shards' tables and views, in numbered files, and what applies it and compares with it.

Enters: a database's name. Leaves: tables, and how a shard's tables differ from them. It drops nothing.
"""
