"""What becomes of a batch of messages: decode, place, plan, write, confirm.

Enters: messages of one source table. Leaves: rows and delete markers for ClickHouse, dead letters, and an account of
every message. Outside systems are the Protocols of `ports.py`; it opens no client and commits no offset.
`placement.py` drops appeals and chooses the shard, `settle.py` confirms what was written.
"""
