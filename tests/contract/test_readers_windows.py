"""Readers who ask for a part of the rows see the truth, too: windows of time, and conditions on any column.

ClickHouse leaves out parts whose event times lie outside of a window before FINAL looks for the newest state.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from stream import config
from stream.clickhouse.schema.look import TableLook
from stream.errors import ClickHouseRefused
from stream.pipeline.placement import GONE, Place, State, month_of
from stream.pipeline.reindex import plan_reindex
from stream.pipeline.stored import Snapshot, Standing
from stream.pipeline.writes import Layout
from stream.tables import SCORECARD, TARGETS, Table
from tests.contract.targets import RealTarget
from tests.windows import DAY_US, windows

pytestmark = pytest.mark.stack

OLD_DDL = (Path(__file__).parents[1] / "data" / "month_in_the_sort_key.sql").read_text("utf-8")
MAY = 1_777_593_600_000_000  # 2026-05-01
# Moves within a day, a month and a shard (of two), to another shard, and to other months.
STOPS = [MAY, MAY + 1, MAY + 3_600_000_000, MAY + 2 * DAY_US, MAY + 4 * DAY_US, MAY + 9 * DAY_US, MAY - 40 * DAY_US]
CARDS = [UUID(int=0x5C << 120 | n) for n in range(6)]


def statements(ddl: str) -> list[str]:
    lines = [line for line in ddl.splitlines() if not line.startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]


@pytest.fixture
def database(stack_env: dict[str, str]) -> str:
    return f"windows_{uuid4().hex[:12]}"


@pytest.fixture
def target(database: str) -> Iterator[RealTarget]:
    with RealTarget(config.load().clickhouse, database) as real:
        yield real


class Readers:
    """Scorecards that move and vanish at a target, and the rows that readers must see of them."""

    def __init__(self, target: RealTarget, seed: int, *, by_month: bool = False) -> None:
        self.target = target
        self.by_month = by_month  # write as the release before did: a time within the month is the same place
        self.choices = random.Random(seed)
        self.layout = Layout(target.shards.count, 1)
        self.version = 1
        self.places: dict[str, Place] = {}

    def step(self) -> None:
        """One scorecard arrives, moves, becomes an appeal, changes its kind or its customer, or is deleted."""
        card = str(self.choices.choice(CARDS))
        state = self.choices.choice([State.VISIBLE] * 4 + [State.APPEAL, State.GONE])
        customer, process = self.choices.choice(["acme", "acme", "globex"]), self.choices.random() < 0.5
        place = Place(state, customer, self.choices.choice(STOPS), process)
        self.move(card, GONE if state is State.GONE else place)

    def move(self, card: str, place: Place) -> None:
        self.places[card] = place
        self.version += 1
        snapshot = Snapshot({card: place}, {table.target: self._rows(table, card) for table in TARGETS})
        standing = self.target.standing([card], ["acme", "globex"])
        if self.by_month:
            newest: dict[tuple[object, ...], Standing] = {}
            for row in sorted(standing, key=lambda row: row.version):
                newest[(*row.key[:5], month_of(row.key.event_time_us))] = row
            at = place.event_time_us
            moved_within = {
                row.key
                for row in newest.values()
                if place.state is State.VISIBLE and at is not None and month_of(row.key.event_time_us) == month_of(at)
            }
            standing = [row for row in newest.values() if row.key not in moved_within]
        plan = plan_reindex({card: self.version}, snapshot, standing, self.layout)
        plan.markers.update(plan.rows)  # one insert for both, as the pipeline does
        self.target.write(plan.markers)

    def check(self, count: int) -> None:
        """Every window shows the rows that it must, and no other."""
        for table in TARGETS:
            names = [column.name for column in table.all_columns]
            wanted = sorted(self._wanted(table, names), key=repr)
            assert self.target.visible(table) == wanted
            for window in windows(self.choices, table, STOPS, wanted, count):
                assert self.target.window(table, window.sql) == [row for row in wanted if window.holds(row)], window.sql

    def _wanted(self, table: Table, names: list[str]) -> Iterator[tuple[Any, ...]]:
        for card, place in self.places.items():
            if place.state is State.VISIBLE:
                for _, *values in self._rows(table, card):
                    row = dict(zip((column.name for column in table.columns), values, strict=True)) | {
                        "customer_id": place.customer_id,
                        "scorecard_id": UUID(card).int,
                        "event_time": place.event_time_us,
                        "is_process": place.is_process,
                    }
                    yield tuple(UUID(v).int if n.endswith("_id") and isinstance(v, str) and n != "customer_id" else v
                                for n in names for v in [row[n]])  # fmt: skip

    def _rows(self, table: Table, card: str) -> list[tuple[Any, ...]]:
        known = {
            "template_id": card, "criterion_id": card, "not_applicable": False, "created_at": MAY, "updated_at": MAY,
            "score": 1.5, "comment": "fine",
        }  # fmt: skip
        ids = [card] if table is SCORECARD else [str(UUID(int=UUID(card).int + 256 * n)) for n in (1, 2)]
        return [(card, *((known | {"score_id": own}).get(column.name) for column in table.columns)) for own in ids]


def sequence(readers: Readers) -> None:
    """A process scorecard of 3 May moves to 5 May, then turns into an appeal; windows end between the two."""
    card = str(CARDS[0])
    for place in (
        Place(State.VISIBLE, "acme", MAY + 2 * DAY_US, True),
        Place(State.VISIBLE, "acme", MAY + 4 * DAY_US, True),
        Place(State.APPEAL, "acme", MAY + 4 * DAY_US, True),
    ):
        readers.move(card, place)
        readers.check(20)


def test_a_row_that_moved_within_its_month_and_an_appeal_are_in_no_window(target: RealTarget) -> None:
    sequence(Readers(target, 0))


def test_with_the_month_in_the_sort_key_a_window_shows_what_is_gone(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given tables of the release before, written as that one did
    monkeypatch.setattr(TableLook, "_check_layout", lambda *_: None)
    with RealTarget(config.load().clickhouse, database, ddl=statements(OLD_DDL)) as old, pytest.raises(AssertionError):
        sequence(Readers(old, 0, by_month=True))


def test_tables_of_the_release_before_are_refused_with_the_way_out(database: str) -> None:
    with (
        RealTarget(config.load().clickhouse, database, ddl=statements(OLD_DDL)) as old,
        pytest.raises(ClickHouseRefused, match=r"replay start NAME --into .* cutover NAME"),
    ):
        Readers(old, 0).step()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2, 3))])
def test_random_windows_show_what_they_must_before_and_after_merges(target: RealTarget, seed: int) -> None:
    readers = Readers(target, seed)
    for _ in range(3):
        for _ in range(12):
            readers.step()
        readers.check(12)
        target.merge()
        readers.check(12)
