"""ClickHouse's engine (chdb) behind ClickHouse's HTTP protocol: one process for each shard.

    socket ── http.py ── server.py ──┬── bodies.py       compressed bodies in and out
                                     ├── statements.py   what kind of statement, where an INSERT's data begin
                                     ├── failures.py     faults on demand, for drills
                                     └── engine.py       handles, sessions, settings; the only file that calls chdb

The real server has more: ON CLUSTER, users and grants made by SQL, system.query_log, and the native TCP port. Without
that port `remote()` and Distributed tables don't work here. HTTP's Content-Encoding works, and ClickHouse's own framing
(`compress=1` and `decompress=1`) does not.
"""
