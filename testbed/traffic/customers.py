"""The made-up customers: how many conversations, process scorecards and appeals each has, and its templates."""

from __future__ import annotations

from dataclasses import dataclass

AUTO, MANUAL = 1, 2  # scorecard_templates.type: of a conversation, of a process
REPLICA, REQUEST, RESOLVE = 1, 2, 3  # scorecards.scorecard_type of appeals (another enumeration than the template's)


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer at scale 1."""

    id: str
    conversations: int
    process: tuple[tuple[str, int], ...]  # manual templates: title, scorecards
    appeals: tuple[int, int, int] = (0, 0, 0)  # replicas, requests, resolves
    auto_templates: int = 6


# A template of spirit has no scorecards at all: a title in a store does not promise rows.
SPIRIT = Customer(
    id="spirit",
    conversations=9_000,
    auto_templates=29,
    process=(
        ("Social Media Public Canned Response Audit", 840),
        ("Guest Relations Performance Template CC- Manual", 620),
        ("Social Media Performance Template CC- Manual", 370),
        ("NH Guest Relations Performance Template CC- Manual", 58),
        ("NH Social Media Performance Template CC- Manual", 2),
        ("Airport Escalation Desk Audit", 31),
        ("Back Office Refund Review - Manual", 19),
        ("Vendor Calibration Session", 0),
    ),
)
CARE_OREGON = Customer(
    id="care-oregon",
    conversations=5_000,
    appeals=(238, 238, 172),
    process=(("Claims Desk Walk-through", 70),),
)
UNITED_EAST = Customer(
    id="united-east",
    conversations=6_600,
    auto_templates=12,
    process=(("Gate Team Audit", 110), ("Lost Baggage Case Review", 40)),
)
CUSTOMERS: tuple[Customer, ...] = (SPIRIT, CARE_OREGON, UNITED_EAST)
IDS: tuple[str, ...] = tuple(customer.id for customer in CUSTOMERS)
