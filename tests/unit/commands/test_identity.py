"""`--installation`: whose settings a command takes, whose answer it gives, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stream import wiring
from stream.clickhouse.source_record import SourceRecord, Stored
from stream.commands import identity
from stream.commands.console import App
from stream.commands.identity import Identity, check_source
from stream.config import Settings
from stream.errors import ClickHouseUnavailable, ConfigError, ScorestreamError
from stream.kafka.broker import Broker
from stream.postgres.cluster import Cluster
from stream.replay import control
from stream.settings_sections import WebSettings
from stream.web.health import Health
from stream.web.server import serve
from tests.unit.fleet.test_rows import document

FILE = """
[eu-1]
cluster = "A"
[eu-1.kafka]
bootstrap_servers = "kafka.eu-1:9092"
[eu-1.postgres]
dsn = "postgresql://pg.eu-1/contact_centre"
[eu-1.clickhouse]
database = "eu"
[us-1.kafka]
bootstrap_servers = "kafka.us-1:9092"
"""
FACTS: dict[str, Any] = {
    "name": "march", "state": "stopped", "error": "", "processes": [], "pass": "main", "done": 1, "total": 2,
    "per_s": 0.0, "eta_s": None, "throttled_by": "", "dead_letters": 0, "into": None, "created_at": "", "matched": 1,
    "dropped": 0, "rows": 1, "reindexed": 0, "failed": 0,
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path, plain_environment: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "installations.toml"
    path.write_text(FILE, "utf-8")
    monkeypatch.setenv("SCORESTREAM_INSTALLATIONS", str(path))
    return path


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The ids of the clusters, by the servers that are asked; and replays that stand in all of them."""
    clusters = {"kafka.eu-1:9092": "A", "kafka.us-1:9092": "C", "127.0.0.1:9092": "HOST"}
    monkeypatch.setattr(Broker, "cluster_id", lambda broker: clusters[broker.settings.bootstrap_servers])
    monkeypatch.setattr(control, "facts", lambda _broker, _name: [dict(FACTS)])
    return clusters


def test_the_settings_are_those_of_the_file_and_the_screen_says_so(run: Any, file: Path, kafka: dict[str, str]) -> None:
    code, out, _ = run("replay", "status", "march", "--installation", "eu-1", "--json")
    assert code == 0
    own = {"name": "eu-1", "cluster": "A", "source": "contact_centre.app", "clickhouse": "eu"}
    assert json.loads(out)["installation"] == own
    _, out, _ = run("replay", "status", "march", "--installation", "eu-1")
    assert "installation eu-1: Kafka cluster A, source contact_centre.app, ClickHouse database eu" in out
    assert "go on with: scorestream replay resume --installation eu-1 march" in out


def test_without_the_option_the_settings_of_this_host_answer(run: Any, file: Path, kafka: dict[str, str]) -> None:
    _, out, _ = run("replay", "list", "--json")
    assert [each["installation"]["cluster"] for each in json.loads(out)] == ["HOST"]
    _, out, _ = run("replay", "status", "march")
    assert "installation scorestream: Kafka cluster HOST, " in out
    assert "go on with: scorestream replay resume march" in out


@pytest.mark.parametrize(
    "command",
    [
        ("replay", "start", "march"),
        ("replay", "resume", "march"),
        ("replay", "join", "march"),
        ("replay", "member", "march"),
        ("replay", "pause", "march"),
        ("replay", "cancel", "march"),
        ("replay", "delete", "march"),
        ("replay", "status", "march"),
        ("replay", "list"),
        ("lag", "--customers"),
        ("lag", "--customer", "acme"),
        ("explain", "00000000-0000-0000-0000-000000000001"),
        ("verify",),
    ],
    ids=" ".join,
)
def test_brokers_of_another_cluster_are_refused_by_name(
    run: Any, file: Path, kafka: dict[str, str], command: tuple[str, ...]
) -> None:
    kafka["kafka.eu-1:9092"] = "B"
    code, out, err = run(*command, "--installation", "eu-1")
    assert (code, out) == (2, "")
    assert "installation eu-1: Kafka at kafka.eu-1:9092 is cluster B, not A" in err


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[ScorestreamError]:
    """What the stores' check raises, when it is not empty."""
    raised: list[ScorestreamError] = []

    @contextmanager
    def open_stores(settings: Settings, **_: Any) -> Iterator[Any]:
        yield SimpleNamespace(broker=Broker(settings.kafka, settings.topics))

    def check(*_: Any) -> None:
        if raised:
            raise raised[0]

    monkeypatch.setattr(wiring, "open_stores", open_stores)
    monkeypatch.setattr(identity, "check_source", check)
    return raised


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the commands of a replay have written into Kafka."""
    found: list[str] = []
    monkeypatch.setattr(control, "want", lambda _broker, _name, state: found.append(state) or state)
    monkeypatch.setattr(control, "unconfirmed", lambda *_, **__: None)
    monkeypatch.setattr(control, "cancelled", lambda *_: None)
    monkeypatch.setattr(control, "delete", lambda *_: found.append("deleted"))
    return found


@pytest.mark.parametrize(("command", "state"), [("pause", "paused"), ("cancel", "cancelled"), ("delete", "deleted")])
def test_nothing_is_written_for_rows_of_another_installation_and_a_store_that_is_away_keeps_nothing(
    run: Any,
    file: Path,
    kafka: dict[str, str],
    opened: list[ScorestreamError],
    written: list[str],
    command: str,
    state: str,
) -> None:
    opened.append(ConfigError("the rows come from Postgres cluster 7"))
    code, _, err = run("replay", command, "march", "--installation", "eu-1")
    assert (code, written) == (2, [])
    assert "cluster 7" in err
    opened[0] = ClickHouseUnavailable("shard 1 does not answer")
    code, _, err = run("replay", command, "march", "--installation", "eu-1")
    assert (code, written, err) == (0, [state], "")


def test_a_command_that_opens_the_stores_later_needs_their_answer(
    file: Path, kafka: dict[str, str], opened: list[ScorestreamError]
) -> None:
    app = App()
    app.choose("eu-1")
    opened.append(ClickHouseUnavailable("shard 1 does not answer"))
    with pytest.raises(ClickHouseUnavailable):
        app.check()


def test_an_installation_that_the_file_has_not_and_no_file(run: Any, file: Path, monkeypatch: Any) -> None:
    code, _, err = run("replay", "list", "--installation", "eu-2")
    assert code == 2
    assert "has no installation eu-2; there are: eu-1, us-1" in err
    monkeypatch.delenv("SCORESTREAM_INSTALLATIONS")
    code, _, err = run("replay", "list", "--installation", "eu-2")
    assert code == 2
    assert "SCORESTREAM_INSTALLATIONS" in err


def test_the_operator_stays_the_operator(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORESTREAM_AUDIT_USER", "on-call")
    monkeypatch.setenv("SCORESTREAM_KAFKA_GROUP", "of-the-bastion")
    app = App()
    app.choose("us-1")
    assert (app.settings.audit_user, app.settings.kafka.group) == ("on-call", "scorestream-live")
    assert app.settings.name == "us-1"
    assert app.chooses == ["--installation", "us-1"]


def test_lag_asks_the_monitor_of_the_installation(run: Any, file: Path) -> None:
    told = document("fresh", cluster="A") | {"group": "scorestream-live", "name": "another"}
    told["installation"] |= {"source": "contact_centre.app", "clickhouse": "eu"}
    with serve(WebSettings(port=0), health=Health, state=lambda: told) as server:
        file.write_text(FILE.replace("[eu-1]\n", f'[eu-1]\nmonitor_url = "{server.url}"\n'), "utf-8")
        code, out, _ = run("lag", "--installation", "eu-1", "--json")
    assert code == 0
    assert (json.loads(out)["name"], json.loads(out)["from"]) == ("eu-1", f"{server.url}/api/state")


STORED = Stored(epoch=0, identifier=7, timeline=1, lsn=1)


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Stored], int | None], Any]:
    """Stores whose shards have these records, and whose Postgres is that cluster."""

    def made(stored: list[Stored], own: int | None) -> Any:
        monkeypatch.setattr(SourceRecord, "read", lambda _: stored)
        monkeypatch.setattr(identity, "cluster", lambda _: Cluster(own, 1, 1))

        @contextmanager
        def asking() -> Iterator[None]:
            yield

        shards, postgres = SimpleNamespace(database="eu"), SimpleNamespace(asking=asking)
        return SimpleNamespace(shards=shards, postgres=postgres, epochs=Settings().epochs)

    return made


@pytest.mark.parametrize(
    ("stored", "own"),
    [
        ([STORED], 7),
        ([], 8),
        ([STORED], None),  # the role may not see it
        ([STORED._replace(identifier=0)], 8),  # the worker's role might not
        ([STORED._replace(epoch=1)], 8),  # Postgres has moved since
    ],
)
def test_rows_of_this_postgres_cluster_or_of_one_not_known_are_let_pass(
    stores: Any, stored: list[Stored], own: int | None
) -> None:
    check_source(stores(stored, own), "eu-1")


def test_rows_of_another_postgres_cluster_are_refused_by_name(stores: Any) -> None:
    with pytest.raises(ConfigError, match=r"installation eu-1: .* database eu come from Postgres cluster 7, .* 8"):
        check_source(stores([STORED], 8), "eu-1")


def test_without_kafka_the_line_names_no_cluster() -> None:
    assert Identity("eu-1", None, "pg.app", "eu").line == "installation eu-1: source pg.app, ClickHouse database eu"
