"""The worker: Faust agents over record batches, its watchdog and its supervisor.

Enters: messages of the source tables' topics. Leaves: rows in ClickHouse by way of the pipeline, then committed
offsets. It never commits an offset whose message is not written.
`indexer.py` hands a batch to the pipeline, and `transport.py` commits offsets.
"""
