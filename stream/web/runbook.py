"""The form of a runbook: its answers, and the lines to paste with what they show.

tests/runbooks/test_runbooks.py brings a stack into the state of each runbook, and runs every line of its page there.
"""

from __future__ import annotations

from dataclasses import dataclass

CONSOLE, POSTGRES, CLICKHOUSE = "console", "postgres", "clickhouse"


@dataclass(frozen=True, slots=True)
class Line:
    """A line to paste: SQL when it starts with a capital letter, otherwise a command of a shell.

    `shows` are words of its output in the state that the runbook is for, `code` is a command's exit code there. NAME,
    ID, OFFSET, PID and the like are for the reader to replace.
    """

    text: str
    shows: str = ""
    code: int = 0

    @property
    def language(self) -> str:
        """Where the line belongs: CONSOLE, POSTGRES or CLICKHOUSE."""
        if not self.text[0].isupper():
            return CONSOLE
        return CLICKHOUSE if " system." in self.text or "ROW POLICY" in self.text else POSTGRES

    @property
    def pasted(self) -> str:
        """The line with what it shows as a comment, which may be pasted, too."""
        told = [f"shows {self.shows}"] * bool(self.shows) + [f"exit code {self.code}"] * bool(self.code)
        if not told:
            return self.text
        mark = "#" if self.language == CONSOLE else "--"
        return f"{self.text}  {mark} {', '.join(told)}"


@dataclass(frozen=True, slots=True)
class Runbook:
    """One page. `id` is the finding's (stream/monitor/faults.py) and the anchor of the alert's link.

    `look` and `act` are some sentences each. `untried` says why no test brings a stack into this state; empty = one
    does.
    """

    id: str
    title: str
    meaning: str
    lost: str
    look: str
    act: str
    time: str
    call: str
    look_at: tuple[Line, ...] = ()
    run: tuple[Line, ...] = ()
    untried: str = ""
