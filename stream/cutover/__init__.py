"""A shadow's tables take the place of the live ones, without a hole for readers; and back.

Enters: a finished replay into a shadow database. Leaves: exchanged tables. It exchanges nothing that verify finds
different from Postgres, and drops nothing unless an operator asks for it.
"""
