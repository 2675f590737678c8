"""The supervisor of `worker --restart`: what it starts again, what it does not, and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stream.supervise import Children, Supervisor, describe, next_wait_s, stop_event
from testbed.universe import wait_for

# Ends with the codes of the file, one after the other: a line for each start.
PROGRAM = """
import os, pathlib, sys
file = pathlib.Path(sys.argv[1])
first, *rest = file.read_text().split()
file.write_text(" ".join(rest))
if first == "kill":
    os.kill(os.getpid(), 9)
sys.exit(int(first))
"""


@pytest.fixture(autouse=True)
def _signals():  # type: ignore[no-untyped-def]
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, how in before.items():
        signal.signal(number, how)


@pytest.mark.parametrize(
    ("codes", "result", "restarts"),
    [("0", 0, 0), ("1 1 0", 0, 2), ("kill 0", 0, 1), ("2 0", 2, 0), ("1 2 0", 2, 1)],
)
def test_what_is_started_again(tmp_path: Path, codes: str, result: int, restarts: int) -> None:
    file = tmp_path / "codes"
    file.write_text(codes)
    waits: list[float] = []
    supervisor = Supervisor([sys.executable, "-c", PROGRAM, str(file)], sleep=waits.append)
    assert supervisor.run() == result
    assert supervisor.restarts == restarts
    assert waits == [1.0, 2.0][:restarts]


def test_waits_grow_to_a_limit_and_begin_anew_after_a_good_while() -> None:
    waits = [0.0]
    for _ in range(7):
        waits.append(next_wait_s(waits[-1], ran_s=1))
    assert waits[1:] == [1, 2, 4, 8, 16, 30, 30]
    assert next_wait_s(30, ran_s=61) == 1


def test_codes_in_words() -> None:
    assert describe(1) == "exit code 1"
    assert describe(-9) == "killed by SIGKILL"
    assert describe(-99) == "killed by signal 99"


def test_sigterm_is_passed_on() -> None:
    # given a supervisor in a process of its own, whose child ends well when it is asked to
    child = "import signal, sys, os; signal.signal(15, lambda *_: sys.exit(0)); print(os.getpid(), flush=True)"
    child += "; signal.pause()"
    parent = "import sys; from stream.supervise import Supervisor"
    parent += f"; sys.exit(Supervisor([sys.executable, '-c', {child!r}]).run())"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        # when a signal asks the supervisor to end
        process.send_signal(signal.SIGTERM)
        # then so does the child, and the code is the child's
        assert process.wait(timeout=20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_children_are_counted_apart_and_end_together() -> None:
    # given two processes that sleep, and one of them killed
    children = Children([sys.executable, "-c", "import signal; signal.pause()"], nice=5)
    first, second = children.spawn(), children.spawn()
    assert children.ended() == []
    assert os.getpriority(os.PRIO_PROCESS, second) >= 5
    os.kill(first, signal.SIGKILL)
    wait_for("it is gone", lambda: not _runs(first), deadline_s=5)
    (gone,) = children.ended()
    # then that one is reported once, with its signal
    assert (gone.pid, gone.code) == (first, -9)
    assert children.ended() == []
    assert children.left()
    # and the other ends by the signal that all get
    assert not children.wait(timeout_s=0.05)
    children.send(signal.SIGTERM)
    assert children.wait(timeout_s=5)
    # and it is left until its end was seen
    assert children.left()
    assert [each.code for each in children.ended()] == [-15]
    assert not children.left()


def _runs(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().split()[2] != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_set_the_event_and_the_handlers_before_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_event() as stopping:
        signal.raise_signal(number)
        assert stopping.wait(5)
    assert signal.getsignal(number) is before
