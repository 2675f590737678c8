"""The series of faults on a cluster."""

from __future__ import annotations

from argparse import Namespace

from drills.cluster import CATALOG, _series


def series(**changed: object) -> list[str]:
    plain = {"seed": 7, "kills": 6, "away": 60, "topics": True, "copies": 3}
    return _series(Namespace(**(plain | changed)))


def test_a_seed_gives_one_series_of_faults_that_all_exist() -> None:
    assert series() == series()
    assert {*series()} <= CATALOG.keys()
    assert series()[-5:] == ["more partitions", "topic deleted", *["amid COPY"] * 3]


def test_fewer_copies_are_the_beginning_of_the_same_series() -> None:
    assert series(copies=50)[: len(series())] == series()


def test_parts_of_it_can_be_left_out() -> None:
    assert series(kills=0, away=0, topics=False) == ["amid COPY"] * 3
