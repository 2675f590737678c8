"""The faults: each is inflicted and healed by one function; the names are what `--only` takes.

All randomness is the drill's seeded one. A fault returns when everything it broke is started again (not: caught up).
"""

from __future__ import annotations

import random
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psycopg

from devstack.stack import Stack
from drills.workers import Supervised
from testbed.universe import Universe

PARTS = ("connect", "kafka", "postgres", "clickhouse-0", "clickhouse-1")


@dataclass
class Scene:
    """The parts on which faults act. `quick` shortens the faults that last."""

    stack: Stack
    universe: Universe
    workers: list[Supervised]
    random: random.Random
    quick: bool = False
    extra: int = field(default=100)
    away: float | None = None  # seconds for which a part is away; None = as the faults have it
    expected: dict[str, int] = field(default_factory=dict)  # scorecard -> scores that the round must show

    @property
    def pause_s(self) -> float:
        return 8.0 if self.quick else 30.0

    @property
    def away_s(self) -> float:
        return self.away or (20.0 if self.quick else 75.0)


Fault = Callable[[Scene], str]
_wait = threading.Event().wait


def kill(scene: Scene, *names: str) -> str:
    """SIGKILL parts and workers together; they come back after up to four seconds."""
    down_s = scene.random.uniform(0.2, 1.0 if scene.quick else 4.0)
    for name in names:
        if name == "worker":
            scene.random.choice(scene.workers).kill()
        elif name == "workers":
            for worker in scene.workers:
                worker.kill()
        else:
            scene.stack.kill(name)
    _wait(down_s)
    parts = [name for name in names if name not in ("worker", "workers")]
    if parts:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(scene.stack.start, parts))
    return f"down {down_s:.1f} s"


def killing(*names: str) -> Fault:
    return lambda scene: kill(scene, *names)


def broker_away(scene: Scene) -> str:
    """The broker is away for longer than a transaction may stay open: every open transaction is lost."""
    scene.stack.kill("kafka")
    _wait(scene.away_s)
    scene.stack.start("kafka")
    return f"down {scene.away_s:.0f} s"


def pair(scene: Scene) -> str:
    """Two faults at once, a little apart."""
    names = scene.random.sample(["worker", *PARTS], k=2)
    return "+".join(names) + ", " + kill(scene, *names)


def everything(scene: Scene) -> str:
    return kill(scene, "workers", *PARTS)


def pause(scene: Scene) -> str:
    """A worker sleeps for longer than the group waits for it, and wakes up amid its batch: a zombie."""
    worker = scene.random.choice(scene.workers)
    worker.pause()
    _wait(scene.pause_s)
    worker.resume()
    return f"asleep {scene.pause_s:.0f} s"


def _order(scene: Scene, query: str, method: str = "POST") -> None:
    for url in scene.universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
        request = urllib.request.Request(f"{url}/devstack/fail{query}", method=method)
        urllib.request.urlopen(request, timeout=10).read()


def refusing(order: str, *, last_s: float = 8.0) -> Fault:
    """Both shards fail every insert for some seconds."""

    def refuse(scene: Scene) -> str:
        _order(scene, f"?{order}&times=100000&on=insert")
        _wait(3.0 if scene.quick else last_s)
        _order(scene, "", "DELETE")
        return order

    return refuse


def flaky(scene: Scene) -> str:
    """ClickHouse stores inserts and loses its answers, so the inserts come again."""
    for mode in ("lose-answer", "close"):
        _order(scene, f"?mode={mode}&times=10&on=insert")
    _wait(3.0 if scene.quick else 8.0)
    _order(scene, "", "DELETE")
    return "20 of each shard"


def cut_postgres(scene: Scene) -> str:
    """Every connection to the source is terminated, the replication slot's among them."""
    with psycopg.connect(scene.universe.url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    return f"{row[0] if row else 0} connections"


def storm(scene: Scene) -> str:
    """A further worker comes and goes every five seconds: each time the group shares its partitions again."""
    rounds = 2 if scene.quick else 6
    for turn in range(rounds):
        scene.extra += 1
        guest = Supervised(scene.universe, scene.extra)
        _wait(5)
        if turn % 2:
            guest.end()
        else:
            guest.stop()
    return f"{rounds} times"


FAULTS: dict[str, Fault] = {
    "worker": killing("worker"),
    "connect": killing("connect"),
    "kafka": killing("kafka"),
    "kafka-away": broker_away,
    "postgres": killing("postgres"),
    "clickhouse-0": killing("clickhouse-0"),
    "clickhouse-1": killing("clickhouse-1"),
    "workers": killing("workers"),
    "pair": pair,
    "pause": pause,
    "too-many-parts": refusing("code=252"),
    "read-only": refusing("code=242"),
    "disk-full": refusing("code=243"),
    "lost-answers": flaky,
    "cut-postgres": cut_postgres,
    "storm": storm,
    "everything": everything,
}


def schedule(chooser: random.Random, names: list[str], rounds: int) -> list[str]:
    """All faults in random order, again and again, up to this number."""
    order: list[str] = []
    while len(order) < rounds:
        order += chooser.sample(names, k=len(names))
    return order[:rounds]


def timed(fault: Fault, scene: Scene) -> tuple[str, float]:
    """The fault's own description, and how long it lasted."""
    began = time.monotonic()
    return fault(scene), time.monotonic() - began
