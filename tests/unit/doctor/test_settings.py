"""Files that settings name, secrets that others can read, the folder that is written to."""

from __future__ import annotations

import os
from pathlib import Path

from stream.doctor import settings


def test_files_that_are_there_for_this_user_alone_have_no_finding(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o600)
    given = {"SCORESTREAM_POSTGRES_PASSWORD_FILE": secret}
    assert list(settings.examine(files={}, secrets=given, state_dir=tmp_path / "a" / "b")) == []


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    files = {"SCORESTREAM_CLICKHOUSE_CA_CERT": tmp_path / "ca.pem"}
    (finding,) = settings.examine(files=files, secrets={}, state_dir=tmp_path)
    assert (finding.id, finding.severity) == ("file-unreadable", "error")
    assert str(tmp_path / "ca.pem") in finding.what


def test_a_secret_that_others_can_read_is_a_warning_unless_it_is_another_users(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)
    given = {"SCORESTREAM_POSTGRES_PASSWORD_FILE": secret}
    (finding,) = settings.examine(files={}, secrets=given, state_dir=tmp_path)
    assert (finding.id, finding.way_out) == ("secret-open", f"chmod 600 {secret}")
    assert list(settings.examine(files={}, secrets=given, state_dir=tmp_path, uid=os.getuid() + 1)) == []


def test_a_state_folder_that_is_a_file_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    (finding,) = settings.examine(files={}, secrets={}, state_dir=tmp_path / "state" / "more")
    assert finding.id == "state-folder"
