"""The audit trail of every command that changes something, written in one place: where `cli.py` finds the command.

Enters: a command and its path. Leaves: the same command; each call of it leaves a record when it begins and another
when it ends. Brokers that are away cost a warning and some seconds, and never stop the command.
"""

from __future__ import annotations

import functools
import getpass
import os
import re
import socket
import time
import uuid
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from stream import __version__
from stream.commands.console import EXIT_DIFFERENCES, EXIT_FAILED, EXIT_OK, EXIT_USAGE, App
from stream.errors import ScorestreamError

if TYPE_CHECKING:
    from stream.kafka.audit import Outcome, Record

# Paths of the commands that leave records. tests/unit/commands/test_audit_trail.py knows those that only read.
CHANGES: Final = frozenset({
    "backfill pause", "backfill resume", "backfill start", "backfill stop",
    "connectors apply", "connectors delete", "connectors pause", "connectors restart", "connectors resume",
    "connectors stop",
    "cutover",
    "dead-letters ack", "dead-letters discard", "dead-letters redrive",
    "purge appeals",
    "recover",
    "reindex",
    "replay cancel", "replay delete", "replay join", "replay pause", "replay resume", "replay start",
    "rewind",
    "schema apply",
    "topics apply", "topics grant",
    "verify",
})  # fmt: skip

_LIMIT_S: Final = 2.0  # of each of the requests that a record takes
_MOST: Final = 20  # values of one option that are kept
_SECRET = re.compile(r"password|secret|token|key")


def audited(command: click.Command, path: str) -> click.Command:
    """A command like this one that leaves records; a group's commands do, too. Commands that only read stay as is."""
    if isinstance(command, click.Group):
        group = copy(command)
        group.commands = {name: audited(verb, f"{path} {name}") for name, verb in command.commands.items()}
        return group
    if path not in CHANGES or command.callback is None:
        return command
    leaf = copy(command)
    leaf.callback = _leaving_records(command.callback, path)
    return leaf


def _leaving_records(callback: Callable[..., Any], path: str) -> Callable[..., Any]:
    @functools.wraps(callback)
    def call(**given: Any) -> Any:
        if path == "verify" and not given["repair"]:
            return callback(**given)
        trail = _Trail(click.get_current_context(), path, dry_run=bool(given.get("dry_run")))
        trail.began()
        try:
            result = callback(**given)
        except BaseException as error:
            trail.ended(*_outcome_of(error))
            raise
        trail.ended("succeeded", EXIT_OK)
        return result

    return call


def _outcome_of(error: BaseException) -> tuple[Outcome, int, str]:
    """Outcome, exit code and text of what ended a command."""
    if isinstance(error, click.exceptions.Exit):
        code = error.exit_code
        by_code: dict[int, Outcome] = {EXIT_OK: "succeeded", EXIT_DIFFERENCES: "succeeded", EXIT_USAGE: "refused"}
        return by_code.get(code, "failed"), code, ""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted", 130, ""
    if isinstance(error, click.ClickException):
        return "refused", error.exit_code, error.format_message()
    code = int(getattr(error, "exit_code", EXIT_FAILED)) if isinstance(error, ScorestreamError) else EXIT_FAILED
    text = str(error) if isinstance(error, ScorestreamError) else type(error).__name__
    return "refused" if code == EXIT_USAGE else "failed", code, text


class _Trail:
    """The records of one call."""

    def __init__(self, context: click.Context, path: str, *, dry_run: bool) -> None:
        app = context.find_object(App)
        assert app is not None
        self._app = app
        self._run = uuid.uuid4().hex[:12]
        self._warned = False
        self._about: dict[str, Any] = {
            "who": app.settings.audit_user or _user(),
            "pid": os.getpid(),
            "command": path,
            "dry_run": dry_run,
            "options": _options(context),
            "version": __version__,
        }

    def began(self) -> None:
        self._write(outcome="started")

    def ended(self, outcome: Outcome, exit_code: int, error: str = "") -> None:
        from stream.settings_origins import without_secrets  # noqa: PLC0415  pydantic takes longer to import than all of the help

        first = without_secrets(error.strip().splitlines()[0])[:300] if error.strip() else ""
        self._write(outcome=outcome, exit_code=exit_code, error=first)

    def _write(self, **more: Any) -> None:
        from stream.kafka.audit import Record  # noqa: PLC0415  librdkafka takes a while to import

        record = Record(run=self._run, at_ms=int(time.time() * 1000), **self._about, **more)
        try:
            append(self._app, record)
        except ScorestreamError as error:
            if not self._warned:
                click.echo(f"warning: no audit record was written: {str(error).splitlines()[0]}", err=True)
            self._warned = True


def append(app: App, record: Record) -> None:
    """Write one record to this installation's topic. Raises KafkaUnavailable."""
    from stream.kafka import audit  # noqa: PLC0415

    with app.broker() as broker:
        audit.write(broker, record, timeout_s=_LIMIT_S)


def _user() -> str:
    """The user who typed the command, also behind sudo, and the host."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def _options(context: click.Context) -> dict[str, Any]:
    """The options and arguments that were given, by name, with their values; secrets are hidden."""
    given: dict[str, Any] = {}
    for parameter in context.command.params:
        name = parameter.name or ""
        if not parameter.expose_value:  # --installation: the record lies in that installation's own topic
            continue
        if context.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
            shown = name.upper() if isinstance(parameter, click.Argument) else max(parameter.opts, key=len).lstrip("-")
            given[shown] = _value(name, context.params.get(name))
    return given


def _value(name: str, value: Any) -> Any:
    from stream.settings_origins import HIDDEN, without_secrets  # noqa: PLC0415

    if _SECRET.search(name):
        return HIDDEN
    if isinstance(value, tuple | list):
        kept = [_value(name, each) for each in value[:_MOST]]
        return kept if len(value) <= _MOST else [*kept, f"and {len(value) - _MOST:,} more"]
    return value if isinstance(value, bool | int | float | None) else without_secrets(str(value))
