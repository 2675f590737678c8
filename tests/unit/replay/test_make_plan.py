"""A request becomes a plan of the log as it is now, or is refused with the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import UsageError
from stream.kafka.log_reader import Stretch
from stream.kafka.topic_partition import TP
from stream.replay import make_plan as module
from stream.replay.make_plan import ReplayRequest, check_name, create, plan, sample
from stream.replay.plan import ReplayControl, ReplayPlan, ReplayResult, Span
from stream.replay.start_points import StartPoint
from stream.replay.state import Replay
from stream.scope import Scope
from stream.tables import SOURCES
from stream.topic_names import TopicNames

TOPICS = TopicNames("s", "app", "dl")
CARDS, SCORES = TP(TOPICS.of("scorecards"), 0), TP(TOPICS.of("scores"), 0)
ALL = ReplayRequest("r", StartPoint(earliest=True))


class FakeBroker:
    """One partition for each table, of 10 messages."""

    topics = TOPICS
    live_group = "live"

    def __init__(self) -> None:
        self.first = 0
        self.at: dict[TP, int] = {}

    def partitions(self, topics: Sequence[str]) -> list[TP]:
        return [TP(topic, 0) for topic in sorted(topics)]

    def ends(self, tps: Sequence[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, 10)

    def starts(self, tps: Sequence[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, self.first)

    def committed(self, group: str, tps: Sequence[TP]) -> dict[TP, int]:
        assert group == "live"
        return dict.fromkeys(tps, 8)

    def offsets_at(self, tps: Sequence[TP], at_ms: int) -> dict[TP, int]:
        return {tp: self.at[tp] for tp in tps if tp in self.at}


class FakePostgres:
    """Postgres with two customers: one has a template, the other only a scorecard."""

    def table(self, name: str) -> str:
        return name

    @contextmanager
    def asking(self) -> Iterator[FakePostgres]:
        yield self

    def execute(self, query: bytes, values: tuple[str, ...] = ()) -> Any:
        if b"DISTINCT" in query:
            return [("spirit",)]
        return SimpleNamespace(fetchone=lambda: (1,) if values == ("old",) else None)


class FakeTopic:
    def __init__(self, **replays: Replay) -> None:
        self.replays = replays
        self.values: dict[str, Any] = {}

    def refresh(self) -> dict[str, Replay]:
        return self.replays

    def put(self, values: Mapping[str, Any]) -> None:
        self.values |= values


class FakeReader:
    """Reads messages whose value is their topic's table, and remembers what is committed."""

    committed: dict[TP, int]
    group: str

    def __init__(self, _broker: object, *, group: str) -> None:
        type(self).group = group
        self._spans: dict[TP, tuple[int, int]] = {}

    def __enter__(self) -> FakeReader:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def reading(self) -> set[TP]:
        return set(self._spans)

    def add(self, spans: Mapping[TP, tuple[int, int]]) -> None:
        self._spans |= spans

    def read(self, most: int, *, timeout_s: float) -> list[Stretch]:
        spans, self._spans = self._spans, {}
        message = SimpleNamespace(value=lambda: b"12345")
        return [Stretch(tp, [message] * (end - start), start=start, end=end) for tp, (start, end) in spans.items()]

    def commit(self, offsets: Mapping[TP, int]) -> None:
        type(self).committed = dict(offsets)


@pytest.fixture
def stores() -> Any:
    shards = SimpleNamespace(database="live", of=lambda database: SimpleNamespace(database=database))
    return SimpleNamespace(broker=FakeBroker(), postgres=FakePostgres(), shards=shards)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> type[FakeReader]:
    monkeypatch.setattr(module, "LogReader", FakeReader)
    return FakeReader


def test_the_whole_log_is_planned_from_its_start_to_the_end_of_now(stores: Any) -> None:
    made = plan(stores, ALL)
    assert made.main.spans == (Span(*CARDS, 0, 10), Span(*SCORES, 0, 10))  # scorecards before their scores
    # the ends of every source topic are kept, also of those that are not read
    assert {(span.topic, span.end) for span in made.ends} == {(TOPICS.of(table), 10) for table in SOURCES}
    assert (made.whole, made.start, made.group) == (True, "to-earliest", plan(stores, ALL).group)


@pytest.mark.parametrize(
    "other",
    [
        {"start": StartPoint(shift_by=-3)},
        {"until_ms": 5_000},
        {"scope": Scope(customers=("spirit",))},
        {"tables": ("scores",)},
    ],
)
def test_what_leaves_something_out_is_not_the_whole_log(stores: Any, other: dict[str, Any]) -> None:
    assert not plan(stores, replace(ALL, **other)).whole


def test_a_log_that_retention_has_cut_is_not_the_whole_log(stores: Any) -> None:
    stores.broker.first = 4
    made = plan(stores, ALL)
    assert not made.whole
    assert [span.start for span in made.main.spans] == [4, 4]


def test_an_end_in_time_is_the_first_message_of_that_time(stores: Any) -> None:
    stores.broker.at = {CARDS: 6}
    made = plan(stores, replace(ALL, until_ms=5_000))
    assert [span.end for span in made.main.spans] == [6, 10]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "a b"}, "'a b' cannot be a replay's name"),
        ({"into": "live"}, "--into live is the live database"),
        ({"start": StartPoint(at_ms=9_000), "until_ms": 8_000}, "is not before the end"),
        ({"start": StartPoint(offsets=(("", None, 9),)), "until_ms": 5_000}, "the start is after the end"),
        ({"start": StartPoint(offsets=(("", None, 11),))}, "is after the end of"),
        ({"scope": Scope(customers=("spirti",))}, "did you mean spirit?"),
        ({"scope": Scope(customers=("x",))}, "ids are compared letter by letter"),
    ],
)
def test_what_makes_no_sense_is_refused(stores: Any, wrong: dict[str, Any], words: str) -> None:
    stores.broker.at = {CARDS: 2, SCORES: 2}
    with pytest.raises(UsageError, match=re.escape(words)):
        plan(stores, replace(ALL, **wrong))


def test_a_customer_with_rows_and_no_template_is_known(stores: Any) -> None:
    assert plan(stores, replace(ALL, scope=Scope(customers=("spirit", "old")))).scope.customers == ("spirit", "old")


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(module, "prepare_shadow", lambda shards: found.append(("prepared", shards.database)))
    monkeypatch.setattr(module, "check_tables", lambda shards: found.append(("checked", shards.database)))
    return found


@pytest.mark.parametrize(
    ("into", "steps"),
    [(None, [("checked", "live")]), ("green", [("prepared", "green"), ("checked", "green")])],
)
def test_offsets_are_committed_before_the_replay_exists(
    stores: Any, reader: type[FakeReader], looked: list[tuple[str, str]], into: str | None, steps: list[Any]
) -> None:
    made = plan(stores, replace(ALL, start=StartPoint(shift_by=-3), into=into))
    topic = FakeTopic()
    as_topic: Any = topic
    create(stores, as_topic, made)
    assert looked == steps
    # what the main pass reads from its start, everything else from the end of now: the tail begins there
    assert reader.committed == {CARDS: 5, SCORES: 5, TP(TOPICS.of("chats"), 0): 10}
    assert reader.group == made.group
    assert topic.values == {"r/plan": made}


def _held(stores: Any, **more: Any) -> Replay:
    made: ReplayPlan = plan(stores, ALL)
    return Replay(made, **more)


def test_a_name_that_is_taken_is_refused_with_the_way_to_go_on(stores: Any) -> None:
    paused: Any = FakeTopic(r=_held(stores, control=ReplayControl("paused")))
    with pytest.raises(UsageError, match=r"already \(paused\).*resume r` to go on with it, or .*delete r`"):
        check_name(paused, "r")
    done: Any = FakeTopic(r=_held(stores, result=ReplayResult("done", 1)))
    with pytest.raises(UsageError, match=r"already \(done\): choose another name, or `scorestream replay delete r`"):
        check_name(done, "r")
    check_name(done, "other")


def test_a_dry_run_looks_at_the_middle_of_each_partition(
    stores: Any, reader: type[FakeReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SAMPLE", 4)
    found = sample(stores, plan(stores, ALL))
    assert (found.messages, found.matched) == (20, 20)  # at least 20 of each partition, which has 10
    assert found.bytes_each == {CARDS.topic: 5.0, SCORES.topic: 5.0}
    assert reader.group.endswith("-sample")


def test_a_dry_run_with_a_filter_counts_what_matches(
    stores: Any, reader: type[FakeReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "chooser", lambda _scope, _source: "chooser")
    monkeypatch.setattr(module, "by_filter", lambda table, values, _scope, _choose: [0] if table == "scores" else [])
    found = sample(stores, plan(stores, replace(ALL, scope=Scope(customers=("spirit",)))))
    assert (found.messages, found.matched) == (20, 1)
