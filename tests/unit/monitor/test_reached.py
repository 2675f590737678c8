"""How far partitions were indexed, kept over a restart of the monitor."""

from __future__ import annotations

from pathlib import Path

from stream.kafka.topic_partition import TP
from stream.monitor.reached import Reached

SCORES = TP("scorestream.app.scores", 3)


def test_offsets_come_back_for_the_same_group_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "monitor.json"
    Reached(path, "live").save({SCORES: 70, TP("other", 0): None})
    assert Reached(path, "live").load() == {SCORES: 70}
    assert Reached(path, "another").load() == {}


def test_a_broken_or_missing_file_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "monitor.json"
    assert Reached(path, "live").load() == {}
    path.write_text('{"group": "live", "reached": [[1]]}', "utf-8")
    assert Reached(path, "live").load() == {}


def test_it_is_not_written_after_each_look(tmp_path: Path) -> None:
    path = tmp_path / "monitor.json"
    Reached(path, "live").save_sometimes({SCORES: 70})
    assert not path.exists()
