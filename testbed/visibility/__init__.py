"""How soon and how exactly ClickHouse shows what Postgres has: probes, counts, a comparison of every row.

Enters: both stores, and sampled changes. Leaves: latencies and differences. It writes nothing, and shares no code with
what it judges.
"""
