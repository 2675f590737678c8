"""All systems asked at the same time, each with a deadline: a system that does not answer is a finding, too.

Enters: parts, each a name and what it asks. Leaves: findings in the order of the systems, and how long each part took.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from stream.doctor.finding import ERROR, HINT, SYSTEMS, WARNING, Check, DoctorFinding
from stream.errors import Retry, ScorestreamError

_GRAVITY = {ERROR: 0, WARNING: 1, HINT: 2}


@dataclass(frozen=True, slots=True)
class Part:
    """What is asked in one thread. `silent`: the finding when it does not answer, or refuses to."""

    name: str
    silent: Check
    ask: Callable[[], Iterable[DoctorFinding]]


@dataclass(slots=True)
class _Asked:
    part: Part
    found: list[DoctorFinding] = field(default_factory=list)
    took_s: float | None = None  # None: it has not answered yet
    thread: threading.Thread | None = None


def examine(parts: Sequence[Part], *, deadline_s: float) -> tuple[list[DoctorFinding], dict[str, float]]:
    """Ask all parts at once.

    Returns:
        The findings, and for each part that answered its seconds. A part that is late is left to itself: its thread
        ends with the process.
    """
    began = time.monotonic()
    asked = [_Asked(part) for part in parts]
    for each in asked:
        each.thread = threading.Thread(target=_ask, args=(each, began), daemon=True, name=each.part.name)
        each.thread.start()
    for each in asked:
        assert each.thread is not None
        each.thread.join(max(0.0, began + deadline_s - time.monotonic()))
    found: list[DoctorFinding] = []
    took: dict[str, float] = {}
    for each in asked:
        found += each.found
        if each.took_s is None:
            found.append(each.part.silent.found(f"{each.part.name} has not answered within {deadline_s:g} s"))
        else:
            took[each.part.name] = each.took_s
    return in_order(found), took


def in_order(found: Iterable[DoctorFinding]) -> list[DoctorFinding]:
    """By system, the gravest first."""
    return sorted(found, key=lambda each: (SYSTEMS.index(each.system), _GRAVITY[each.severity]))


def _ask(asked: _Asked, began: float) -> None:
    try:
        for finding in asked.part.ask():
            asked.found.append(finding)
    except ScorestreamError as error:
        asked.found.append(asked.part.silent.found(_text(asked.part.name, error)))
    except Exception as error:
        asked.found.append(asked.part.silent.found(f"{asked.part.name}: {type(error).__name__}: {error}"[:400]))
    asked.took_s = time.monotonic() - began


def _text(name: str, error: ScorestreamError) -> str:
    words = str(error).splitlines()[0]
    text = words if name.split(maxsplit=1)[0].lower() in words.lower() else f"{name}: {words}"
    return text if isinstance(error, Retry) else f"{text} (it was asked no further)"
