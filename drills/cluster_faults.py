"""The faults of three brokers and two Connect workers; as drills/faults.py, with names of their own."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from threading import Event
from typing import Any

from drills import held, marks
from drills.faults import Fault, Scene, kill
from testbed.universe import wait_for

BROKERS = ("kafka", "kafka-2", "kafka-3")
WORKERS = ("connect", "connect-2")
_wait = Event().wait


def broker(scene: Scene) -> list[str]:
    return [scene.random.choice(BROKERS)]


def connect(scene: Scene) -> list[str]:
    return [scene.random.choice(WORKERS)]


def worker(_: Scene) -> list[str]:
    return ["worker"]


def several(scene: Scene) -> list[str]:
    """Two parts of different kinds at once, or a whole kind: two brokers (no message is accepted), both Connects."""
    ways = [[*broker(scene), "worker"], [*broker(scene), *connect(scene)], [*connect(scene), "worker"]]
    return scene.random.choice([*ways, scene.random.sample(BROKERS, k=2), list(WORKERS)])


def amid_transactions(chosen: Callable[[Scene], list[str]]) -> Fault:
    """SIGKILL while an INSERT and a COPY are open; they commit when the parts run again."""

    def inflict(scene: Scene) -> str:
        names = chosen(scene)
        with held.transactions(scene.universe) as expected:
            what = kill(scene, *names)
        scene.expected |= expected
        return f"{'+'.join(names)}, {what}"

    return inflict


def away(name: str) -> Fault:
    """SIGKILL, and absence for long. Changes must become visible meanwhile."""

    def inflict(scene: Scene) -> str:
        began = time.monotonic()
        scene.stack.kill(name)
        marks.wait_until_visible(scene.universe, marks.mark(scene.universe), deadline_s=scene.away_s + 60)
        visible_s = time.monotonic() - began
        _wait(max(0.0, scene.away_s - visible_s))
        scene.stack.start(name)
        return f"{scene.away_s:.0f} s; flows again after {visible_s:.1f} s"

    return inflict


def amid_a_copy(scene: Scene) -> str:
    """SIGKILL the Connect worker with the task while it sends a COPY, and while other transactions are open."""
    with held.transactions(scene.universe) as expected:
        scene.expected |= held.copy(scene.universe, scene.random.randrange(2_000, 8_000))
        _wait(scene.random.uniform(0.0, 0.8))
        name = task_worker(scene)
        what = kill(scene, name)
    scene.expected |= expected
    return f"{name}, {what}"


def task_worker(scene: Scene) -> str:
    """The part on which the connector's task runs."""
    ports = {scene.stack.site.ports[name]: name for name in WORKERS}
    found: dict[str, Any] = wait_for("the task has a worker", lambda: _task(scene), deadline_s=90)
    return ports[int(found["worker_id"].rpartition(":")[2])]


def _task(scene: Scene) -> Any:
    for url in scene.universe.env["SCORESTREAM_CONNECT_URL"].split(","):
        try:
            with urllib.request.urlopen(f"{url}/connectors/{scene.universe.name}/status", timeout=10) as answer:
                tasks = json.load(answer)["tasks"]
                return tasks[0] if tasks and tasks[0]["state"] == "RUNNING" else None
        except OSError:
            continue
    return None


KILLS: dict[str, Fault] = {
    "broker": amid_transactions(broker),
    "connect": amid_transactions(connect),
    "worker": amid_transactions(worker),
    "several": amid_transactions(several),
}
AWAY: dict[str, Fault] = {f"{name} away": away(name) for name in (*BROKERS, *WORKERS)}
COPY: dict[str, Fault] = {"amid COPY": amid_a_copy}
FAULTS = KILLS | AWAY | COPY
