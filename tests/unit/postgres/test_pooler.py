"""Sessions that a pooler shares, told from those that are their clients' own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stream.postgres.pooler import is_pooled, is_shared


class Answering:
    """libpq's side of a connection: answers with the next of these processes; None = no answer."""

    def __init__(self, *processes: int | None) -> None:
        self._processes = list(processes)
        self._answer: int | None = None
        self._busy = False
        self._near, self._far = socket.socketpair()
        self.socket = self._near.fileno()

    def is_busy(self) -> bool:
        return self._busy

    def send_query(self, _: bytes) -> None:
        self._busy, self._answer = True, self._processes.pop(0)
        if self._answer is not None:
            self._far.send(b"x")

    def consume_input(self) -> None:
        self._near.recv(1)
        self._busy = False

    def get_result(self) -> Any:
        value, self._answer = self._answer, None
        return None if value is None else SimpleNamespace(get_value=lambda _row, _column: str(value).encode())

    def close(self) -> None:
        self._near.close()
        self._far.close()


@pytest.fixture
def client() -> Iterator[Any]:
    made: list[Answering] = []

    def make(*processes: int | None) -> Any:
        made.append(Answering(*processes))
        return SimpleNamespace(pgconn=made[-1])

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ((1, 1), (2, 2), False),
        ((1, 1), (1, 1), True),
        ((1, 2), (3, 4), True),
        ((1, 1), (2, 3), True),
        ((1, 1), (None,), False),
    ],
    ids=["sessions", "the last one used", "each in turn", "one of many", "a full pool in session mode"],
)
def test_two_clients_that_share_a_process_are_in_transaction_mode(
    client: Any, one: tuple[int, ...], other: tuple[int | None, ...], shared: bool
) -> None:
    assert is_shared(client(*one), client(*other), wait_s=0.01) is shared


@pytest.mark.parametrize(("answers", "pooled"), [(7, False), (8, True)])
def test_a_pooler_makes_up_the_process_id(answers: int, pooled: bool) -> None:
    connection: Any = SimpleNamespace(
        info=SimpleNamespace(backend_pid=7),
        execute=lambda _: SimpleNamespace(fetchone=lambda: (answers,)),
    )
    assert is_pooled(connection) is pooled
