"""The row policies on a shard's target tables: what a policy hides from the worker, the worker cannot retire.

Enters: a function that asks one shard. Leaves: policies by name. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from stream.errors import ClickHouseRefused
from stream.tables import TARGETS

Ask = Callable[[str, dict[str, str]], Sequence[Sequence[Any]]]

_NAMES = ", ".join(f"'{table.target}'" for table in TARGETS)
# A policy without a table is the whole database's. What it is TO names users and roles.
_POLICIES = f"""
SELECT short_name, table, ifNull(select_filter, ''),
    hasAny(apply_to_list, own) OR (apply_to_all AND NOT hasAny(apply_to_except, own))
FROM (SELECT *, arrayConcat([currentUser()], enabledRoles()) AS own FROM system.row_policies)
WHERE database = %(database)s AND table IN ({_NAMES}, '') ORDER BY short_name, table
"""
_HIDES_NOTHING = frozenset({"", "1", "true"})


class Policy(NamedTuple):
    """A row policy on a target table. `own`: it filters what this user reads."""

    name: str
    table: str  # empty: all tables of the database
    own: bool


def policies(ask: Ask, database: str) -> list[Policy] | None:
    """The row policies on a shard's target tables that hide something; None: this user may not see policies.

    Args:
        ask: the rows of a query on that shard with its parameters.

    Raises:
        ClickHouseUnavailable: the shard does not answer.
    """
    try:
        rows = ask(_POLICIES, {"database": database})
    except ClickHouseRefused:  # it takes SHOW ROW POLICIES
        return None
    return list(_hiding(rows))


def _hiding(rows: Sequence[Sequence[object]]) -> Iterator[Policy]:
    for name, table, condition, own in rows:
        if str(condition).strip().lower() not in _HIDES_NOTHING:
            yield Policy(str(name), str(table), bool(own))
