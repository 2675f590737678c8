"""A replay into the live tables that is cancelled half way leaves nothing outdated, also after a kill of the cancel."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from testbed.replays import Running, done, facts, progress, refused, wait_until_published
from testbed.universe import Universe, wait_for
from testbed.workload import Workload
from tests.damage import Damage

pytestmark = [pytest.mark.stack, pytest.mark.long]


@pytest.fixture(scope="module")
def universe(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Universe]:
    """A log with every kind of change, that a live worker has read."""
    with Universe(stack.env(), tmp_path_factory.mktemp("replay-cancel")) as made:
        made.set_up()
        with made.postgres() as connection:
            workload = Workload(connection, seed=14)
            workload.add(300)
            for _ in range(300):
                workload.change()
        wait_until_published(made)
        with made.worker():
            made.wait_until_equal()
            yield made


@contextmanager
def changing(universe: Universe, seed: int) -> Iterator[None]:
    """Rows change for as long as the context."""
    ended = threading.Event()

    def change() -> None:
        with universe.postgres() as connection:
            workload = Workload(connection, seed=seed)
            workload.add(20)
            while not ended.is_set():
                workload.change()
                ended.wait(0.02)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def leave_a_ghost(universe: Universe) -> tuple[str, Any]:
    """A deleted score where its scorecard is now, as a batch of a replay writes it without a tail pass."""
    damage = Damage(universe.env, universe.name)

    def shown() -> tuple[str, int, dict[str, Any]] | None:
        with universe.postgres() as connection:
            (card,) = connection.execute(
                "SELECT s.scorecard_id FROM app.scores s JOIN app.scorecards c USING (scorecard_id) "
                "WHERE coalesce(c.scorecard_type, 0) = 0 AND c.conversation_id IS NULL "
                "AND c.scorecard_time IS NOT NULL "
                "AND isfinite(c.scorecard_time) GROUP BY 1 HAVING count(*) > 1 ORDER BY random() LIMIT 1"
            ).fetchone()  # type: ignore[misc]
        with suppress(AssertionError):  # it is changing now, and not shown yet
            return str(card), damage.shard_of("score", str(card)), damage.row("score", str(card))
        return None

    try:
        card, shard, row = wait_for("a scorecard's scores are shown", shown)
        row |= {"score_id": "00000000-0000-4000-8000-0000000000ff", "_version": 1}
        damage.insert("score", shard, row)
    finally:
        damage.close()
    return card, row["score_id"]


@pytest.mark.parametrize("killed", [False, True], ids=["its processes end well", "its processes are killed"])
def test_a_cancelled_replay_leaves_nothing_outdated(universe: Universe, killed: bool) -> None:
    name = f"cancelled-{killed}".lower()
    # given a replay half way, beside rows that change; and a row that only its tail pass would have retired
    with changing(universe, seed=15 + killed), Running(universe, "start", name, "--rate", "150") as running:
        wait_for("it has committed something", lambda: progress(universe, name) > 100)
        leave_a_ghost(universe)
        if killed:
            running.kill_all()
        # when the cancel is killed with SIGKILL while it compares
        with Running(universe, "cancel", name) as first:
            wait_for("it compares", lambda: "comparing" in first.tail(), every_s=0.01)
            first.kill_all()
        assert facts(universe, name)["state"] == "cancelled"
        assert universe.differences() != []
        # and given again
        assert "cancelled" in done(universe, "replay", "cancel", name)
    # then every row is as Postgres has it, and the replay has ended
    universe.wait_until_equal()
    assert f"replay {name} is cancelled" in refused(universe, "replay", "cancel", name)
