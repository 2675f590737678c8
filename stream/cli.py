"""The command `scorestream`: nouns, then verbs. Each noun is a module of stream/commands, imported when it is called.

Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 differences found, 130 interrupted.
"""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from typing import Any

import click

from stream import __version__
from stream.commands.audit_trail import audited
from stream.commands.console import EXIT_FAILED, App
from stream.errors import ScorestreamError
from stream.logs import CHOICES, LEVELS

# Name -> summary. They stand here, because --help would have to import every module to read them there.
COMMANDS = {
    "status": "What runs, and what to do next: one screen for an operator on call. Exit 1: act now.",
    "doctor": "Look at the whole chain, and say what is wrong, what happens if it stays, and how to correct it.",
    "worker": "The live indexer: takes changes from Kafka and writes them to ClickHouse, until SIGTERM.",
    "config": "The effective settings, and where each came from. Secrets stay hidden.",
    "dead-letters": "Refused messages: list them, show one whole, settle them.",
    "lag": "Lag of the live flow: messages, seconds, a verdict for each partition. Exit 3 above --max-lag.",
    "fleet": "Many installations in one view, the worst first. Exit 1: one needs an operator.",
    "monitor": "The dashboard, /metrics and health of the whole path, without a worker.",
    "verify": "Compare Postgres with ClickHouse row for row; name the reason of each difference; repair.",
    "explain": "Why a scorecard is in ClickHouse, or is not, in one sentence.",
    "reindex": "Write scorecards again as Postgres has them: by customer and window, by id, from a file.",
    "purge": "Remove appeals that an earlier indexer left in ClickHouse.",
    "backfill": "History from Postgres, window after window, by Debezium's incremental snapshots; live goes on.",
    "connectors": "Debezium's connector: apply its config, show it, pause, resume, restart, delete.",
    "recover": "From a lost slot, lost offsets or a failed connector back to health: plan, steps, comparison.",
    "topics": "Kafka topics: create missing ones, list them.",
    "schema": "ClickHouse tables and views: apply the DDL to every shard, compare them with it.",
    "replay": "The log again, beside live: start, status, list, pause, resume, cancel, delete, join.",
    "rewind": "Move the live group's committed offsets, back or forward, by time, offset or duration.",
    "audit": "Who changed what, and when: the calls of all commands that change something.",
    "cutover": "Swap a replay's shadow database in, without a hole for readers; and back.",
    "completion": "The script by which bash, zsh or fish completes commands and options.",
}


class Commands(click.Group):
    """A group whose commands are modules, each with a click command called `command` in it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"stream.commands.{cmd_name.replace('-', '_')}").command
        return audited(command, cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"no such command {name!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, message="scorestream %(version)s")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    envvar="SCORESTREAM_LOG_LEVEL",
    show_envvar=True,
    help="Level of the log on stderr.  [default: info]",
)
@click.option(
    "--log-format",
    type=click.Choice(CHOICES),
    envvar="SCORESTREAM_LOG_FORMAT",
    show_envvar=True,
    help="Form of the log on stderr; auto is console on a terminal, else logfmt.  [default: auto]",
)
@click.pass_context
def cli(ctx: click.Context, log_level: str | None, log_format: str | None) -> None:
    """Streaming indexer of scorecards and scores: Postgres -> Debezium -> Kafka -> ClickHouse.

    Settings are environment variables SCORESTREAM_*, or a TOML file named by SCORESTREAM_CONFIG.
    Results go to stdout, logs to stderr.
    """
    ctx.obj = App(log_level, log_format)


def main() -> None:
    """Entry point: runs the command and ends the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run one command line. Errors of this program become one line on stderr."""
    try:
        result = cli.main(args=args, prog_name="scorestream", standalone_mode=False)
    except ScorestreamError as error:
        click.echo(f"error: {error}", err=True)
        return int(getattr(error, "exit_code", EXIT_FAILED))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        sys.stderr.close()
        return EXIT_FAILED
    # Click returns the code of ctx.exit(3) as the command's value.
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
