"""Whether a change moves rows, judged by its images before and after."""

from __future__ import annotations

from typing import Any

import pytest

from stream.errors import Refused
from stream.pipeline.decoder import Decoder
from stream.pipeline.envelope import Envelope
from stream.pipeline.moves import changes_place, into_appeal, may_move, moved_conversations
from stream.pipeline.refusal import Refusal
from tests.fakes import envelope
from tests.fakes.rows import row_of

CARD, CHAT, OTHER = (f"00000000-0000-4000-8000-00000000000{n}" for n in "abc")
GRADED = row_of("scorecards", CARD, conversation_id=CHAT)
PROCESS = row_of("scorecards", CARD, scorecard_time=5)
STARTED = row_of("chats", CHAT, started_at=5)


def changed(table: str, before: Any, after: Any, *, op: str = "u", snapshot: str = "false") -> Envelope:
    (found,) = Decoder(table).decode([envelope(table, op, before, after, snapshot=snapshot)])
    assert not isinstance(found, Refused)
    return found


@pytest.mark.parametrize(
    ("before", "change", "moves"),
    [
        (GRADED, {"comment": "x"}, False),
        (GRADED, {"scorecard_time": 9}, False),
        (PROCESS, {"scorecard_time": 9}, True),
        (GRADED, {"conversation_id": OTHER}, True),
        (GRADED, {"customer_id": "other"}, True),
        (GRADED, {"scorecard_type": 0}, False),
        (GRADED, {"scorecard_type": 2}, True),
    ],
    ids=["comment", "time of a graded one", "time of a process", "conversation", "customer", "NULL to 0", "appeal"],
)
def test_a_scorecard_moves_by_the_columns_that_decide_its_place(
    before: dict[str, Any], change: dict[str, Any], moves: bool
) -> None:
    assert changes_place(changed("scorecards", before, before | change)) is moves
    assert may_move("scorecards", envelope("scorecards", "u", before, before | change)) >= moves


def test_without_a_full_before_image_every_update_may_move() -> None:
    assert changes_place(changed("scorecards", None, GRADED))
    assert into_appeal(changed("scorecards", None, GRADED | {"scorecard_type": 1}))
    assert not into_appeal(changed("scorecards", None, GRADED))


@pytest.mark.parametrize(
    ("op", "before", "after", "snapshot", "arrived"),
    [
        pytest.param("c", None, STARTED, "false", True, id="inserted"),
        pytest.param("d", STARTED, None, "false", False, id="deleted"),
        pytest.param("u", STARTED, STARTED | {"started_at": 9}, "false", False, id="another start"),
        pytest.param("u", STARTED, STARTED | {"ended_at": 9}, "false", None, id="another end"),
        pytest.param("r", None, STARTED, "true", None, id="initial snapshot"),
        pytest.param("r", None, STARTED, "incremental", False, id="incremental snapshot"),
    ],
)
def test_which_conversations_take_their_scorecards_along(
    op: str, before: Any, after: Any, snapshot: str, arrived: bool | None
) -> None:
    found = moved_conversations([changed("chats", before, after, op=op, snapshot=snapshot)])
    assert {name: moved.arrived for name, moved in found.items()} == ({} if arrived is None else {CHAT: arrived})


def test_a_refused_message_moves_the_conversations_that_it_names() -> None:
    # given an insert, and a refused message of the same conversation with a later version
    inserted = changed("chats", None, STARTED, op="c")
    refused = Refusal(Refused("bad_time", "x"), ids=[CHAT], version=inserted.version + 1)
    # when both come in one batch, then the conversation is written at the later version, as one that changed
    (moved,) = moved_conversations([inserted], [refused]).values()
    assert (moved.version, moved.arrived) == (refused.version, False)


def test_a_tail_pass_applies_a_message_that_it_cannot_read() -> None:
    assert may_move("scores", b"{")
    assert not may_move("scores", None)
    assert may_move("chats", envelope("chats", "c", None, STARTED))
    assert not may_move("scores", envelope("scores", "c", None, row_of("scores", OTHER, scorecard_id=CARD)))
