"""The log again, beside live: planned, started, claimed in lanes, worked on by several processes, slowed down for live.

Enters: where to start, where to end, which scorecards. Leaves: rows in the live tables or a shadow, and progress as the
committed offsets of its own group. It never moves the live group; `rewind`, which does, only asks.
"""
