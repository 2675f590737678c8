"""Replay: the log again beside live, in a consumer group of its own.

Starts processes, shows progress, reports the state.

    plan (stream/replay/make_plan.py) -> processes (stream/replay/member.py) -> done
    Kafka has all state: the replays' topic (stream/replay/state.py), and the group's committed offsets

The process that starts others may die at any time: they go on, and `resume` goes on from the committed offsets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from stream.errors import UsageError
from stream.kafka.broker import Broker
from stream.replay.plan import ReplayControl, ReplayResult, Wanted
from stream.replay.state import ReplayTopic, check_kept, check_open, group_of
from stream.replay.status import present_pass, summary
from stream.retry import poll
from stream.scope import Scope

log = logging.getLogger(__name__)


def facts(broker: Broker, name: str | None = None) -> list[dict[str, Any]]:
    """The state of all replays, or of one.

    Raises:
        UsageError: there is no replay of this name.
    """
    with ReplayTopic(broker) as topic:
        replays = [topic.get(name)] if name is not None else list(topic.refresh().values())
        return [
            summary(each, broker.committed(each.plan.group, [s.tp for s in present_pass(each).spans]))
            for each in replays
        ]


def want(broker: Broker, name: str, wanted: Wanted, *, timeout_s: float = 30) -> str:
    """Pause, cancel or run a replay again; waits until its processes have ended. Returns the state.

    A cancelled replay may be cancelled again until `cancelled` says that nothing is left of it.

    Raises:
        UsageError: the replay has ended.
    """
    with ReplayTopic(broker) as topic:
        replay = topic.get(name)
        if wanted != "cancelled" or replay.result is not None:
            check_open(replay)
        topic.put({f"{name}/control": ReplayControl(wanted, int(time.time() * 1000), replay.control.rate)})
        ended = poll(
            lambda: topic.get(name),
            lambda found: wanted == "running" or not found.alive(),
            timeout_s=timeout_s,
            every_s=0.2,
        )
        return ended.state


def reopen(broker: Broker, name: str, *, rate: int | None = None) -> None:
    """Allow processes to start again: a paused replay is wanted again, perhaps with another ceiling (0 = none).

    Raises:
        UsageError: the replay has ended, does not exist, or its group's offsets have expired.
    """
    with ReplayTopic(broker) as topic:
        replay = topic.get(name)
        check_open(replay)
        tps = [span.tp for span in present_pass(replay).spans]
        check_kept(replay.plan, tps, broker.committed(replay.plan.group, tps))
        if replay.control.wanted != "running" or rate is not None:
            rate = replay.control.rate if rate is None else rate
            topic.put({f"{name}/control": ReplayControl("running", int(time.time() * 1000), rate)})


class Unconfirmed(NamedTuple):
    """Rows that only a tail pass would have corrected: of which scorecards, and how to say so."""

    scope: Scope
    sentence: str


def unconfirmed(broker: Broker, name: str, *, options: Sequence[str] = ()) -> Unconfirmed | None:
    """What a replay into the live tables may have left that ended before its tail pass; None where it left nothing.

    The tail pass applies deletes and changes of place once more. Without it a deleted score may stand where its
    scorecard has moved since. And a process that was killed may have left rows that it did not confirm.

    Args:
        options: of the command that the sentence names.
    """
    with ReplayTopic(broker) as topic:
        replay = topic.get(name)
    settled = replay.result is not None and replay.result.state in {"done", "cancelled"}
    if not replay.members or replay.plan.into is not None or settled:
        return None
    of = ", ".join(f"{report.host} pid {report.pid}" for report in replay.killed())
    why = f"a process of it was killed ({of})" if of else "it ended before its last pass"
    only = [f"--customer {customer}" for customer in replay.plan.scope.customers]
    command = " ".join(["scorestream verify", *options, *only, "--repair"])
    sentence = f"{why}, and rows that it wrote may be outdated: run `{command}`"
    return Unconfirmed(replay.plan.scope.of_customers(), sentence)


def cancelled(broker: Broker, name: str) -> None:
    """Note that nothing is left of a cancelled replay."""
    with ReplayTopic(broker) as topic:
        topic.put({f"{name}/result": ReplayResult("cancelled", int(time.time() * 1000))})


def delete(broker: Broker, name: str) -> None:
    """Forget a replay and its group's offsets; its rows stay.

    Raises:
        UsageError: processes work on it.
    """
    with ReplayTopic(broker) as topic:
        replay = topic.get(name)
        if alive := replay.alive():
            raise UsageError(
                f"replay {name} is running ({len(alive)} processes, on {', '.join(sorted({a.host for a in alive}))}): "
                f"`scorestream replay cancel {name}` first"
            )
        topic.forget(name)
    broker.delete_group(group_of(broker.topics, name))
