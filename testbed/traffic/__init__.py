"""Rows of three made-up customers, and live changes of them, as an application commits them.

Enters: a seed, a connection to Postgres, a rate. Leaves: rows and changes in Postgres, and a sample of what a reader
must see. It never reads ClickHouse.
"""
