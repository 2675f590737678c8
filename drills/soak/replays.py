"""The replays of a soak: one after another, in turns into the live tables and into a shadow that is cut over.

Each into a shadow is killed once amid its work, and resumed. What a kill of another part ends is resumed as well.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from drills.background import Background
from testbed.replays import Command, Running, facts
from testbed.universe import Universe, wait_for

DONE_S = 600.0  # limit of one replay with its cutover
KILL_AFTER_S = 2.0
TRIES = 6  # of a cutover: a part may be killed amid it


@dataclass
class Replayed:
    """One replay. `failed` says what did not go; empty = all went."""

    name: str
    into: str
    messages: int = 0
    seconds: float = 0.0
    killed: int = 0
    resumed: int = 0
    cutovers: int = 0  # tries until one went
    failed: str = ""


@dataclass
class Replays(Background):
    """A thread that replays every `every_s` seconds while a block runs."""

    universe: Universe
    every_s: float
    say: Callable[[str], None]
    join_s: ClassVar[float] = DONE_S
    done: list[Replayed] = field(default_factory=list)

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            due += self.every_s
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            number = len(self.done) + 1
            shadow = f"{self.universe.name}shadow{number}" if number % 2 else ""
            each = Replayed(f"soak{number}", shadow or "live")
            began = time.monotonic()
            try:
                self._replay(each, shadow)
                if shadow:
                    self._cut_over(each)
            except Exception as error:
                each.failed = f"{type(error).__name__}: {error}"
            each.seconds = round(time.monotonic() - began, 1)
            self.done.append(each)
            self.say(
                f"replay {each.name} into {each.into}: {each.failed or f'{each.messages:,} messages'}, {each.seconds} s"
            )

    def _replay(self, each: Replayed, shadow: str) -> None:
        into = ("--into", shadow) if shadow else ()
        start = ("start", each.name, *into, "--processes", "2")
        running = Running(self.universe, *start)
        deadline = time.monotonic() + DONE_S
        if shadow:
            self._kill(each, running)
        while running.process.poll() is None or not self._is_done(each):
            if time.monotonic() > deadline:
                running.__exit__()
                raise TimeoutError(f"not done within {DONE_S:.0f} s: {running.tail()[-500:]}")
            if running.process.poll() is not None:
                each.resumed += 1
                # A start that a part refused, because it was just killed, has left no replay to resume.
                again = ("resume", each.name) if self._known(each.name) else start
                running = Running(self.universe, *again)
            with contextlib.suppress(Exception):
                running.wait(timeout_s=1)

    def _kill(self, each: Replayed, running: Running) -> None:
        wait_for("the replay exists", lambda: self._known(each.name) or running.process.poll() is not None)
        threading.Event().wait(KILL_AFTER_S)
        with contextlib.suppress(ProcessLookupError):
            running.kill_all()
            each.killed += 1

    def _known(self, name: str) -> bool:
        return name in self.universe.run("replay", "list", "--json", check=False).stdout

    def _is_done(self, each: Replayed) -> bool:
        try:
            found = facts(self.universe, each.name)
        except Exception:  # Kafka is away
            return False
        each.messages = int(found["done"])
        return bool(found["state"] == "done")

    def _cut_over(self, each: Replayed) -> None:
        for options in ((), ("--drop-old",)):
            for _ in range(TRIES):
                each.cutovers += not options
                command = Command(self.universe, "cutover", each.name, *options)
                if command.wait(timeout_s=DONE_S) == 0:
                    break
            else:
                raise RuntimeError(f"cutover {' '.join(options)} failed {TRIES} times: {command.tail()[-500:]}")
