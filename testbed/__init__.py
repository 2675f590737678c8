"""What drills, benchmarks, the demo and tests share on a real stack: worlds, an oracle, a workload, replays.

Enters: the environment of a running stack. Leaves: a universe that can be removed, and lines that say how ClickHouse
differs from Postgres. The oracle shares no code with the product. Neither `stream/` imports this package, nor does it
import from `tests/`.
"""
