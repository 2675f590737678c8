"""Slot, offset, WAL and versions against one another."""

from __future__ import annotations

import pytest

from stream.doctor import across
from stream.kafka.connect_workers import ConnectWorker
from stream.pipeline.ordering import EPOCH_SHIFT, LSN_BITS


@pytest.mark.parametrize(
    ("begins", "offset", "wal", "checks"),
    [
        (10, 20, 30, []),
        (20, 20, 20, []),
        (None, 20, 30, []),
        (10, None, 30, []),
        (10, 20, None, []),
        (25, 20, 30, ["offset-behind-slot"]),
        (10, 31, 30, ["offset-ahead-of-wal"]),
    ],
)
def test_a_healthy_connector_is_between_its_slot_and_the_end_of_the_wal(
    begins: int | None, offset: int | None, wal: int | None, checks: list[str]
) -> None:
    found = list(across.offsets(begins=begins, offset=offset, wal=wal, connector="qa", slot="qa"))
    assert [each.id for each in found] == checks


@pytest.mark.parametrize(
    ("epoch", "commit", "wal", "is_told"),
    [(0, 30, 30, False), (0, 31, 30, True), (1, 5, 30, True), (0, 31, None, False), (0, 0, 30, False)],
)
def test_versions_that_postgres_cannot_give_yet_are_told(
    epoch: int, commit: int, wal: int | None, is_told: bool
) -> None:
    highest = epoch << EPOCH_SHIFT | commit << LSN_BITS | commit
    found = list(across.versions(highest, epoch=0, wal=wal))
    assert [each.id for each in found] == (["versions-ahead"] if is_told else [])
    assert not list(across.versions(highest, epoch=2, wal=wal))


def test_connect_works_on_the_cluster_of_the_workers() -> None:
    assert not list(across.clusters("a", "a"))
    assert not list(across.clusters(None, "a"))
    (finding,) = across.clusters("a", "b")
    assert finding.what == "Kafka Connect uses cluster b, the workers use a"


def worker(address: str, *, group: str = "connect", waits_s: float = 0) -> ConnectWorker:
    return ConnectWorker(group, address, waits_s)


@pytest.mark.parametrize(
    ("living", "checks"),
    [
        ([worker("a:8083"), worker("b:8083")], []),
        ([worker("b:8083")], ["connect-worker-dead"]),
        ([worker("b:8083", waits_s=240)], ["connect-worker-dead", "connect-rebalance"]),
        ([worker("a:8083"), worker("b:8083", waits_s=240)], ["connect-rebalance"]),
        ([worker("b:8083"), worker("x:8083", group="other")], ["connect-worker-dead"]),
        ([worker("x:8083", group="other"), worker("y:8083", group="third")], []),  # which is ours is not known
        ([], []),
    ],
)
def test_a_worker_that_connect_names_must_live(living: list[ConnectWorker], checks: list[str]) -> None:
    named = {"connector": "b:8083", "task 0": "a:8083"}
    assert [each.id for each in across.connect_group(living, named, rest={"b:8083"})] == checks
