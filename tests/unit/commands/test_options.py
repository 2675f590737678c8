"""Options that several commands share: durations, and which scorecards."""

from __future__ import annotations

import click
import pytest

from stream import cli
from stream.commands.options import Duration, scope_of
from stream.errors import UsageError
from stream.scope import Scope
from stream.times import parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("2h30m", 9_000), ("1.5h", 5_400), ("10d", 864_000),
        ("PT10M", 600),
    ],
)  # fmt: skip
def test_a_duration_is_read_in_one_way_everywhere(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "ten", "10x", "-5", "none", "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


def test_a_window_may_be_none_and_is_not_shorter_than_a_minute() -> None:
    window = Duration(least_s=60, none=True)
    assert window.convert("none", None, None) == 0
    with pytest.raises(click.BadParameter, match="too short: 60 seconds at least"):
        window.convert("59s", None, None)
    with pytest.raises(click.BadParameter, match="or none"):
        window.convert("all", None, None)


def test_an_end_date_includes_its_day_and_a_table_is_named_by_its_target() -> None:
    scope = scope_of(("acme",), "2026-01-01", "2026-01-31", kind="process", table="score")
    assert scope == Scope(("acme",), parse_time("2026-01-01"), parse_time("2026-02-01"), "process", ("score",))
    assert scope_of((), None, None) == Scope()


def test_an_empty_window_is_refused_by_the_names_of_its_options() -> None:
    with pytest.raises(UsageError, match="--event-from 2026-02-01 is not before --event-to 2026-01-01"):
        scope_of((), "2026-02-01", "2026-01-01", names=("--event-from", "--event-to"))


@pytest.mark.parametrize(
    ("path", "name", "shown", "also"),
    [
        ("verify", "start", "--from", "--event-from"),
        ("reindex", "end", "--to", "--event-to"),
        ("rewind", "to_datetime", "--to-datetime", "--since"),
        ("backfill start", "start", "--from", "--event-from"),
        ("replay start", "since", "--since", "--to-datetime"),
        ("replay start", "event_from", "--event-from", "--from"),
        ("replay start", "event_to", "--event-to", "--to"),
    ],
)
def test_a_spelling_of_another_command_is_taken_and_not_shown(path: str, name: str, shown: str, also: str) -> None:
    command: click.Command = cli.cli
    for word in path.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    with click.Context(command) as context:
        for spelling in (shown, also):
            values, _, _ = command.make_parser(context).parse_args([spelling, "2026-01-01"])
            assert values[name] == "2026-01-01"
        helped = command.get_help(context)
    assert f"{shown} TIME" in helped
    assert f"{also} TIME" not in helped
