"""The answer of each outside system, asked in a thread of its own.

Enters: stores. Leaves: plain values, or the error and since when. It never concludes anything and writes nowhere.
"""
