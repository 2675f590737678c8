"""When a row was acknowledged, from the worker's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.visibility.acks import Acks

LINE = "time=1970-01-01T00:00:{end:06.3f}Z logger=w msg=insert shard={shard} table={table} rows=1 took_ms={took}\n"


def log(path: Path, *inserts: tuple[float, float], shard: int = 0, table: str = "score") -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(LINE.format(end=end, took=took, shard=shard, table=table) for end, took in inserts)


def test_a_row_is_acknowledged_with_the_insert_that_was_under_way(tmp_path: Path) -> None:
    # given an insert from 1.0 to 1.7, and one into the other table, and one on the other shard
    path = tmp_path / "log"
    path.touch()
    acks = Acks(path)
    log(path, (1.7, 700))
    log(path, (1.8, 900), table="scorecard")
    log(path, (1.9, 900), shard=1)
    acks.read()
    # then what that table's shard took in meanwhile was acknowledged at its end
    assert acks.after(1.5, 0, "score") == pytest.approx(1.7)
    assert acks.after(1.5, 0, "scorecard") == pytest.approx(1.8)
    assert acks.after(1.5, 1, "score") == pytest.approx(1.9)
    # and a row of another time is of an insert that is not logged yet
    assert acks.after(0.9, 0, "score") is None
    assert acks.after(1.8, 0, "score") is None
    assert acks.after(1.5, 1, "scorecard") is None


def test_lines_are_read_once_they_are_whole_and_earlier_ones_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log(path, (0.5, 100))  # of before
    acks = Acks(path)
    log(path, (2.0, 900))
    whole = LINE.format(end=3.0, took=900.5, shard=0, table="score")
    with path.open("a", encoding="utf-8") as file:
        file.write(whole[:-5])
    acks.read()
    assert acks.after(0.45, 0, "score") is None
    assert acks.after(1.6, 0, "score") == pytest.approx(2.0)
    assert acks.after(2.5, 0, "score") is None
    with path.open("a", encoding="utf-8") as file:
        file.write(whole[-5:])
    acks.read()
    assert acks.after(2.5, 0, "score") == pytest.approx(3.0)
