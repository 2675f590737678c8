"""The monitor's document and doctor's findings -> what an operator does next, the most urgent first. Pure.

A fault that both see is one step: the monitor's, whose sentence says since when and how much waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from stream.doctor.finding import ERROR, HINT
from stream.doctor.finding import DoctorFinding as Checked
from stream.monitor.finding import NOTE, PAGE, TICKET
from stream.times import duration
from stream.web.runbooks import RUNBOOKS

When = Literal["now", "soon", "later"]
NOW: Final = "now"  # changes are late, lost or wrong, or will be at the next restart
SOON: Final = "soon"  # in working hours
LATER: Final = "later"  # nothing is wrong; there is something to know, or to finish

_URGENCY: Mapping[str, When] = {PAGE: NOW, TICKET: SOON, NOTE: LATER}
_RANK = {NOW: 0, SOON: 1, LATER: 2}
_RUNBOOKS = {each.id: each for each in RUNBOOKS}
_VERIFIED_S = 86_400.0  # as the alert ScorestreamVerifyStale
# The monitor's finding -> doctor's findings of the same fault under another name.
_SAME: Mapping[str, tuple[str, ...]] = {
    "shard-down": ("shard-unreachable",),
    "worker-absent": ("group-empty", "partition-unheld"),
    "stall": ("partition-unheld", "process-unready"),
    "connector-failed": ("connector-task",),
    "slot-wal": ("slot-lost",),
    "publication": ("publication-missing", "publication-table"),
    "parts": ("parts-many",),
    "retention": ("offset-trimmed",),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        id: of the runbook, or of doctor's check.
        what: what is wrong, in a sentence.
        stays: whether data is lost, or what happens if it stays.
        act: what to do, in a sentence; empty where `run` says it.
        run: lines to paste.
    """

    when: When
    id: str
    what: str
    stays: str = ""
    act: str = ""
    run: tuple[str, ...] = ()


def steps(document: Mapping[str, Any] | None, checked: Sequence[Checked]) -> list[Step]:
    """What to do, the most urgent first.

    Args:
        document: of the monitor; None when Kafka does not answer.
    """
    found = [*_monitored(document)] if document is not None else []
    seen = {each["id"] for each in document["findings"]} if document is not None else set()
    covered = seen.union(*(_SAME.get(each, ()) for each in seen))
    found += [_checked(each) for each in checked if each.severity != HINT and each.id not in covered]
    if document is not None:
        found += _loose_ends(document, seen)
    return sorted(found, key=lambda each: _RANK[each.when])


def _monitored(document: Mapping[str, Any]) -> Iterator[Step]:
    for each in document["findings"]:
        if each["because"] is None:
            yield _by_runbook(_URGENCY[each["level"]], each["id"], each["sentence"], name=each["what"])


def _by_runbook(when: When, runbook: str, what: str, *, name: str = "") -> Step:
    page = _RUNBOOKS[runbook]
    run = tuple(line.text.replace("NAME", name or "NAME") for line in page.run or page.look_at)
    return Step(when, runbook, what, f"Is data lost? {page.lost}", page.act, run)


def _checked(each: Checked) -> Step:
    when: When = NOW if each.severity == ERROR else SOON
    return Step(when, each.id, f"{each.what}.", f"If it stays: {each.then}.", run=tuple(each.way_out.splitlines()))


def _loose_ends(document: Mapping[str, Any], seen: set[str]) -> Iterator[Step]:
    """What is no fault of the running system, and still waits for an operator."""
    letters = document["dead_letters"]
    if letters is not None and letters["open"] and "dead-letters" not in seen:
        yield _by_runbook(SOON, "dead-letters", f"{letters['open']:,} dead letters are open.")
    for each in document["replays"]:
        if each["state"] == "paused":
            what = f"Replay {each['name']} is paused: {each['done']:,} of {each['total']:,} messages are done."
            run = (f"scorestream replay resume {each['name']}", f"scorestream replay cancel {each['name']}")
            yield Step(LATER, "replay-paused", what, run=run)
    verified = document["verify"]
    if verified is None:
        what = "No comparison of ClickHouse with Postgres is known: no process `verify --watch` answers."
        yield Step(LATER, "verify-absent", what, run=("scorestream verify", "scorestream verify --watch 1h"))
    elif "verify" not in seen and document["now"] - (verified["last_clean"] or 0) > _VERIFIED_S:
        last = verified["last_clean"]
        since = f"for {duration(document['now'] - last)}" if last else "yet"
        yield _by_runbook(SOON, "verify", f"No comparison was clean {since}.")
