"""Is every part of the chain as it must be? Asked by `scorestream doctor`, `connectors apply` and the workers at start.

Enters: stores that the caller opened. Leaves: findings, each with what is wrong, what happens if it stays, and the
statement or command that corrects it. It only reads. It never repairs, and it never waits for more than its deadline.
"""
