"""Backfills in Kafka: a compacted topic with plan, orders and finished steps of each; and Debezium's notifications.

Enters: settings. Leaves: the topics' content. Keys are `<name>/plan|control|signal|driver|result` and
`<name>/step/<number>`. A lock in Postgres allows one driver, which writes all but `control`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from stream.backfill.plan import BackfillPlan
from stream.errors import UsageError
from stream.kafka.broker import Broker
from stream.kafka.state_topic import StateTopic

_ALIVE_S = 10.0  # a driver without a report for this long is gone


class BackfillControl(msgspec.Struct, frozen=True):
    """The operator's orders."""

    wanted: Literal["run", "pause", "stop"] = "run"
    at_ms: int = 0


class Signal(msgspec.Struct, frozen=True):
    """The last signal; notifications about it are behind `offset` of their topic."""

    step: int
    attempt: int
    offset: int
    at_ms: int


class DriverReport(msgspec.Struct, frozen=True):
    """The process that sends one signal after another; `ended` when it has left."""

    host: str
    pid: int
    at_ms: int
    ended: bool = False


class StepDone(msgspec.Struct, frozen=True):
    """A finished step."""

    rows: int
    seconds: float
    at_ms: int


class BackfillResult(msgspec.Struct, frozen=True):
    """The backfill is over."""

    rows: int
    at_ms: int


@dataclass(slots=True)
class Backfill:
    """The topic's content for one backfill."""

    plan: BackfillPlan
    control: BackfillControl = field(default_factory=BackfillControl)
    signal: Signal | None = None
    driver: DriverReport | None = None
    done: dict[int, StepDone] = field(default_factory=dict)  # by the number of the step
    result: BackfillResult | None = None

    @property
    def driven(self) -> bool:
        """Whether a process works on it, as far as its reports show."""
        since = time.time() - _ALIVE_S
        return self.driver is not None and not self.driver.ended and self.driver.at_ms / 1000 >= since


class BackfillTopic(StateTopic):
    """All backfills. `with`-able, for one thread. Methods raise KafkaUnavailable when the brokers do not answer."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker, broker.topics.backfills)

    def refresh(self) -> dict[str, Backfill]:
        """All backfills by name, the oldest first, as the topic has them now."""
        found = _backfills(self.values())
        return dict(sorted(found.items(), key=lambda each: each[1].plan.created_ms))

    def get(self, name: str) -> Backfill:
        """One backfill.

        Raises:
            UsageError: there is none of this name.
        """
        found = self.refresh()
        if name not in found:
            raise UsageError(f"there is no backfill {name!r}; there are: {', '.join(found) or 'none'}")
        return found[name]


def _backfills(values: Mapping[str, bytes]) -> dict[str, Backfill]:
    found = {
        key.removesuffix("/plan"): Backfill(msgspec.json.decode(value, type=BackfillPlan))
        for key, value in values.items()
        if key.endswith("/plan")
    }
    for key, value in values.items():
        name, _, what = key.partition("/")
        backfill = found.get(name)
        if backfill is None:
            continue
        match what.partition("/"):
            case ("control", _, _):
                backfill.control = msgspec.json.decode(value, type=BackfillControl)
            case ("signal", _, _):
                backfill.signal = msgspec.json.decode(value, type=Signal)
            case ("driver", _, _):
                backfill.driver = msgspec.json.decode(value, type=DriverReport)
            case ("result", _, _):
                backfill.result = msgspec.json.decode(value, type=BackfillResult)
            case ("step", _, number):
                backfill.done[int(number)] = msgspec.json.decode(value, type=StepDone)
    return found
