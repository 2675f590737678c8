"""Shared by all commands: the settings of this call, and results on stdout as tables or JSON. Logs go to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stream import logs
from stream.errors import Retry, ScorestreamError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from stream.clickhouse.shards import Shards
    from stream.commands.identity import Identity
    from stream.config import Settings
    from stream.installations import Installation
    from stream.kafka.broker import Broker
    from stream.postgres.connection import Postgres
    from stream.reindex.now import ReindexNow
    from stream.stores import Stores

T = TypeVar("T")

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_DIFFERENCES = 0, 1, 2, 3


class App:
    """One call of the command line. The configuration is read when a command first asks for it, so help needs none."""

    def __init__(self, log_level: str | None = None, log_format: str | None = None) -> None:
        self._log_level = log_level
        self._log_format = log_format
        self._settings: Settings | None = None
        self._wanted: str | None = None
        self._chosen: Installation | None = None
        self._is_checked = False

    def choose(self, name: str) -> None:
        """Act for the installation of this name in the installations file, with its settings."""
        self._wanted = name

    @property
    def chooses(self) -> list[str]:
        """The options by which another process of this program acts for the same installation."""
        return [] if self._wanted is None else ["--installation", self._wanted]

    @property
    def settings(self) -> Settings:
        """The settings; they also set up logging.

        Raises:
            ConfigError: with every fault.
        """
        if self._settings is None:
            from stream.config import load  # noqa: PLC0415  pydantic takes longer to import than all of the help

            own = load()
            logs.configure(self._log_level or own.log_level, self._log_format or own.log_format)
            self._settings = own if self._wanted is None else self._of_the_file(own, self._wanted)
        return self._settings

    @property
    def chosen(self) -> Installation | None:
        """The installation of `--installation`, as the file has it."""
        return self._chosen if self.settings is not None else None

    def _of_the_file(self, own: Settings, name: str) -> Settings:
        """The installation's settings. Who acts, and how it is logged, is a matter of this host."""
        from stream.installations import chosen  # noqa: PLC0415

        (self._chosen,) = chosen(own.installations, [name])
        update = {"audit_user": own.audit_user, "installations": own.installations}
        return self._chosen.settings.model_copy(update=update)

    def shards(self, database: str | None = None, *, patient: bool = False) -> Shards:
        """ClickHouse's shards, with another database than the settings' one if given. `with`-able."""
        from stream.clickhouse.shards import Shards  # noqa: PLC0415  clickhouse-connect takes a while to import

        return Shards(self.settings.clickhouse, database=database, patient=patient)

    @contextmanager
    def reindexing(self, postgres: Postgres, database: str | None = None) -> Iterator[ReindexNow]:
        """Reindexes from Postgres into the shards, with clients of its own."""
        from stream.reindex.now import ReindexNow  # noqa: PLC0415

        settings = self.settings
        with (
            self.shards(database) as shards,
            ReindexNow(postgres, shards, retry=settings.retry, epochs=settings.epochs) as reindex,
        ):
            yield reindex

    @contextmanager
    def stores(self, database: str | None = None, *, whole_tables: bool = True, kafka: bool = True) -> Iterator[Stores]:
        """All stores.

        Args:
            whole_tables: the command passes over whole tables, so that no statement has a limit.
            kafka: the command asks Kafka, too.

        Raises:
            ConfigError: they are not those of the installation that was chosen.
        """
        from stream.commands.identity import check_source  # noqa: PLC0415
        from stream.wiring import open_stores  # noqa: PLC0415

        limit_s = 0 if whole_tables else None
        with open_stores(self.settings, database=database, patient=whole_tables, statement_timeout_s=limit_s) as stores:
            if kafka:
                self._check(stores.broker)
            if self._chosen is not None:
                check_source(stores, self._chosen.name)
            yield stores

    def broker(self) -> Broker:
        """Kafka; nothing is opened before it is asked. `with`-able.

        Raises:
            ConfigError: the brokers are not those of the installation that was chosen.
        """
        from stream.kafka.broker import Broker  # noqa: PLC0415  so does librdkafka

        broker = Broker(self.settings.kafka, self.settings.topics)
        try:
            self._check(broker)
        except ScorestreamError:
            broker.close()
            raise
        return broker

    def check(self, *, must_answer: bool = True) -> None:
        """Check the brokers and databases of the installation that was chosen, for a command that opens them later.

        Args:
            must_answer: what does not answer is an error; else it stays unchecked, as for a command that needs Kafka
                alone.

        Raises:
            ConfigError: they are another installation's.
            The stores' errors, when one does not answer and must.
        """
        if self.chosen is None:
            return
        try:
            with self.stores(whole_tables=False):
                pass
        except Retry:
            if must_answer:
                raise

    def identity(self, broker: Broker) -> Identity:
        """Whose answer a command gives. Raises KafkaUnavailable."""
        from stream.commands.identity import identity_of  # noqa: PLC0415

        return identity_of(self.settings, broker.cluster_id())

    def _check(self, broker: Broker) -> None:
        """Once for each call: no command acts for another installation than the one that was chosen."""
        from stream.commands.identity import check_cluster  # noqa: PLC0415

        if self.chosen is not None and not self._is_checked:
            check_cluster(broker, self.chosen)
            self._is_checked = True

    def postgres(self) -> Postgres:
        """Postgres for a command that reads much of it, without a limit for statements. `with`-able."""
        from stream.postgres.connection import Postgres  # noqa: PLC0415  psycopg takes a while to import

        return Postgres(self.settings.postgres, statement_timeout_s=0)


def confirm(what: str) -> None:
    """Ask on the terminal whether to go on.

    Args:
        what: would happen, as half a sentence.

    Raises:
        UsageError: there is no terminal to ask on.
        Abort: the answer is no.
    """
    if not sys.stdin.isatty():
        raise UsageError(f"{what}: say --yes, or look at it with --dry-run")
    click.confirm("Go on?", abort=True, err=True)


pass_app = click.make_pass_decorator(App)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
watch_option = click.option("--watch", is_flag=True, help="Refresh until Ctrl-C.")


def watch(
    look: Callable[[], T], page: Callable[[T], RenderableType], *, as_json: Callable[[T], Any] | None, every_s: float
) -> T:
    """Show on stdout what each look finds, until Ctrl-C: a page drawn again, or a JSON document for each look.

    Args:
        as_json: the content of a document; None shows the page.

    Returns:
        What the last look found. With JSON Ctrl-C ends the command instead.
    """
    if as_json is not None:
        while True:
            print_json(as_json(look()))
            time.sleep(every_s)
    from rich.console import Console  # noqa: PLC0415  rich takes longer to import than all of the help
    from rich.live import Live  # noqa: PLC0415

    found = look()
    with Live(page(found), console=Console(), screen=Console().is_terminal) as live:
        try:
            while True:
                time.sleep(every_s)
                found = look()
                live.update(page(found), refresh=True)
        except KeyboardInterrupt:
            return found


def print_json(value: Any) -> None:
    """One JSON document, keys in the order given."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    click.echo(text.encode("utf-8", "backslashreplace").decode())  # half of a surrogate pair has no bytes


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with left-aligned text and right-aligned numbers, as wide as its content (also into a pipe)."""
    body = [[_cell(value) for value in row] for row in rows]
    numeric = [
        bool(body) and all(cell.replace(",", "").replace(".", "").lstrip("-").isdigit() or not cell for cell in column)
        for column in (zip(*body, strict=True) if body else [[]] * len(columns))
    ]
    widths = [max(map(len, column)) for column in zip(columns, *body, strict=True)]
    for line in [list(columns), *body]:
        cells = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numeric, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
