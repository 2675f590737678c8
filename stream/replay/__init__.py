"""The log again, beside live: planned, started, claimed in lanes, worked on by several processes, slowed down for live.

Enters: where to start, where to end, which scorecards. Leaves: rows in the live tables or a shadow, and progress as the
committed offsets of its own group. A replay never moves the live group's offsets; `rewind` does, and only that.
`make_plan.py` plans, `processes.py` starts the processes; each runs `member.py`, which commits the offsets.
"""
