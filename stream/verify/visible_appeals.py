"""Appeals in Postgres, and how many of them ClickHouse shows: the answer must be none.

Enters: pages of appeals from Postgres. Leaves: counts by customer. Each page is one query for both tables, on all
shards at the same time. It asks for scorecards with a row that no later delete marker hides. The rare hits are asked
for again with FINAL, which alone knows which of two equal versions came later.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.clickhouse.shards import Shards
from stream.pipeline.placement import APPEALS
from stream.postgres.connection import Connection
from stream.postgres.defining_query import SourceSql
from stream.postgres.pages import appeal_ids
from stream.scope import Scope
from stream.tables import SCORECARD, TARGETS

PAGE = 10_000  # appeals of one query: 400 kB of ids
_RACES = 1_000  # above this many visible rows it does not look a second time for appeals on their way out
_FINAL = {"do_not_merge_across_partitions_select_final": 1}
_LOOK_AFTER_S = (0.3, 0.7, 1.0)
_Shown = dict[tuple[str, str, str], int]  # (table, customer, scorecard id) -> rows


@dataclass(slots=True)
class Appeals:
    """Counts of one customer. `visible` and `visible_scores` must be 0."""

    customer_id: str
    by_type: dict[int, int] = field(default_factory=lambda: dict.fromkeys(sorted(APPEALS), 0))
    visible: int = 0
    visible_scores: int = 0

    def as_json(self) -> dict[str, Any]:
        replica, request, resolve = (self.by_type[kind] for kind in sorted(APPEALS))
        return {
            "customer_id": self.customer_id,
            "replica": replica,
            "request": request,
            "resolve": resolve,
            "visible_scorecards": self.visible,
            "visible_scores": self.visible_scores,
        }


def appeals(
    connection: Connection,
    source: SourceSql,
    shards: Shards,
    scope: Scope,
    *,
    caught_up: Callable[[], bool] = lambda: True,
    lasting: bool = True,
) -> list[Appeals]:
    """Appeals of the scope in Postgres, and how many of them ClickHouse shows.

    Args:
        connection: in autocommit, so that each look sees the present.
        caught_up: waits for the present commits; False when the pipeline did not get there in time.
        lasting: count only appeals that are still shown after some seconds, and not one that was just filed.
    """
    found: dict[str, Appeals] = {}
    shown: _Shown = {}
    for chunk in appeal_ids(connection, source, scope, size=PAGE):
        customers = {customer for _, customer, _ in chunk}
        for _, customer, kind in chunk:
            found.setdefault(customer, Appeals(customer)).by_type[kind] += 1
        shown |= _look(shards, [i for i, _, _ in chunk], customers)
    if lasting and len(shown) <= _RACES:
        shown = _lasting(shown, connection, source, shards, caught_up)
    for (table, customer, _), rows in shown.items():
        each = found.setdefault(customer, Appeals(customer))
        if table == SCORECARD.target:
            each.visible += rows
        else:
            each.visible_scores += rows
    return sorted(found.values(), key=lambda each: each.customer_id)


def _look(shards: Shards, ids: Sequence[str], customers: set[str]) -> _Shown:
    found: _Shown = Counter()
    for table, customer, card, rows in visible(shards, ids, customers):
        found[table, customer, card] += rows  # several shards may hold it
    return found


def _lasting(
    shown: _Shown,
    connection: Connection,
    source: SourceSql,
    shards: Shards,
    caught_up: Callable[[], bool],
) -> _Shown:
    """Appeals that are still shown after some seconds: one that was just filed is on its way out of ClickHouse."""
    for wait_s in _LOOK_AFTER_S:
        if not shown:
            break
        time.sleep(wait_s)
        ids = sorted({card for _, _, card in shown})
        before = _still_appeals(connection, source, ids)
        if not caught_up():
            return {}  # appeals of other rows are reported as not comparable yet
        now = _look(shards, ids, {customer for _, customer, _ in shown})
        still = before & _still_appeals(connection, source, ids)
        shown = {key: rows for key, rows in now.items() if key in shown and key[2] in still}
    return shown


def _still_appeals(connection: Connection, source: SourceSql, ids: Sequence[str]) -> set[str]:
    kind = source.types[SCORECARD.source, "scorecard_id"]
    rows = connection.execute(
        f"SELECT s.scorecard_id::text FROM {source.joined(SCORECARD)} "
        f"WHERE {source.appeal} AND s.scorecard_id = ANY(%s::{kind}[])".encode(),
        [list(ids)],
    )
    return {row[0] for row in rows}


def visible(shards: Shards, ids: Sequence[str], customers: set[str]) -> list[tuple[str, str, str, int]]:
    """(table, customer, scorecard id, rows) that each shard shows of these scorecards."""
    maybe = {str(scorecard) for _, scorecard in shards.everywhere(_MAYBE_SHOWN, _bound(ids, customers))}
    if not maybe:
        return []
    found = shards.everywhere(_SHOWN, _bound(sorted(maybe), customers), settings=_FINAL)
    return [(table, customer, str(scorecard), rows) for _, table, customer, scorecard, rows in found]


def _bound(ids: Sequence[str], customers: set[str]) -> dict[str, tuple[str, ...]]:
    return {"ids": tuple(ids), "customers": tuple(sorted(customers))}


_CHOSEN = "WHERE customer_id IN %(customers)s AND scorecard_id IN %(ids)s"

# Scorecards of which some row may be visible: no delete marker of a higher version has its event time.
_MAYBE_SHOWN = " UNION ALL ".join(
    f"SELECT DISTINCT scorecard_id FROM (SELECT scorecard_id FROM {{database}}.{table.target} {_CHOSEN} "
    f"GROUP BY {', '.join(dict.fromkeys(('customer_id', 'scorecard_id', table.id)))}, event_time "
    "HAVING countIf(_deleted = 0) > 0 AND maxIf(_version, _deleted = 0) >= maxIf(_version, _deleted != 0))"
    for table in TARGETS
)

_SHOWN = " UNION ALL ".join(
    f"SELECT '{table.target}' AS name, toString(customer_id) AS customer, scorecard_id, count() "
    f"FROM {{database}}.{table.target} FINAL {_CHOSEN} GROUP BY customer, scorecard_id"
    for table in TARGETS
)
