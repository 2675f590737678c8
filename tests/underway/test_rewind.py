"""Rewind of the live group on the real stack."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from tests.replays import refused
from tests.universe import Universe, wait_for
from tests.workload import Workload

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def universe(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Universe]:
    made = Universe(stack.env(), tmp_path_factory.mktemp("rewind"))
    try:
        made.set_up()
        yield made
    finally:
        made.close()


def test_rewind_shows_refuses_moves_and_undoes(universe: Universe) -> None:
    with universe.postgres() as connection:
        workload = Workload(connection, seed=41)
        workload.add(60)
        with universe.worker():
            for _ in range(60):
                workload.change()
            universe.wait_until_equal()
            # given a worker that runs; when a rewind is executed, it is refused
            assert "active members" in refused(universe, "rewind", "--by-duration", "10m", "--execute")
        # and without --execute it shows each partition, and moves nothing
        shown = json.loads(universe.run("rewind", "--by-duration", "10m", "--json").stdout)
        assert not shown["executed"]
        assert shown["messages"] > 300
        assert shown == json.loads(universe.run("rewind", "--by-duration", "10m", "--json").stdout)
        assert all(each["from"] - each["to"] == each["messages"] for each in shown["partitions"])
        # when it is executed and a worker starts
        moved = json.loads(universe.run("rewind", "--by-duration", "10m", "--execute", "--json").stdout)
        assert moved["executed"]
        with universe.worker() as worker:
            wait_for("it processes all again", lambda: "msg=batch" in worker.log.read_text("utf-8"))
            # then nothing changed
            universe.wait_until_equal()
        assert json.loads(universe.run("verify", "--json", "--no-wait").stdout)["clean"]
        # and the undo moves it to where it was
        universe.run(*shlex.split(moved["undo"])[1:])
        after = json.loads(universe.run("rewind", "--to-earliest", "--json").stdout)
        wanted = {(each["topic"], each["partition"]): each["from"] for each in moved["partitions"]}
        for each in after["partitions"]:
            key = each["topic"], each["partition"]
            assert each["from"] == wanted.get(key, each["from"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "say where to"),
        (("--by-duration", "soon"), "no duration"),
        (("--to-latest", "--to-earliest"), "say where to"),
    ],
)
def test_rewind_refuses_in_one_line(universe: Universe, options: tuple[str, ...], says: str) -> None:
    assert says in refused(universe, "rewind", *options)
