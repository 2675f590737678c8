"""The DDL of the shards' tables and views, in numbered files, and the code that applies it and compares tables with it.

Enters: a database's name. Leaves: tables, and how a shard's tables differ from them. It drops nothing.
"""
