"""What Postgres is asked: places, row versions, the defining query, pages, locks, and whether its set-up is right.

Enters: ids and the settings' `postgres` section. Leaves: places, rows and findings as Postgres has them now, and the
package's errors. It writes nothing but advisory locks, and it decides nothing about a message.
"""
