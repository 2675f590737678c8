"""Every type that a column of the source may have, through real Debezium: one row has one value, on every way.

Tables get other types (docs/reference/types.md). Generated rows are indexed live, verified, reindexed and replayed.
Every way gives the value that the list of types promises.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from stream.pipeline.types import TYPES
from stream.tables import SCORE, SCORECARD, Column
from testbed import oracle
from testbed.replays import drop, wait_until_published
from testbed.universe import Universe, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

SHADOW = "types_shadow"
OF_SOURCE = (Column("conversation_id", "text"), Column("scorecard_type", "int"))
ROWS = 12
# Column -> its type, in three sources that have all types of each kind between them.
SOURCES: dict[str, dict[str, str]] = {
    "texts": {
        "customer_id": "varchar(40)", "template_id": "text", "agent_user_id": "varchar(36)",
        "conversation_id": "varchar(36)",
        "criterion_id": "char(36)", "scorecard_type": "integer", "submission_source": "bigint", "score": "real",
        "numeric_value": "numeric", "ai_value": "numeric(20,6)", "scorecard_time": "timestamp(3)",
        "submitted_at": "date", "created_at": "timestamp", "updated_at": "timestamptz(0)", "comment": "mood",
    },
    "numbers": {
        "customer_id": "label", "template_id": "varchar(40)", "agent_user_id": "char(32)", "scorecard_type": "bigint",
        "submission_source": "integer", "score": "bigint", "numeric_value": "smallint", "ai_value": "integer",
        "scorecard_time": "timestamptz(3)", "submitted_at": "timestamp(0)", "comment": "char(12)", "created_at": "date",
    },
    "ids": {
        "customer_id": "uuid", "agent_user_id": "uuid", "comment": "varchar(99)", "scorecard_time": "date",
        "submitted_at": "timestamptz(1)", "score": "double precision", "updated_at": "timestamp(6)",
    },
}  # fmt: skip
_MADE_FOR = (
    "CREATE TYPE mood AS ENUM ('fine', 'so so', 'naïve “quotes”')",
    "CREATE DOMAIN label AS text CHECK (value <> '')",
)
_UUIDS = {"template_id", "agent_user_id", "criterion_id"}


def changed_types(universe: Universe, source: str) -> None:
    """The universe's tables with other types, before the connector knows them."""
    with universe.postgres() as connection:
        for statement in _MADE_FOR:
            connection.execute(statement)
        for table in ("chats", "scorecards", "scores"):
            for column, kind in SOURCES[source].items():
                found = connection.execute(
                    "SELECT column_default FROM information_schema.columns "
                    "WHERE table_schema = 'app' AND table_name = %s AND column_name = %s",
                    (table, column),
                ).fetchone()
                if found is None:
                    continue
                connection.execute(f"ALTER TABLE app.{table} ALTER {column} DROP DEFAULT".encode())
                statement = f"ALTER TABLE app.{table} ALTER {column} TYPE {kind} USING {column}::text::{kind}"
                connection.execute(statement.encode())


def value_of(choices: random.Random, kind: str) -> str:
    """A random value of a type, as text that Postgres takes for it."""
    name, _, size = kind.partition("(")
    uuid = UUID(int=choices.getrandbits(128), version=4)
    number = choices.choice(["0", "-0.5", "0.1", "1e-3", "123456.78", f"{choices.uniform(-1e6, 1e6):.6f}"])
    whole = str(choices.choice([0, 1, -1, 32_767, -32_768, choices.randrange(-9_000, 9_000)]))
    at = datetime(1905, 1, 1, tzinfo=UTC) + timedelta(microseconds=choices.randrange(380 * 365 * 86_400 * 10**6))
    text = choices.choice(["x", "two words", "naïve “q”", "Ünï"])
    values = dict.fromkeys(("smallint", "integer", "bigint"), whole)
    values |= dict.fromkeys(("real", "double precision", "numeric"), number)
    values |= dict.fromkeys(("timestamp", "timestamptz", "date"), at.isoformat())
    values |= {"mood": choices.choice(["fine", "so so", "naïve “quotes”"]), "uuid": str(uuid)}
    if size in {"32)", "36)"}:
        return uuid.hex if size == "32)" else str(uuid)
    return values.get(name, text)


def rows_of(universe: Universe, source: str, seed: int) -> None:
    """Insert generated rows, and update half of them: every type comes as an insert and as an update."""
    choices = random.Random(seed)
    types = SOURCES[source]
    with universe.postgres() as connection:
        for number in range(ROWS):
            card = str(UUID(int=choices.getrandbits(128), version=4))
            row = {"scorecard_id": card} | _generated(choices, connection, "scorecards", types)
            row |= {"scorecard_type": choices.choice([None, "0"]), "conversation_id": choices.choice([None, ""])}
            _insert(connection, "scorecards", row)
            score = {"score_id": str(UUID(int=choices.getrandbits(128), version=4)), "scorecard_id": card}
            _insert(connection, "scores", score | _generated(choices, connection, "scores", types))
            if number % 2:
                changed = _generated(choices, connection, "scorecards", types)
                for name in ("scorecard_type", "conversation_id", "customer_id"):
                    changed.pop(name, None)
                settings = ", ".join(f"{name} = %s" for name in changed)
                connection.execute(
                    f"UPDATE app.scorecards SET {settings} WHERE scorecard_id = %s".encode(), (*changed.values(), card)
                )


def _generated(
    choices: random.Random, connection: psycopg.Connection[Any], table: str, types: dict[str, str]
) -> dict[str, Any]:
    columns = connection.execute(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'app' AND table_name = %s AND column_name NOT IN ('scorecard_id', 'score_id')",
        (table,),
    ).fetchall()
    found = {}
    for name, kind, nullable in columns:
        if kind == "boolean":
            found[name] = choices.choice(["true", "false"])
        elif name in _UUIDS and types.get(name, "uuid") != "char(32)":
            found[name] = str(UUID(int=choices.getrandbits(128), version=4))
        elif choices.random() < 0.85 or nullable == "NO" or name == "scorecard_time":
            own = {"timestamp with time zone": "timestamptz"}.get(kind, kind)
            found[name] = value_of(choices, types.get(name, own))
        else:
            found[name] = None
    return found


def _insert(connection: psycopg.Connection[Any], table: str, row: dict[str, Any]) -> None:
    places = ", ".join(["%s"] * len(row))
    connection.execute(f"INSERT INTO app.{table} ({', '.join(row)}) VALUES ({places})".encode(), list(row.values()))


def shown(universe: Universe, database: str) -> list[str]:
    """All rows of both views, as the shards print them, exact to the last digit."""
    found = oracle.visible(universe.env, database)
    return sorted(f"{view} {row!r}" for view, rows in found.items() for row in rows.elements())


@pytest.fixture(params=SOURCES)
def universe(request: pytest.FixtureRequest, stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    made = Universe(stack_env, tmp_path)
    try:
        changed_types(made, request.param)
        rows_of(made, request.param, seed=1)  # the initial snapshot's
        made.set_up()
        rows_of(made, request.param, seed=2)  # streamed
        yield made
    finally:
        drop(made, SHADOW)
        made.close()


@pytest.mark.long
def test_live_verify_reindex_and_replay_give_one_value(universe: Universe) -> None:
    # given rows of a snapshot and of changes, indexed by a live worker
    with universe.worker():
        wait_for("all rows are shown", lambda: len(shown(universe, universe.name)) == 4 * ROWS, deadline_s=60)
        wait_until_published(universe)
        # then verify, which computes the values in Postgres, finds no difference
        code, printed, said = universe.call("verify", "--wait", "--json")
        assert code == 0, printed + said
        live = shown(universe, universe.name)
        # and a replay from the log gives the same values
        universe.done("replay", "start", "types", "--into", SHADOW)
        assert shown(universe, SHADOW) == live
        # and so does a reindex of every scorecard from Postgres
        universe.done("reindex", "--all")
        assert shown(universe, universe.name) == live


def test_every_type_is_in_one_of_the_sources() -> None:
    # given what the plain tables have, and what the sources have instead; citext is an extension of its own
    names = {"varchar": "varchar", "char": "bpchar", "integer": "int4", "bigint": "int8", "smallint": "int2",
             "real": "float4", "double precision": "float8", "label": "text"}  # fmt: skip
    kinds = {column.name: column.kind for column in (*SCORECARD.all_columns, *SCORE.all_columns, *OF_SOURCE)}
    plain = {("uuid", "uuid"), ("text", "text"), ("time", "timestamptz"), ("float", "float8"), ("int", "int2")}
    had = plain | {("bool", "bool"), ("text", "mood")}
    for types in SOURCES.values():
        plain_names = {column: kind.partition("(")[0] for column, kind in types.items()}
        had |= {(kinds[column], names.get(name, name)) for column, name in plain_names.items()}
    # then none of the list is left out
    wanted = {(kind, name) for kind, types in TYPES.items() for name in types if name != "citext"}
    assert wanted <= had, wanted - had
