"""The dead-letter topic in memory."""

from __future__ import annotations

from collections.abc import Sequence

from stream.pipeline.dead_letter import DeadLetter
from tests.fakes.rows import OnCall, nothing


class FakeDeadLetters:
    """The dead-letter topic."""

    def __init__(self, *, on_call: OnCall = nothing) -> None:
        self.on_call = on_call
        self.letters: list[DeadLetter] = []

    def send(self, letters: Sequence[DeadLetter]) -> None:
        self.on_call("dead_letters")
        self.letters += letters

    @property
    def reasons(self) -> list[str]:
        return [letter.reason for letter in self.letters]
