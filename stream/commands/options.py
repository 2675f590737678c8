"""The options that verify, reindex and purge share, and the scope that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from stream.scope import Scope

_Command = Callable[..., Any]


def scope_options(command: _Command) -> _Command:
    """--customer, --from, --to, --kind."""
    for option in reversed(
        (
            click.option(
                "--customer", "customers", multiple=True, metavar="ID", help="Only this customer (repeatable)."
            ),
            click.option(
                "--from", "start", metavar="TIME", help="Event time from here on: 2026-01-31, or with T12:00."
            ),
            click.option("--to", "end", metavar="TIME", help="Event time before this; a date includes its day."),
            click.option(
                "--kind",
                type=click.Choice(["all", "process", "conversation"]),
                default="all",
                show_default=True,
                help="Scorecards of processes, of conversations, or both.",
            ),
        )
    ):
        command = option(command)
    return command


database_option = click.option(
    "--database",
    metavar="NAME",
    help="Compare with this ClickHouse database (a shadow).  [default: SCORESTREAM_CLICKHOUSE_DATABASE]",
)
written_database_option = click.option(
    "--database",
    metavar="NAME",
    help="Write to this ClickHouse database (a shadow).  [default: SCORESTREAM_CLICKHOUSE_DATABASE]",
)


def scope_of(
    customers: tuple[str, ...], start: str | None, end: str | None, *, kind: str = "all", table: str = "all"
) -> Scope:
    """The scope of these options.

    Raises:
        UsageError: a text is not a time, or the window is empty.
    """
    from stream.errors import UsageError  # noqa: PLC0415  --help imports nothing of this
    from stream.scope import Scope  # noqa: PLC0415
    from stream.tables import TARGETS  # noqa: PLC0415
    from stream.times import parse_time  # noqa: PLC0415

    start_us = None if start is None else parse_time(start)
    end_us = None if end is None else parse_time(end, end=True)
    if start_us is not None and end_us is not None and start_us >= end_us:
        raise UsageError(f"--from {start} is not before --to {end}: give an earlier --from or a later --to")
    return Scope(
        customers=customers,
        start_us=start_us,
        end_us=end_us,
        kind=kind,  # type: ignore[arg-type]
        tables=TARGETS if table == "all" else tuple(each for each in TARGETS if each.target == table),
    )
