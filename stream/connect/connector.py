"""Settings + stream/connect/scorestream-source.json -> the connector's config.

The JSON is a whole, valid config with the default names in it, in Kafka Connect's own form. So it also serves without
this package. The settings override some of its keys; a test holds the file equal to the defaults. Pure but for reading
the file: the REST interface is stream/connect/rest.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream.errors import ConfigError, UsageError
from stream.settings_sections import KafkaSettings, PostgresSettings
from stream.tables import HEARTBEAT, HORIZON, SCORE, SCORECARD, SIGNAL, SOURCES, TEXT_UNITS, columns_of, quoted
from stream.topic_names import TopicNames

CUT = f"column.truncate.to.{TEXT_UNITS}.chars"  # the workers read a text of this length from Postgres
# `recover` creates a connector that is gone with its offset, or at the slot's place. Before the first start there is
# nothing to go on from.
CREATE_AGAIN, CREATE_FIRST = "scorestream recover", "scorestream connectors apply"
DEFAULT_FILE = Path(__file__).with_name("scorestream-source.json")

_SECRET = re.compile(r"password|secret|token|jaas|credential|keystore\.key", re.IGNORECASE)
_CUTS = re.compile(r"column\.(truncate\.to|mask)\.")
_REFERENCE = re.compile(r"\$\{[A-Za-z0-9_.-]+:[^}]+\}")


# Debezium replaces other characters in the names of topics, and takes a dot for the end of the schema.
_SCHEMA = re.compile(r"[A-Za-z0-9_-]+")


def is_secret(key: str) -> bool:
    """Whether a config key's value must never be shown or stored in the clear."""
    return bool(_SECRET.search(key)) and not key.startswith(("key.converter", "transforms.", "topic.creation."))


def shown(key: str, value: str | None) -> str:
    """A value fit for a terminal: secrets appear only as references."""
    if value is None:
        return "not set"
    return "(hidden)" if is_secret(key) and not _REFERENCE.fullmatch(value) else value


def absent(name: str) -> str:
    """That there is no such connector, and both ways to have one."""
    return f"there is no connector {name}: `{CREATE_AGAIN}` creates it again, `{CREATE_FIRST}` for the first time"


def differences(held: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The keys that differ, sorted, and a line about each; secrets only as references."""
    return {
        key: f"{key}: {shown(key, held.get(key))} -> {shown(key, wanted.get(key))}"
        for key in sorted(held.keys() | wanted.keys())
        if held.get(key) != wanted.get(key)
    }


def lsn_of(offset: Mapping[str, Any]) -> int | None:
    """The highest LSN in an offset of the connector's: how far it has read; None without one."""
    found = [int(offset[key]) for key in ("lsn", "lsn_proc", "lsn_commit") if offset.get(key) is not None]
    return max(found, default=None)


def config(
    kafka: KafkaSettings, postgres: PostgresSettings, topics: TopicNames, *, path: Path | None = None
) -> dict[str, str]:
    """The whole config for `PUT /connectors/<name>/config`.

    Args:
        path: connector JSON; None: the package's.

    Raises:
        ConfigError: the file is missing or not a connector's JSON.
        UsageError: a secret stands in it in the clear, and Connect would keep it in a topic that many can read. Or the
            schema's name cannot be part of a topic's name.
    """
    path = path or DEFAULT_FILE
    try:
        document = json.loads(path.read_text("utf-8"))
        base = {str(key): str(value) for key, value in document["config"].items()}
    except OSError as error:
        raise ConfigError(
            f"connector config {path}: {error.strerror}; name it in SCORESTREAM_CONNECT_CONFIG"
        ) from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(
            f'connector config {path}: not JSON of the form {{"name": .., "config": {{..}}}}: {error}'
        ) from error
    merged = base | overrides(kafka, postgres, topics)
    if other := [key for key in merged if _CUTS.match(key) and key != CUT]:
        raise ConfigError(
            f"connector config {path}: {', '.join(other)}: the workers would take what is left of a text for "
            f"the whole; remove it: {CUT} is set anyway"
        )
    clear = [key for key, value in merged.items() if is_secret(key) and value and not _REFERENCE.search(value)]
    if clear:
        raise UsageError(
            f"connector config {path}: {', '.join(clear)} must be a reference, as ${{env:NAME}} or ${{file:PATH:KEY}}"
        )
    return merged


def overrides(kafka: KafkaSettings, postgres: PostgresSettings, topics: TopicNames) -> dict[str, str]:
    """The keys that the settings determine.

    Raises:
        UsageError: the schema's name cannot be part of a topic's name.
    """
    schema = postgres.source_schema
    if not _SCHEMA.fullmatch(schema):
        raise UsageError(
            f"SCORESTREAM_POSTGRES_SOURCE_SCHEMA: {schema!r} has characters that no topic's name may have, or a dot; "
            "a schema may have letters, digits, _ and -"
        )
    # Debezium quotes the names of its own statements, and compares the other keys with unquoted names.
    heartbeat = f"{schema}.{HEARTBEAT}"
    # Kafka's and Debezium's names may hold dots, and both sides of these patterns are regular expressions.
    topic = f"{re.escape(kafka.topic_prefix)}\\.{re.escape(schema)}\\."
    return {
        "topic.prefix": kafka.topic_prefix,
        "slot.name": postgres.slot,
        "publication.name": postgres.publication,
        "table.include.list": ",".join([*(f"{schema}.{table}" for table in SOURCES), heartbeat]),
        "column.include.list": _columns(re.escape(schema)),
        # With these keys, a score that moves to another scorecard is a delete in one partition and a create in the
        # other.
        "message.key.columns": f"{re.escape(schema)}\\.{SCORE.source}:scorecard_id,{SCORE.id}",
        CUT: f"{re.escape(schema)}\\.({'|'.join(SOURCES)})\\..*",
        "signal.data.collection": f"{schema}.{SIGNAL}",
        "notification.sink.topic.name": topics.notifications,
        "heartbeat.action.query": _heartbeat(quoted(schema)),
        "transforms.byScorecard.partition.topic.num": str(kafka.partitions),
        "predicates.ofScorecard.pattern": f"{topic}({SCORECARD.source}|{SCORE.source})",
        "topic.creation.rows.include": f"{topic}({'|'.join(SOURCES)})",
        "topic.creation.rows.partitions": str(kafka.partitions),
        "topic.creation.rows.min.compaction.lag.ms": str(kafka.min_compaction_lag_s * 1000),
        "topic.creation.default.replication.factor": str(kafka.replication_factor),
    }


def _columns(schema: str) -> str:
    """Only the columns that are read. So no other column makes a message large. Signals and heartbeats are whole."""
    read = [f"{schema}\\.{table}\\.({'|'.join(column.name for column in columns_of(table))})" for table in SOURCES]
    return ",".join([*read, f"{schema}\\.scorestream_.*"])


def _heartbeat(schema: str) -> str:
    """The statement of every second. Debezium runs it in the thread that streams: it must neither wait nor fail.

    The lock timeout holds for what follows it, so the block cannot be one plain statement. Debezium 3.6 ends the task
    when a table is missing (42P01), and only logs other errors. Postgres logs the warning, and the canary is late.
    """
    return (
        "DO $$ BEGIN PERFORM set_config('lock_timeout', '200ms', true); "
        f"INSERT INTO {schema}.{HORIZON} DEFAULT VALUES ON CONFLICT (second) "
        "DO UPDATE SET ended = excluded.ended, begun = excluded.begun; "
        f"INSERT INTO {schema}.{HEARTBEAT} AS held (id) VALUES (1) ON CONFLICT (id) "
        "DO UPDATE SET beat = held.beat + 1, at = now(); "
        "EXCEPTION WHEN OTHERS THEN RAISE WARNING 'heartbeat of the connector: %', SQLERRM; END $$"
    )
