"""The ids of a reindex: read from a file, and written as Postgres writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.errors import UsageError
from stream.reindex.job import canonical, read_ids

ONE, TWO = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


def test_ids_are_read_once_each_without_comments(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text(f"# of June\n\n{ONE.upper()}  # twice\n{TWO.replace('-', '')}\n{ONE}\n", "utf-8")
    assert read_ids(file) == [ONE, TWO]


def test_a_word_that_is_no_id_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text(f"{ONE}\nacme\n", "utf-8")
    with pytest.raises(UsageError, match=f"{file}:2: "):
        read_ids(file)
    with pytest.raises(UsageError, match="No such file"):
        read_ids(tmp_path / "missing")
    with pytest.raises(UsageError):
        canonical("acme")
