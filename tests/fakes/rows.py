"""Rows of the source tables with their defaults, and the call that tests step in at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream.tables import CHATS

Row = dict[str, Any]


OnCall = Callable[[str], None]


PRIMARY_KEY = {CHATS: "conversation_id", "scorecards": "scorecard_id", "scores": "score_id"}


TIMES = {"started_at", "ended_at", "scorecard_time", "submitted_at", "created_at", "updated_at"}


DAY_US = 86_400_000_000


APPEAL_TYPES = (1, 2, 3)


_DEFAULTS: dict[str, Row] = {
    CHATS: {"customer_id": "acme", "agent_user_id": None, "started_at": None, "ended_at": None},
    "scorecards": {
        "customer_id": "acme",
        "template_id": "00000000-0000-4000-8000-00000000007e",
        "conversation_id": None,
        "agent_user_id": None,
        "scorecard_type": None,
        "submission_source": None,
        "scorecard_time": None,
        "submitted_at": None,
        "score": None,
        "comment": None,
        "created_at": 0,
        "updated_at": 0,
    },
    "scores": {
        "criterion_id": "00000000-0000-4000-8000-0000000000c1",
        "numeric_value": None,
        "ai_value": None,
        "not_applicable": False,
        "comment": None,
        "updated_at": 0,
    },
}


def nothing(_name: str) -> None:
    """The hook that does nothing."""


def row_of(table: str, row_id: str, **values: Any) -> Row:
    """A whole row, of which only some values are said."""
    return {PRIMARY_KEY[table]: row_id} | _DEFAULTS[table] | values
