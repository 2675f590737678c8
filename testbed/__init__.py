"""What drills, benchmarks, the demo and tests share on a real stack: worlds, an oracle, a workload, replays.

The environment of a running stack enters; a universe that can be removed leaves, and lines that say how ClickHouse
differs from Postgres. The oracle shares no code with the product, and nothing here is imported by `stream/` or from
`tests/`.
"""
