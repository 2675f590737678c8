"""The demo: three customers' data, live changes, and how soon and how exactly ClickHouse shows them.

`python -m demo` runs it on the local stack (devstack/). It knows the pipeline only from outside: it writes Postgres,
reads ClickHouse, and starts `scorestream` commands.
"""
