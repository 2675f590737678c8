"""How late each customer's changes are: the age of the oldest of them that waits. Pure.

Enters: messages that wait, and the owners of scorecards. Leaves: a row for each customer, the longest wait first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from stream.kafka.topic_partition import TP
from stream.kafka.waiting_message import WaitingLook, WaitingMessage

LEAST_S: Final = 1.0  # lag of a partition from which on its customers are asked for
SHOWN: Final = 200  # rows of the document


class Waits(NamedTuple):
    """What waits in a partition: the end of its log, messages before it, and the age of the first of them."""

    tp: TP
    end: int
    messages: int
    seconds: float | None


def waits_of(document: Mapping[str, Any]) -> list[Waits]:
    """What waits, as the monitor's document has it."""
    return [
        Waits(TP(each["topic"], each["partition"]), each["end"], each["messages"], each["seconds"])
        for each in document["partitions"]
    ]


@dataclass(frozen=True, slots=True)
class CustomerLag:
    """A customer of whom something waits: the age of the oldest change, and how many messages were seen to wait."""

    customer: str
    seconds: float
    messages: int


@dataclass(frozen=True, slots=True)
class Customers:
    """All customers of whom something waits.

    Attributes:
        at: when they were asked for, Unix seconds.
        rows: the longest wait first.
        complete_above_s: everybody who is later than this is among the rows.
        unknown: messages whose customer is not known: of scorecards that are gone, or that cannot be decoded.
    """

    at: float
    rows: tuple[CustomerLag, ...] = ()
    complete_above_s: float = LEAST_S
    unknown: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "rows": [asdict(each) for each in self.rows[:SHOWN]],
            "late": len(self.rows),
            "complete_above_s": self.complete_above_s,
            "unknown": self.unknown,
        }

    def of(self, names: Collection[str]) -> Customers:
        """Those of these names; one of whom nothing waits has 0 seconds."""
        known = {each.customer: each for each in self.rows}
        rows = tuple(known.get(name, CustomerLag(name, 0.0, 0)) for name in names)
        return Customers(self.at, rows, self.complete_above_s, self.unknown)


def late_ranges(partitions: Iterable[Waits]) -> dict[TP, tuple[int, int]]:
    """Offsets of what waits in partitions that are late; younger lag needs no customer."""
    return {
        each.tp: (each.end - each.messages, each.end)
        for each in partitions
        if each.messages and (each.seconds is None or each.seconds >= LEAST_S)
    }


def scorecards(messages: Iterable[WaitingMessage]) -> list[str]:
    """The scorecards whose owners must be asked for."""
    return sorted({each.scorecard_id for each in messages if each.customer_id is None and each.scorecard_id})


def by_customer(found: WaitingLook, owners: Mapping[str, str], *, now: float) -> Customers:
    """The rows of a look.

    Args:
        owners: scorecard -> customer, of those that are there.
    """
    oldest: dict[str, float] = {}
    counts: dict[str, int] = {}
    unknown = 0
    for each in found.messages:
        customer = each.customer_id or owners.get(each.scorecard_id or "")
        if customer is None:
            unknown += 1
            continue
        oldest[customer] = min(each.at, oldest.get(customer, each.at))
        counts[customer] = counts.get(customer, 0) + 1
    rows = [CustomerLag(name, round(max(0.0, now - at), 3), counts[name]) for name, at in oldest.items()]
    complete = LEAST_S if found.cut_at is None else max(LEAST_S, now - found.cut_at)
    return Customers(now, tuple(sorted(rows, key=lambda row: (-row.seconds, row.customer))), complete, unknown)
