"""A secret that is read from its file at each use."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.secret_file import SecretFile
from stream.settings_sections import PostgresSettings


def test_a_rewritten_file_is_the_new_secret(tmp_path: Path) -> None:
    # given a section whose password comes from a file
    file = tmp_path / "password"
    file.write_text("old\n")
    settings = PostgresSettings(password=SecretFile(file)).model_copy(update={"slot": "other"})
    assert settings.password is not None
    assert settings.password.get_secret_value() == "old"
    # when the file is replaced, as by Kubernetes
    (tmp_path / "next").write_text("new")
    (tmp_path / "next").rename(file)
    # then the next use has the new one, and no text shows it
    assert settings.password.get_secret_value() == "new"
    assert "new" not in repr(settings)


def test_while_the_file_is_gone_the_last_secret_stands(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")
    secret = SecretFile(file)
    file.unlink()
    assert secret.get_secret_value() == "old"


def test_a_file_that_cannot_be_read_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none"):
        SecretFile(tmp_path / "none")
