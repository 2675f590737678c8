"""The options that verify, reindex and purge share, and the scope that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from stream.scope import Scope

_Command = Callable[..., Any]


class Duration(click.ParamType):
    """`90s`, `10m`, `2h30m`, `10d`, `PT10M` -> seconds; a plain number is seconds, too.

    Args:
        least_s: shortest duration that makes sense.
        none: `none` is allowed, and is 0.
    """

    name = "span"

    def __init__(self, *, least_s: float = 0, none: bool = False) -> None:
        self._least_s = least_s
        self._none = none

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from stream.errors import UsageError  # noqa: PLC0415  --help imports nothing of this
        from stream.times import parse_duration  # noqa: PLC0415

        if isinstance(value, float):
            return value
        if self._none and value == "none":
            return 0.0
        try:
            seconds = float(value) if value.replace(".", "", 1).isdigit() else parse_duration(value)
        except UsageError as error:
            self.fail(str(error) + (", or none" if self._none else ""), param, ctx)
        if seconds < self._least_s or seconds == 0:
            self.fail(f"{value!r} is too short: {max(1, self._least_s):g} seconds at least", param, ctx)
        return seconds


class OneShown(click.Option):
    """An option that other commands spell otherwise: all its names are taken, and --help shows the first one."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        names = self.opts
        self.opts = names[:1]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = names


# `replay` says --event-from and --event-to, because it also has a start and an end in the log.
from_option = click.option(
    "--from",
    "--event-from",
    "start",
    cls=OneShown,
    metavar="TIME",
    help="Event time from here on: 2026-01-31, or with T12:00.",
)
to_option = click.option(
    "--to", "--event-to", "end", cls=OneShown, metavar="TIME", help="Event time before this; a date includes its day."
)


def _choose(context: click.Context, _: click.Parameter, name: str | None) -> None:
    from stream.commands.console import App  # noqa: PLC0415  --help imports nothing of this

    app = context.find_object(App)
    if name is not None and app is not None:
        app.choose(name)


installation_option = click.option(
    "--installation",
    metavar="NAME",
    expose_value=False,
    callback=_choose,
    help="Act for this installation of the file SCORESTREAM_INSTALLATIONS.  [default: the settings' one]",
)


def scope_options(command: _Command) -> _Command:
    """--customer, --from, --to, --kind."""
    for option in reversed(
        (
            click.option(
                "--customer", "customers", multiple=True, metavar="ID", help="Only this customer (repeatable)."
            ),
            from_option,
            to_option,
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


def timeout_option(default: float, help: str) -> Callable[[_Command], _Command]:
    """--timeout, a duration; `default` is in seconds."""
    return click.option(
        "--timeout", "timeout_s", type=Duration(), default=f"{default:g}s", show_default=True, metavar="SPAN", help=help
    )


def scope_of(
    customers: tuple[str, ...],
    start: str | None,
    end: str | None,
    *,
    kind: str = "all",
    table: str = "all",
    names: tuple[str, str] = ("--from", "--to"),
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
        begin, until = names
        raise UsageError(f"{begin} {start} is not before {until} {end}: give an earlier {begin} or a later {until}")
    return Scope(
        customers=customers,
        start_us=start_us,
        end_us=end_us,
        kind=kind,  # type: ignore[arg-type]
        tables=tuple(each.target for each in TARGETS if table in ("all", each.target)),
    )
