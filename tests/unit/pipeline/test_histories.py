"""C1 to C4 over random histories with every fault (tests/model/); and the model notices when the code is broken."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.pipeline import decisions, decoder, moves, pipeline, prepare, reindexer, upserts
from stream.pipeline.late import Newest
from stream.pipeline.ordering import LSN_MAX, version
from stream.pipeline.placement import Place, State
from stream.pipeline.refusal import Refusal
from stream.pipeline.reindex import Reindex, plan_reindex
from stream.pipeline.stored import Key
from stream.pipeline.writes import Layout
from stream.recover import findings
from stream.tables import Table
from stream.times import moment, parse_time
from tests.fakes import clickhouse as fake_clickhouse
from tests.model import Faults, Violation, World, run_seed


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Any:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**40))
def test_every_history_ends_with_clickhouse_equal_to_postgres(seed: int) -> None:
    run_seed(seed)


def _run_seeds(count: int, faults: Faults | None = None) -> None:
    for seed in range(count):
        run_seed(seed, faults)


def _raw_lsn(sequence: str | None, *, epoch: int = 0) -> int:
    return version(sequence, epoch=epoch) & LSN_MAX


def _no_confirm(*_: Any, **__: Any) -> None:
    return None


def _without_markers(*args: Any) -> Reindex:
    plan = plan_reindex(*args)
    plan.markers = type(plan.markers)()
    return plan


def _no_mark(*_: Any) -> bool:
    return True


def _scores_of_appeals_kept(changes: Any, places: Any, layout: Any, **of_refused: Any) -> Any:
    appeals = {i: p for i, p in places.items() if p.state == State.APPEAL and p.event_time_us is not None}
    visible = {i: place._replace(state=State.VISIBLE) for i, place in appeals.items()}
    return decisions.plan_scores(changes, places | visible, layout, **of_refused)


def _commit_first(fetch: Callable[[World], None]) -> Callable[[World], None]:
    """Offsets are committed when their messages are fetched."""

    def fetch_and_commit(world: World) -> None:
        fetch(world)
        for worker in world.workers:
            for table, batch in worker.batches.items():
                for part in batch.parts:
                    world.committed[table, part.partition] = part.messages[-1].offset + 1

    return fetch_and_commit


def _commit_what_was_read(world: World, worker: Any, batch: Any) -> None:
    for part in batch.parts:
        world.committed[batch.table, part.partition] = worker.positions.get((batch.table, part.partition), part.end)


def _none_late(parts: Any, newest: Newest, **_: Any) -> Any:
    found = list(parts)
    return set(), {where: 0 for where, _, _ in found}


MUTATIONS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "version by the row's LSN alone": lambda m: m.setattr(decoder, "version", _raw_lsn),
    "commit before write": lambda m: m.setattr(World, "_fetch", _commit_first(World._fetch)),
    "scores of appeals are kept": lambda m: m.setattr(pipeline, "plan_scores", _scores_of_appeals_kept),
    "no confirm": lambda m: m.setattr(pipeline.Pipeline, "_confirm", _no_confirm),
    "nothing is retired": lambda m: m.setattr(reindexer, "plan_reindex", _without_markers),
    "deletes of scores are not marked": lambda m: m.setattr(decisions, "_mark", _no_mark),
    "changes of place are not noticed": lambda m: (
        m.setattr(decisions, "changes_place", lambda _: False),
        m.setattr(moves, "stays", lambda *_: True),
    ),
    "look-ups are trusted before they see the commit": lambda m: m.setattr(pipeline.Pipeline, "_expect", _no_confirm),
    "the first transaction after a snapshot is ordered by its own LSN": lambda m: (
        m.setattr(decoder, "lacks_commit", lambda *_: False),
        m.setattr(upserts, "lacks_commit", lambda *_: False),
        m.setattr(prepare, "late_of", _none_late),
    ),
    "what a refused message names is left as it is": lambda m: m.setattr(
        prepare, "refusal_of", lambda table, key, value, why, **_: Refusal(why)
    ),
    "late messages are written": lambda m: m.setattr(prepare, "late_of", _none_late),
    "what is left aside is committed at once": lambda m: m.setattr(World, "_commit_offsets", _commit_what_was_read),
    "a recovery leaves the WAL behind the versions that stand": lambda m: m.setattr(findings, "reached", lambda _: 0),
    "a customer that a message does not name is not looked for": lambda m: m.setattr(
        decisions, "_names_customer", lambda _: True
    ),
    "chats that arrive late are ignored": lambda m: m.setattr(pipeline, "moved_conversations", lambda *_: {}),
}


# What else may happen hides these for long: histories in which little else does.
_CALM = Faults(
    rounds=4, steps=40, rows=1, places=3, workers=1, initial=False, incremental=False, toast=False, errors=False,
    crashes=False, pauses=False, replay=False, refused=False, under_way=False, hidden=False, resend=False,
    late_inserts=False, large=False, identity=False,
)  # fmt: skip
FOCUSED = {
    "a customer that a message does not name is not looked for": replace(_CALM, identity=True),
    "a recovery leaves the WAL behind the versions that stand": replace(_CALM, rounds=8, steps=15, fail_overs=True),
    "no confirm": _CALM,
    "look-ups are trusted before they see the commit": replace(_CALM, hidden=True),
    "what is left aside is committed at once": replace(_CALM, rows=2, large=True, crashes=True),
    "late messages are written": replace(_CALM, resend=True),
    "the first transaction after a snapshot is ordered by its own LSN": replace(
        _CALM, rounds=1, rows=3, places=5, initial=True, under_way=True
    ),
}


@pytest.mark.parametrize("name", list(MUTATIONS))
def test_a_broken_pipeline_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTATIONS[name](monkeypatch)
    with pytest.raises((Violation, AssertionError, KeyError)):
        _run_seeds(400, FOCUSED.get(name))


def _placed_by(monkeypatch: pytest.MonkeyPatch, time_of: Callable[[int], int]) -> None:
    """The sort key has this of the event time, in the tables and in what the pipeline takes for one place."""
    monkeypatch.setattr(fake_clickhouse, "key_time", time_of)
    monkeypatch.setattr(Layout, "key", lambda layout, table, place, **ids: _key(layout, table, place, time_of, **ids))


def _key(
    layout: Layout, table: Table, place: Place, time_of: Callable[[int], int], *, scorecard_id: int, row_id: int
) -> Key:
    assert place.event_time_us is not None
    at = place.event_time_us
    return Key(layout.shard(at), table.target, place.customer_id, scorecard_id, row_id, time_of(at))


def _run_windows(count: int) -> None:
    for seed in range(count):
        run_seed(seed, Faults(rounds=3, steps=30, rows=1, windows=True, errors=False, initial=False))


def _first_of_month(time_us: int) -> int:
    """All times of a month as one: its first microsecond."""
    day = moment(time_us).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return parse_time(day.isoformat())


def test_readers_of_a_span_of_time_see_no_old_state() -> None:
    _run_windows(20)


def test_a_sort_key_with_the_month_shows_old_states_to_readers_of_a_span_of_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _placed_by(monkeypatch, _first_of_month)
    with pytest.raises(Violation, match=r"extra \[\("):
        _run_windows(20)


def test_appeals_that_are_kept_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from stream.pipeline import placement

    monkeypatch.setattr(placement, "APPEALS", frozenset())
    monkeypatch.setattr(placement, "ORDINARY", frozenset({None, 0, 1, 2, 3}))
    with pytest.raises((Violation, AssertionError)):
        _run_seeds(200)
