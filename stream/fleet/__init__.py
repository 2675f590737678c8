"""Many installations in one view: one row for each, the worst first.

Enters: a function for each installation that asks it. Leaves: rows and the screen. It changes nothing, and no
installation that does not answer delays another.
"""
