"""The processes of a replay: started, watched, started again when they are killed, ended together."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Sequence

from stream import interpreter
from stream.clickhouse.shards import leave_pandas_out
from stream.config import Settings
from stream.errors import Retry, ScorestreamError
from stream.kafka.announcement import Announcement
from stream.kafka.broker import Broker
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.progress import Progress
from stream.replay.display import Display
from stream.replay.member import Member
from stream.replay.state import ReplayTopic, check_open
from stream.replay.status import present_pass, summary
from stream.retry import poll
from stream.supervise import Children, describe, own_command, stop_event
from stream.web.health import Health, HealthCheck
from stream.web.server import serve
from stream.wiring import broker, clients_of_replay, open_stores

log = logging.getLogger(__name__)

_LOOK_S = 0.5
_RESPAWNS = 20  # of processes that were killed


def run_member(settings: Settings, name: str) -> int:
    """Run one process's work here, until SIGTERM or the end; returns the exit code."""
    with stop_event() as stopping:
        state = _work(settings, name, stopping)
    log.info("member ended", extra={"replay": name, "state": state})
    return 0


def _work(settings: Settings, name: str, stopping: threading.Event) -> str:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(settings.replay.nice, os.getpriority(os.PRIO_PROCESS, 0)))
    leave_pandas_out()
    interpreter.prepare()  # before the clients' threads take arenas of their own
    batch = settings.batch
    web = settings.web.model_copy(update={"port": settings.replay.port})
    health = Health(live=(HealthCheck("process", ok=True, reason="answers"),))
    # Several processes of one host want the port; the first gets it.
    with (
        open_stores(settings) as stores,
        serve(web, health=lambda: health, role="replay", installation=settings.name, any_port=True) as server,
        Announcement(stores.broker, url=server.url, role="replay"),
    ):
        return Member(
            stores,
            clients_of_replay(settings),
            name,
            own=settings.replay,
            retry=settings.retry,
            guard=lambda: DeadLetterGuard(share=batch.dead_letter_share, window=batch.dead_letter_window),
            stopping=stopping,
            parent=os.getppid(),
        ).run()


def run(
    settings: Settings,
    name: str,
    *,
    processes: int,
    log_level: str | None = None,
    options: Sequence[str] = (),
    show: bool = True,
) -> str:
    """Start processes and show progress until the replay ends, is paused, or SIGTERM; returns the replay's state.

    Args:
        options: of the processes' command line, by which they read the same settings.

    Raises:
        ScorestreamError: the processes failed.
    """
    with (
        broker(settings) as kafka,
        ReplayTopic(kafka) as topic,
        stop_event() as stopping,  # the processes then finish their batches and commit
    ):
        check_open(topic.get(name))
        family = _Family(name, log_level, options, nice=settings.replay.nice)
        try:
            for _ in range(processes):
                family.spawn()
            with Progress(f"replay {name}", unit="messages", show=show, last_line=False) as progress:
                display = Display(progress)
                while family.left():
                    stopping.wait(_LOOK_S)
                    if stopping.is_set():
                        family.stop()
                    family.look(stopping=stopping.is_set())
                    if show:
                        _show(topic, kafka, name, display)
        finally:
            family.stop()
            family.wait()
        if family.failed:
            raise ScorestreamError(
                f"a process of replay {name} ended with exit code {family.failed}; what it had not finished is not "
                f"committed. Correct the cause above, then `{' '.join(['scorestream replay resume', *options, name])}`"
            )
        last = poll(  # the last reports
            lambda: topic.get(name),
            lambda found: found.result is not None or not found.alive(),
            timeout_s=1,
            every_s=0.1,
        )
        return last.state


def _show(topic: ReplayTopic, broker: Broker, name: str, display: Display) -> None:
    try:
        replay = topic.get(name)
        tps = [span.tp for span in present_pass(replay).spans]
        display.show(summary(replay, broker.committed(replay.plan.group, tps)))
    except Retry as error:
        log.warning("retry", extra={"cause": str(error)})


class _Family:
    """The processes of a replay: starts another for a killed one, and ends all when one failed."""

    def __init__(self, name: str, log_level: str | None, options: Sequence[str], *, nice: int) -> None:
        command = own_command("replay", "member", *options, name, log_level=log_level)
        self._children = Children(command, nice=nice)
        self._respawns = 0
        self.failed = 0

    def spawn(self) -> None:
        """Start one more."""
        self._children.spawn()

    def left(self) -> bool:
        """Whether one of them runs, or has ended since the last look."""
        return self._children.left()

    def look(self, *, stopping: bool) -> None:
        """Start another process for each killed one; stop all when one failed."""
        for ended in self._children.ended():
            if ended.code == 0 or stopping:
                continue
            if ended.code < 0 and self._respawns < _RESPAWNS:
                self._respawns += 1
                fields = {"pid": ended.pid, "cause": describe(ended.code)}
                log.warning("a process was killed; starting another", extra=fields)
                self.spawn()
            else:
                self.failed = ended.code
                self.stop()

    def stop(self) -> None:
        """Ask all processes to finish their batches."""
        self._children.send(signal.SIGTERM)

    def wait(self) -> None:
        """Wait until all have ended."""
        self._children.wait()
