"""Facts -> the steps that lead to health, in order. Pure, so that the plan of each moment is derived afresh.

Each step makes its own finding go away. A step that later ones rely on comes before the loss of what it needs. So the
offset goes before its slot: a recovery that is killed between the two never takes the old offset for the new slot's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from stream.recover.facts import Facts
from stream.recover.findings import PASS_BYTES, RecoveryFinding, findings, highest_epoch, needs_slot, versions_ahead

COMPARED_PER_S = 150_000  # rows that a comparison passes a second, in both stores together
_FILLER_PER_S = 50 << 20


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """One step. `seconds`: an estimate. `careful`: it interrupts or removes something, so an operator confirms it."""

    id: str
    what: str
    seconds: float
    careful: bool = False


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """What is wrong, what to do, and what only an operator can do; `blocked` holds the last, one text each.

    The last two steps, `stream` and `compare`, are in every plan.
    """

    findings: tuple[RecoveryFinding, ...]
    steps: tuple[RecoveryStep, ...]
    blocked: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def changes(self) -> tuple[RecoveryStep, ...]:
        """The steps before the waiting and the comparison."""
        return tuple(step for step in self.steps if step.id not in {"stream", "compare"})

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)


def plan(facts: Facts) -> RecoveryPlan:
    """The plan for what is seen now."""
    return RecoveryPlan(tuple(findings(facts)), tuple(_steps(facts)), tuple(_blocked(facts)), tuple(_notes(facts)))


def _steps(facts: Facts) -> Iterator[RecoveryStep]:
    wrong = {each.id for each in findings(facts)}
    new_slot = needs_slot(facts)
    new_offset = new_slot or bool(wrong & {"offsets-missing", "offsets-ahead", "offsets-behind"})
    # Connect gives offsets only to a stopped connector; one that runs on would confirm what is about to change.
    still = new_offset or bool(wrong & {"topics-missing", "publication-tables", "versions-ahead"})
    yield from _before(facts, still=still)
    if new_offset and facts.position is not None:
        yield RecoveryStep("forget-offset", "delete the connector's offset", 1, careful=True)
    if ahead := versions_ahead(facts):  # before the slot: what is streamed from there on has higher versions
        yield RecoveryStep(
            "pass-versions", "write filler WAL past the versions that ClickHouse has", 1 + ahead / _FILLER_PER_S
        )
    yield from _in_postgres(facts, new_slot=new_slot)
    if new_offset:
        yield RecoveryStep("set-offset", "let the connector begin where the slot begins, without a snapshot", 2)
    if facts.connector == "FAILED" and not still:
        yield RecoveryStep("restart-connector", "restart what failed", 10)
    elif facts.connector != "RUNNING" or still:
        yield RecoveryStep("start-connector", "start the connector", 5)
    yield RecoveryStep("stream", "wait until the connector has read up to now", 10)
    yield RecoveryStep(
        "compare", "compare every row with Postgres, and repair", 5 + 2 * facts.server.rows / COMPARED_PER_S
    )


def _before(facts: Facts, *, still: bool) -> Iterator[RecoveryStep]:
    """The connector is there, has its config, and does not run where it must not."""
    if facts.connector is None:
        yield RecoveryStep("create-connector", "create the connector, stopped", 2)
    elif still and facts.connector != "STOPPED":
        yield RecoveryStep("stop-connector", "stop the connector", 5, careful=True)
    if facts.drifted:
        yield RecoveryStep("configure-connector", "give the connector the config of the settings", 2)


def _in_postgres(facts: Facts, *, new_slot: bool) -> Iterator[RecoveryStep]:
    """The publication before the slot: a slot decodes with the publications of its own moment. Then the topics."""
    if new_slot and facts.slot is not None:
        yield RecoveryStep("drop-slot", "drop the slot, which nobody can read on", 1, careful=True)
    if facts.unpublished is None or facts.unpublished:
        yield RecoveryStep("publish", "publish the tables", 1)
    if facts.server.foreign_horizon:
        yield RecoveryStep("forget-horizon", "empty the horizon of the other server", 1)
    if facts.missing_topics:
        yield RecoveryStep("create-topics", "create the missing topics", 2)
    if new_slot:
        yield RecoveryStep("create-slot", "create the slot", 2 + facts.server.xact_s)


def _blocked(facts: Facts) -> Iterator[str]:
    server, slot = facts.server, facts.slot
    if server.in_recovery:
        yield "SCORESTREAM_POSTGRES_DSN leads to a standby: let it lead to the primary"
    if slot is not None and slot.database != server.database:
        yield (
            f"the slot belongs to database {slot.database}, not {server.database}: another connector has this name; "
            "choose another SCORESTREAM_POSTGRES_SLOT"
        )
    if highest_epoch(facts) > facts.epoch:
        yield (
            f"ClickHouse has versions of epoch {highest_epoch(facts)}, but the settings make the present epoch "
            f"{facts.epoch}: give SCORESTREAM_VERSION_EPOCH and _VERSION_EPOCH_STARTS as the workers have them"
        )
    elif versions_ahead(facts) > PASS_BYTES:
        yield (
            "Postgres is another cluster, whose changes could lose against the rows in ClickHouse. Add the time at "
            "which it took over to "
            f"SCORESTREAM_VERSION_EPOCH_STARTS of every process, as {_epoch_start(facts)}, restart the workers, and "
            "run this command again with the same setting"
        )
    if facts.highest == 0 and slot is None and facts.position is None:
        yield "there is nothing to recover yet: `scorestream connectors apply` makes the first start"


def _epoch_start(facts: Facts) -> str:
    """After the last change of the old cluster, and before the first one of the new."""
    if facts.position is None or facts.position.at_ms is None:
        return "2026-05-01T10:00:00Z"
    return f"{datetime.fromtimestamp(facts.position.at_ms // 1000 + 1, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _notes(facts: Facts) -> Iterator[str]:
    if facts.workers == 0:
        yield "no worker runs: start one, or the comparison waits for it in vain"
    if facts.server.xact_s > 60 and needs_slot(facts):
        yield f"a transaction is open for {facts.server.xact_s:.0f} s: the new slot waits until it ends"
    if facts.missing_topics or facts.empty_topics:
        gone = ", ".join((*facts.missing_topics, *facts.empty_topics))
        yield f"a replay finds no history in {gone}; `scorestream backfill start` writes it there again"
