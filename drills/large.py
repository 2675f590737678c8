"""Large things: `python -m drills.large [--scores N] [--only NAME,..] [--json]`.

    another customer commits all the time -> one large transaction -> all of it is visible -> the next -> compare

Told of each: how long it took, the longest delay of the other customer, and the worker's memory. Sizes follow the
number of scores: with 5,000,000 a scorecard has 1,000,000 scores, a conversation 100,000 scorecards, and a customer
2,000,000 scorecards. Exit 0 = PASS, 1 = FAIL, 2 = usage. The table goes to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from devstack.stack import Stack
from drills import marks
from drills.beside import Beside
from drills.compare import dead_letters, ends, lag
from drills.disturb import kill, rebalance
from drills.slices import differences
from drills.workers import Supervised
from testbed.universe import Universe, wait_for

PARTITIONS = 16  # of an installation by default: what may wait behind a large reindex grows with them
MOST_DELAY_S = 10.0
MOST_RSS = 1 << 30
VISIBLE_S = 3_600.0
TEXT = 20_000_000  # characters: an update has it twice, which is more than a message may have
_CARDS = (
    "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, conversation_id, scorecard_time) "
    "SELECT md5('{name}' || i)::uuid, '{name}', md5('template' || i % 40)::uuid, {conversation}, "
    "timestamptz '2026-01-01' + i % 50 * interval '1 day' FROM generate_series(1, {cards}) i"
)
_SCORES = (
    "INSERT INTO app.scores (score_id, scorecard_id, criterion_id, numeric_value, comment) "
    "SELECT md5('{name} score' || i || ' ' || n)::uuid, md5('{name}' || i)::uuid, md5('criterion' || n)::uuid, n, "
    "CASE WHEN n < 3 THEN 'greeting and closing as agreed' END "
    "FROM generate_series(1, {cards}) i, generate_series(1, {each}) n"
)
_OF_LARGE = "scorecard_id IN (SELECT scorecard_id FROM app.scorecards WHERE customer_id = 'large')"


@dataclass(slots=True)
class Thing:
    """One large thing; seconds and bytes.

    Attributes:
        commit_s: how long Postgres took for it.
        visible_s: from its commit until all of it was visible.
        delay_s: the longest delay of the other customer, from commit to visible.
        worker_s: the longest part of such a delay that was after Kafka.
        rss: the most memory of the worker meanwhile.
    """

    name: str
    rows: int
    commit_s: float
    visible_s: float
    began: float
    delay_s: float = 0.0
    worker_s: float = 0.0
    rss: int = 0


Connection = psycopg.Connection[Any]


class Large:
    """The things, in their order. Each returns how many rows its transaction changed."""

    def __init__(self, scores: int) -> None:
        self.scores = scores

    def insert(self, sql: Connection) -> int:
        cards = self.scores // 10
        with sql.transaction():
            sql.execute(
                _CARDS.format(name="large", conversation="NULL", cards=cards).encode() + b" ON CONFLICT DO NOTHING"
            )
            return sql.execute(_SCORES.format(name="large", cards=cards, each=10).encode()).rowcount

    def update(self, sql: Connection) -> int:
        return sql.execute(
            f"UPDATE app.scores SET numeric_value = numeric_value + 1 WHERE {_OF_LARGE}".encode()
        ).rowcount

    def delete(self, sql: Connection) -> int:
        return sql.execute(f"DELETE FROM app.scores WHERE {_OF_LARGE}".encode()).rowcount

    def text(self, sql: Connection) -> int:
        one = "WHERE scorecard_id = md5('large1')::uuid"
        sql.execute(f"UPDATE app.scorecards SET comment = repeat('0123456789', {TEXT // 10}) {one}".encode())
        return sql.execute(f"UPDATE app.scorecards SET score = 7 {one}".encode()).rowcount

    def one_scorecard(self, sql: Connection) -> int:
        with sql.transaction():
            sql.execute(_CARDS.format(name="one", conversation="NULL", cards=1).encode())
            return sql.execute(_SCORES.format(name="one", cards=1, each=self.scores // 5).encode()).rowcount

    def move(self, sql: Connection) -> int:
        return sql.execute(
            "UPDATE app.scorecards SET scorecard_time = scorecard_time + interval '41 days' WHERE customer_id = 'one'"
        ).rowcount

    def waiting(self, sql: Connection) -> int:
        cards = self.scores // 50
        with sql.transaction():
            sql.execute(_CARDS.format(name="talk", conversation="md5('talk')::uuid::text", cards=cards).encode())
            return cards + sql.execute(_SCORES.format(name="talk", cards=cards, each=2).encode()).rowcount

    def chat(self, sql: Connection) -> int:
        return sql.execute(
            "INSERT INTO app.chats VALUES (md5('talk')::uuid::text, 'talk', NULL, timestamptz '2026-02-01', NULL)"
        ).rowcount

    def customer(self, sql: Connection) -> int:
        return sql.execute(
            _CARDS.format(name="gone", conversation="NULL", cards=self.scores * 2 // 5).encode()
        ).rowcount

    def customer_deleted(self, sql: Connection) -> int:
        return sql.execute("DELETE FROM app.scorecards WHERE customer_id = 'gone'").rowcount

    def truncate(self, sql: Connection) -> int:
        ((rows,),) = sql.execute("SELECT count(*) FROM app.scores").fetchall()
        sql.execute("TRUNCATE app.scores")
        return int(rows)


THINGS: dict[str, Callable[[Large, Connection], int]] = {
    "insert": Large.insert,
    "update": Large.update,
    "delete": Large.delete,
    "insert again": Large.insert,
    "text": Large.text,
    "one scorecard": Large.one_scorecard,
    "it moves": Large.move,
    "kill -9": Large.move,
    "rebalance": Large.move,
    "scorecards wait": Large.waiting,
    "their chat": Large.chat,
    "a customer": Large.customer,
    "it is deleted": Large.customer_deleted,
    "truncate": Large.truncate,
}


# What happens amid the reindex of a thing. The other customer waits for a worker's start in any case.
AMID: dict[str, Callable[[Universe, Supervised], None]] = {"kill -9": kill, "rebalance": rebalance}


class Memory:
    """The most resident memory of a worker, looked at four times a second."""

    def __init__(self, worker: Supervised) -> None:
        self._worker = worker
        self._most = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def take(self) -> int:
        """The most since the last call."""
        most, self._most = self._most, 0
        return most

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            child = self._worker.child()
            if child is not None:
                with suppress(psutil.NoSuchProcess):
                    self._most = max(self._most, psutil.Process(child).memory_info().rss)


def drill(universe: Universe, *, scores: int, names: list[str]) -> tuple[list[Thing], list[str]]:
    """Every thing after the other; returns them, and what is wrong at the end."""
    large, done, wrong = Large(scores), [], []
    worker = Supervised(universe, 1)
    memory = Memory(worker)
    try:
        marks.wait_until_visible(universe, marks.mark(universe), deadline_s=120)
        with Beside(universe) as beside, universe.postgres() as sql:
            for name in names:
                done.append(thing := _one(universe, name, large, sql, beside, worker))
                thing.rss = memory.take()
                _say(
                    f"{name}: {thing.rows:,} rows, {thing.commit_s:.1f} s in Postgres, visible after "
                    f"{thing.visible_s:.1f} s, worker {thing.rss >> 20} MiB"
                )
        marks.wait_until_visible(universe, marks.mark(universe), deadline_s=VISIBLE_S)
        beside.read_kafka()
        for thing, following in zip(done, [*done[1:], None], strict=True):
            end = float("inf") if following is None else following.began
            rows = [row for row in beside.since(thing.began) if row.committed < end]
            thing.delay_s = max((row.delay_s for row in rows), default=0.0)
            thing.worker_s = max((row.worker_s for row in rows), default=0.0)
        wrong += beside.errors
        found, rows_equal = differences(universe)
        _say(f"compared {rows_equal:,} rows")
        wrong += found
        if letters := dead_letters(universe):
            wrong.append(f"{letters} dead letters")
        wrong += [f"the worker ended by itself: {cause}" for cause in worker.own_ends()]
        if code := worker.stop():
            wrong.append(f"the worker's exit code is {code}")
    finally:
        memory.close()
        worker.end()
    return done, wrong


def _one(universe: Universe, name: str, large: Large, sql: Connection, beside: Beside, worker: Supervised) -> Thing:
    began = time.time()
    rows = THINGS[name](large, sql)
    committed = time.time()
    if name == "truncate":
        beside.forget()
    if name in AMID:
        AMID[name](universe, worker)
    marks.wait_until_visible(universe, marks.mark(universe), deadline_s=VISIBLE_S)
    end = ends(universe)  # of all that was sent with the marks, or before
    wait_for("all is committed", lambda: not lag(universe, until=end), deadline_s=VISIBLE_S, every_s=0.5)
    return Thing(name, rows, committed - began, time.time() - committed, began)


def main() -> int:
    options = _options()
    names = options.only.split(",") if options.only else list(THINGS)
    if unknown := [name for name in names if name not in THINGS]:
        print(f"drill: no such thing {', '.join(unknown)}; there are {', '.join(THINGS)}", file=sys.stderr)
        return 2
    stack, folder = Stack(options.dir), Path(tempfile.mkdtemp(prefix="large-"))
    passed = False
    try:
        stack.up()
        universe = Universe(stack.env(), folder, partitions=PARTITIONS)
        universe.set_up()
        things, wrong = drill(universe, scores=options.scores, names=names)
        wrong += [f"{each.name}: the worker had {each.rss >> 20} MiB" for each in things if each.rss >= MOST_RSS]
        slow = [each for each in things if each.worker_s > MOST_DELAY_S and each.name not in AMID]
        wrong += [f"{each.name}: the other customer waited {each.worker_s:.1f} s for the worker" for each in slow]
        passed = not wrong
        _show(things, wrong, options.scores, as_json=options.json)
    finally:
        stack.clean()
        if passed:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            _say(f"logs of the worker: {folder}")
    return 0 if passed else 1


def _show(things: list[Thing], wrong: list[str], scores: int, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"passed": not wrong, "wrong": wrong, "things": [asdict(each) for each in things]}, indent=2))
        return
    print(
        f"{'thing':<16} {'rows':>10} {'commit s':>9} {'visible s':>9} {'others s':>9} {'of it worker':>12} {'MiB':>6}"
    )
    for each in things:
        print(
            f"{each.name:<16} {each.rows:>10,} {each.commit_s:>9.1f} {each.visible_s:>9.1f} {each.delay_s:>9.1f} "
            f"{each.worker_s:>12.1f} {each.rss >> 20:>6,}"
        )
    for line in wrong:
        print(f"  {line}")
    worst, most = max(each.worker_s for each in things), max(each.rss for each in things)
    print(
        f"drill: {'FAIL' if wrong else 'PASS'} {scores:,} scores: others waited {max(e.delay_s for e in things):.1f} s "
        f"at most, {worst:.1f} s of it for the worker; worker {most >> 20:,} MiB at most"
    )


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="drills.large", description="Large transactions beside another customer's changes; compare at the end."
    )
    parser.add_argument("--scores", type=int, default=250_000, help="(default: 250000)")
    parser.add_argument("--only", help=f"some of: {','.join(THINGS)}")
    parser.add_argument("--dir", type=Path, default=Path(".devstack-large"), help="(default: .devstack-large)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
