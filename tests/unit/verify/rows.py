"""A scorecard and its score in both stores, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from stream.pipeline.placement import place_of
from stream.pipeline.stored import Key
from stream.pipeline.writes import Layout
from stream.tables import SCORE
from stream.times import DAY_US
from stream.verify.row_states import Card, InPostgres, SourceRow, TargetRow

LAYOUT = Layout(shards=2, bucket_days=1)
AT = 20_000 * DAY_US + 5  # 2024-10-04, shard 0
CARD, ROW = 0xA, 0xB
SAME = "0" * 16 * len(SCORE.all_columns)


def card(*, kind: int | None = None, conversation: str | None = None, at: int | None = AT, chat: bool = False) -> Card:
    place = place_of(customer_id="acme", scorecard_type=kind, process=conversation is None, event_time_us=at)
    return Card(place, kind, conversation, chat, AT, "template")


def target(**change: Any) -> TargetRow:
    key = Key(0, "score", "acme", CARD, ROW, AT)._replace(**change)
    return TargetRow(key, AT, True, 1, SAME)


def in_postgres(of: Card | None = None, **row: str) -> InPostgres:
    states = InPostgres()
    if of is not None:
        states.cards[CARD] = of
        states.rows["score", ROW] = SourceRow(CARD, row.get("hashes", SAME), row.get("fault", ""))
    return states
