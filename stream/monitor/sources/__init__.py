"""The answer of each outside system, asked in a thread of its own.

Enters: stores. Leaves: plain values, or the error and since when. It never concludes anything and writes nowhere.
`poller.py` has the threads: `monitor-kafka` asks Kafka for lag, by way of `kafka.py`.
"""
