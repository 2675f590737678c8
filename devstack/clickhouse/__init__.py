"""ClickHouse's engine (chdb) behind ClickHouse's HTTP protocol: one process for each shard.

```
socket ── http.py ── server.py ──┬── bodies.py       compressed bodies in and out
                                 ├── statements.py   what kind of statement, where an INSERT's data begin
                                 ├── failures.py     faults on demand, for drills
                                 └── engine.py       handles, sessions, settings; the only file that calls chdb
```
What the real server has and this has not: the native TCP port (so `remote()` and Distributed tables don't work), ON
CLUSTER, users and grants made by SQL (the engine refuses CREATE USER), `compress=1` and `decompress=1` (ClickHouse's
own framing; HTTP's Content-Encoding works), system.query_log.
"""
