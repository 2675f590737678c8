"""The words of `replay start`: the log's time and the event's time have options of their own, old names still work."""

from __future__ import annotations

from typing import Any

import pytest

from stream.commands.replay import _rename
from stream.errors import UsageError


def _options(**given: str) -> dict[str, Any]:
    names = ("since", "event_from", "event_to", "to_datetime", "from_", "to")
    return dict.fromkeys(names) | given


@pytest.mark.parametrize(
    ("old", "new", "notice"),
    [
        ("to_datetime", "since", "--to-datetime is the old name of --since"),
        ("from_", "event_from", "--from is the old name of --event-from"),
        ("to", "event_to", "--to is the old name of --event-to"),
    ],
)
def test_an_old_name_works_with_a_notice(old: str, new: str, notice: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = _options(**{old: "2026-01-01"})
    _rename(options)
    assert options[new] == "2026-01-01"
    assert old not in options
    assert capsys.readouterr() == ("", notice + "\n")


def test_both_names_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--from is the old name of --event-from"):
        _rename(_options(from_="2026-01-01", event_from="2026-01-02"))


def test_new_names_need_no_notice(capsys: pytest.CaptureFixture[str]) -> None:
    options = _options(since="2026-01-01")
    _rename(options)
    assert options == {"since": "2026-01-01", "event_from": None, "event_to": None}
    assert capsys.readouterr().err == ""
