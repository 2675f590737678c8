"""From any state of slot, offsets and connector back to health, with one command.

    look -> what is wrong -> the plan -> its first step -> look again -> ... -> streaming -> compare and repair

Enters: the stores, opened by the command. Leaves: a connector that streams; the command then compares and
repairs. Nothing is kept: the plan is derived from the systems each time, so that the same command goes on after a
kill. It empties nothing.
"""
