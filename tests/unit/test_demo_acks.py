"""When a row was acknowledged, from the worker's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.acks import Acks

LINE = "time=1970-01-01T00:00:{end:06.3f}Z level=info logger=w msg=batch topic=t rows=1 took_ms={took}{more}\n"


def log(path: Path, *batches: tuple[float, int, str]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(LINE.format(end=end, took=took, more=more) for end, took, more in batches)


def test_a_row_is_acknowledged_with_the_writes_of_its_batch(tmp_path: Path) -> None:
    # given a batch from 1.0 to 2.0 that wrote until 1.7
    path = tmp_path / "log"
    path.touch()
    acks = Acks(path)
    log(path, (2.0, 1000, " confirm_ms=200 close_ms=100"))
    acks.read()
    # then what ClickHouse took in while it wrote was acknowledged at 1.7, what it reindexed in its confirm at its end
    assert acks.after(1.5) == pytest.approx(1.7)
    assert acks.after(1.9) == pytest.approx(2.0)
    # and a row of another time is of a batch that is not logged yet
    assert acks.after(0.9) is None
    assert acks.after(2.1) is None


def test_of_two_batches_at_that_time_the_later_counts_and_lines_are_read_once_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log(path, (0.5, 100, ""))  # of before
    acks = Acks(path)
    log(path, (2.0, 1000, ""), (3.0, 1500, ""))
    with path.open("a", encoding="utf-8") as file:
        file.write(LINE.format(end=4.0, took=3000, more="")[:-5])
    acks.read()
    assert acks.after(1.6) == pytest.approx(3.0)
    with path.open("a", encoding="utf-8") as file:
        file.write(LINE.format(end=4.0, took=3000, more="")[-5:])
    acks.read()
    assert acks.after(1.6) == pytest.approx(4.0)
    assert acks.after(0.45) is None
