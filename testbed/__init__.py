"""What drills, benchmarks, the demo and tests share on a real stack.

A world of its own is `universe.py`, a stack with a worker is `rig.py`. `traffic/` has changes at a steady rate.
`visibility/` says how soon readers see them.

Enters: the environment of a running stack. Leaves: a universe that can be removed, and lines that say how ClickHouse
differs from Postgres. The oracle shares no code with the product. Neither `stream/` imports this package, nor does it
import from `tests/` or `demo/`.
"""
