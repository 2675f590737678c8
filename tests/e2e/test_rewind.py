"""Rewind of the live group on the real stack."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.stack import Stack
from testbed.replays import done, refused
from testbed.universe import Universe, wait_for
from testbed.workload import Workload

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def universe(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Universe]:
    with Universe(stack.env(), tmp_path_factory.mktemp("rewind")) as made:
        made.set_up()
        yield made


@pytest.mark.long
def test_rewind_shows_refuses_moves_and_undoes(universe: Universe) -> None:
    with universe.postgres() as connection:
        workload = Workload(connection, seed=41)
        workload.add(60)
        with universe.worker():
            for _ in range(60):
                workload.change()
            universe.wait_until_equal()
            wait_for(
                "live has committed", lambda: _shown(universe, "--by-duration", "10m", "--dry-run")["messages"] > 300
            )
            # given a worker that runs; when a rewind is asked for, it is refused
            assert "active members" in refused(universe, "rewind", "--by-duration", "10m", "--yes")
        # and --dry-run shows each partition, and moves nothing
        shown = _shown(universe, "--by-duration", "10m", "--dry-run")
        assert not shown["executed"]
        assert shown["messages"] > 300
        assert shown == _shown(universe, "--by-duration", "10m", "--dry-run")
        assert "say --yes" in refused(universe, "rewind", "--by-duration", "10m")
        assert all(each["from"] - each["to"] == each["messages"] for each in shown["partitions"])
        # when it is executed and a worker starts
        moved = _shown(universe, "--by-duration", "10m", "--yes")
        assert moved["executed"]
        with universe.worker() as worker:
            wait_for("it processes all again", lambda: "msg=indexed" in worker.log.read_text("utf-8"))
            # then nothing changed
            universe.wait_until_equal()
        assert json.loads(done(universe, "verify", "--json", "--no-wait"))["clean"]
        # and the undo moves it to where it was
        done(universe, *shlex.split(moved["undo"])[1:])
        after = _shown(universe, "--to-earliest", "--dry-run")
        wanted = {(each["topic"], each["partition"]): each["from"] for each in moved["partitions"]}
        for each in after["partitions"]:
            key = each["topic"], each["partition"]
            assert each["from"] == wanted.get(key, each["from"])


def _shown(universe: Universe, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(universe, "rewind", *options, "--json"))
    return found


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
