"""Random choices of a history, each from one seed."""

from __future__ import annotations

from typing import Any


class Choices:
    """What World decides by chance."""

    def _toast(self) -> str:
        return self._weighted([(6, ""), (1, "after"), (1, "both")]) if self.faults.toast else ""

    def _below(self, n: int) -> int:
        return self.choices.randrange(n)

    def _chance(self, share: float) -> bool:
        return self.choices.randrange(1000) >= 1000 * (1 - share)

    def _one_of(self, items: list[Any]) -> Any:
        return items[self.choices.randrange(len(items))] if len(items) > 1 else items[0]

    def _shuffled(self, items: list[Any]) -> list[Any]:
        items = list(items)
        self.choices.shuffle(items)
        return items

    def _weighted(self, items: list[tuple[int, Any]]) -> Any:
        at = self.choices.randrange(sum(weight for weight, _ in items))
        for weight, item in items:
            at -= weight
            if at < 0:
                return item
        raise AssertionError

    def _say(self, line: str) -> None:
        if self.trace:
            print(line)
