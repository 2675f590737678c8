"""The same suite for the fake Postgres and the real one, whose ids may be of type uuid or text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from stream.errors import PostgresUnavailable
from stream.pipeline.pieces import pieces
from stream.pipeline.placement import GONE, Place, State
from stream.postgres import places as postgres_module
from stream.postgres.connection import Postgres
from stream.postgres.places import PostgresSource
from stream.settings_sections import PostgresSettings
from stream.tables import CHATS, SCORE, SCORECARD
from testbed.universe import ROOT
from tests.fakes import PRIMARY_KEY, TIMES, FakePostgres, iso

CARDS = [f"5c000000-0000-4000-8000-00000000000{n}" for n in range(9)]
SCORES = [f"50000000-0000-4000-8000-00000000000{n}" for n in range(3)]
CHAT, ABSENT = "c0000000-0000-4000-8000-000000000000", "c0000000-0000-4000-8000-0000000000ff"
JANUARY = 1_767_225_600_123_456

DDL = """
CREATE TABLE {schema}.chats (conversation_id {chat} PRIMARY KEY, customer_id text NOT NULL, agent_user_id uuid,
    started_at timestamptz, ended_at timestamptz);
CREATE TABLE {schema}.scorecards (scorecard_id {id} PRIMARY KEY, customer_id text NOT NULL, template_id {id} NOT NULL,
    conversation_id {link}, agent_user_id {id}, scorecard_type {number}, submission_source {number},
    scorecard_time timestamptz, submitted_at timestamptz, score {float}, comment text, created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL);
CREATE TABLE {schema}.scores (score_id {id} PRIMARY KEY, scorecard_id {id} NOT NULL REFERENCES {schema}.scorecards
    ON DELETE CASCADE, criterion_id {id} NOT NULL, numeric_value {float}, ai_value {float}, not_applicable boolean
    NOT NULL, comment text, updated_at timestamptz NOT NULL);
"""
HORIZON = next(
    statement
    for statement in (ROOT / "connectors/source/0002_cdc.sql").read_text("utf-8").split(";")
    if "TABLE IF NOT EXISTS app.scorestream_horizon" in statement
)
TYPES = {
    "uuid": {"id": "uuid", "link": "uuid", "chat": "uuid", "number": "smallint", "float": "double precision"},
    "text": {"id": "text", "link": "text", "chat": "text", "number": "integer", "float": "numeric"},
    "mixed": {"id": "uuid", "link": "text", "chat": "uuid", "number": "smallint", "float": "real"},
}


class RealPostgres(PostgresSource):
    """A schema of its own, filled through the fake's calls; `with`-able, dropped at the end."""

    def __init__(self, url: str, kind: str, *, horizon: bool = True) -> None:
        self.name = f"contract_{uuid4().hex[:12]}"
        super().__init__(Postgres(PostgresSettings(dsn=url, source_schema=self.name)))
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute(f"CREATE SCHEMA {self.name};" + DDL.format(schema=self.name, **TYPES[kind]))
        if horizon:
            self.connection.execute(HORIZON.replace("app.", f"{self.name}."))
        self._horizons = 0
        self._shape = FakePostgres()  # fills in what a row does not say

    def insert(self, table: str, row_id: str, **values: Any) -> None:
        self.connection.execute(self.statement(table, row_id, **values))

    def statement(self, table: str, row_id: str, **values: Any) -> bytes:
        self._shape.insert(table, row_id, **values)
        row = self._shape.rows[table][row_id]
        literals = ", ".join(self._literal(name, value) for name, value in row.items())
        return f"INSERT INTO {self.name}.{table} ({', '.join(row)}) VALUES ({literals})".encode()

    def update(self, table: str, row_id: str, **values: Any) -> None:
        sets = ", ".join(f"{name} = {self._literal(name, value)}" for name, value in values.items())
        where = f"{PRIMARY_KEY[table]} = '{row_id}'"
        self.connection.execute(f"UPDATE {self.name}.{table} SET {sets} WHERE {where}".encode())

    def delete(self, table: str, row_id: str) -> None:
        where = f"{PRIMARY_KEY[table]} = '{row_id}'"
        self.connection.execute(f"DELETE FROM {self.name}.{table} WHERE {where}".encode())

    @staticmethod
    def _literal(name: str, value: Any) -> str:
        """Text in quotes, which takes the column's type."""
        return "NULL" if value is None else f"'{iso(value) if name in TIMES else value}'"

    def note_horizon(self) -> None:
        """As the connector does, but as often as a test likes: one takes the place of another of the same second."""
        self._horizons += 1
        table = f"{self.name}.scorestream_horizon"
        self.connection.execute(f"INSERT INTO {table} (second) VALUES ({self._horizons})".encode())

    def drop(self) -> None:
        self.close()
        self.connection.execute(f"DROP SCHEMA {self.name} CASCADE")
        self.connection.close()


@pytest.fixture(params=["fake", *(pytest.param(kind, marks=pytest.mark.stack) for kind in TYPES)])
def postgres(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "fake":
        yield FakePostgres()
        return
    env = request.getfixturevalue("stack_env")
    real = RealPostgres(env["DEVSTACK_POSTGRES_URL"], request.param)
    try:
        yield real
    finally:
        real.drop()


def test_places_of_all_kinds(postgres: Any) -> None:
    postgres.insert(CHATS, CHAT, started_at=JANUARY)
    postgres.insert("scorecards", CARDS[0], conversation_id=CHAT)
    postgres.insert("scorecards", CARDS[1], scorecard_time=JANUARY + 1, customer_id="globex")
    postgres.insert("scorecards", CARDS[2], conversation_id=CHAT, scorecard_type=2, scorecard_time=5)
    postgres.insert("scorecards", CARDS[3], conversation_id=ABSENT, scorecard_time=JANUARY)
    postgres.insert("scorecards", CARDS[4], scorecard_type=0, scorecard_time=-1)
    postgres.insert("scorecards", CARDS[5])
    postgres.insert("scorecards", CARDS[6], scorecard_type=9, scorecard_time=5)
    assert postgres.places([CARDS[8], *CARDS[:7], CARDS[7]]) == {
        CARDS[0]: Place(State.VISIBLE, "acme", JANUARY, False),
        CARDS[1]: Place(State.VISIBLE, "globex", JANUARY + 1, True),
        CARDS[2]: Place(State.APPEAL, "acme", JANUARY, False),
        CARDS[3]: Place(State.WAITING, "acme", None, False),
        CARDS[4]: Place(State.VISIBLE, "acme", -1, True),
        CARDS[5]: Place(State.WAITING, "acme", None, True),
        CARDS[6]: Place(State.WAITING, "acme", 5, True),
    }
    assert postgres.places([]) == {}


def test_owners_of_scorecards(postgres: Any) -> None:
    postgres.insert("scorecards", CARDS[0], conversation_id=ABSENT)
    postgres.insert("scorecards", CARDS[1], customer_id="globex", scorecard_type=2)
    assert postgres.owners([CARDS[8], CARDS[1], CARDS[0]]) == {CARDS[0]: "acme", CARDS[1]: "globex"}
    assert postgres.owners([]) == {}


def test_a_scorecard_is_found_by_its_id_as_postgres_spells_it(postgres: Any) -> None:
    # given an id in upper case, which a text column keeps
    postgres.insert("scorecards", CARDS[0].upper(), scorecard_time=JANUARY)
    # when its canonical form is translated, then it is found; an id that is not there stays as it is
    spelled, missing = postgres.spelled([CARDS[0], CARDS[1]])
    assert list(postgres.places([spelled])) == [spelled]
    assert missing == CARDS[1]


@pytest.mark.parametrize("at_once", [1_000, 1], ids=["few scores", "more scores than are read at once"])
def test_scores_that_do_not_stand_where_they_are_said_to(
    postgres: Any, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.postgres.statements.READ_AT_MOST", at_once)
    # given two scores in one scorecard
    for card in CARDS[:2]:
        postgres.insert("scorecards", card, scorecard_time=JANUARY)
    for score in SCORES[:2]:
        postgres.insert("scores", score, scorecard_id=CARDS[0])
    # when Postgres is asked for them there, elsewhere, and for one that is not there
    asked = [(0, 0), (0, 1), (1, 0), (2, 0), (1, 0)]
    lacking = postgres.lacking([SCORES[score] for score, _ in asked], [CARDS[card] for _, card in asked])
    # then it names the two that do not stand, by index
    assert lacking == [1, 3]
    assert postgres.lacking([], []) == []


def test_an_empty_conversation_id_means_process(postgres: Any) -> None:
    if getattr(postgres, "connection", None) is not None and "uuid" in str(
        postgres.connection.execute(
            "SELECT data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = 'scorecards' "
            "AND column_name = 'conversation_id'",
            (postgres.name,),
        ).fetchone()
    ):
        return  # a uuid cannot be empty
    postgres.insert("scorecards", CARDS[0], conversation_id="", scorecard_time=JANUARY)
    assert postgres.places(CARDS[:1]) == {CARDS[0]: Place(State.VISIBLE, "acme", JANUARY, True)}


def test_what_moved_since_a_look_up(postgres: Any) -> None:
    # given one of each kind, and one that is not there
    postgres.insert(CHATS, CHAT, started_at=JANUARY)
    postgres.insert("scorecards", CARDS[0], conversation_id=CHAT)
    postgres.insert("scorecards", CARDS[1], scorecard_time=JANUARY)
    postgres.insert("scorecards", CARDS[2], conversation_id=ABSENT)
    postgres.insert("scorecards", CARDS[3], conversation_id=CHAT, scorecard_type=2)
    postgres.insert("scorecards", CARDS[4], scorecard_time=JANUARY)
    ids = [CARDS[8], *CARDS[:5]]
    looked = postgres.places(ids)
    expected = {scorecard_id: looked.get(scorecard_id, GONE) for scorecard_id in ids}
    # then nothing has moved, nor when something else of a row is written
    assert postgres.moved(expected, looked) == {}
    postgres.update("scorecards", CARDS[0], comment="another")
    assert postgres.moved(expected, looked) == {}
    # when their own rows, their conversations or both become others, each has its new place
    postgres.update("scorecards", CARDS[1], scorecard_time=JANUARY + 1)
    assert postgres.moved(expected, looked) == {CARDS[1]: Place(State.VISIBLE, "acme", JANUARY + 1, True)}
    postgres.insert(CHATS, ABSENT, started_at=JANUARY + 2)
    postgres.update(CHATS, CHAT, started_at=JANUARY + 3)
    postgres.delete("scorecards", CARDS[4])
    postgres.insert("scorecards", CARDS[8], scorecard_time=JANUARY)
    now = {
        CARDS[0]: Place(State.VISIBLE, "acme", JANUARY + 3, False),
        CARDS[1]: Place(State.VISIBLE, "acme", JANUARY + 1, True),
        CARDS[2]: Place(State.VISIBLE, "acme", JANUARY + 2, False),
        CARDS[3]: Place(State.APPEAL, "acme", JANUARY + 3, False),
        CARDS[4]: GONE,
        CARDS[8]: Place(State.VISIBLE, "acme", JANUARY, True),
    }
    assert postgres.moved(expected, looked) == now
    # and only those that are asked for
    assert postgres.moved({CARDS[1]: expected[CARDS[1]]}, looked) == {CARDS[1]: now[CARDS[1]]}
    assert postgres.moved({}, looked) == {}
    # and without a look-up, or with one of a connection that was lost, too
    assert postgres.moved(expected, {}) == now
    if not isinstance(postgres, FakePostgres):
        looked = postgres.places(ids)
        postgres.close()
    assert postgres.moved(expected, looked) == now


def test_what_is_expected_elsewhere_than_it_was_seen_has_moved(postgres: Any) -> None:
    postgres.insert("scorecards", CARDS[0], scorecard_time=JANUARY)
    looked = postgres.places(CARDS[:1])
    elsewhere = Place(State.VISIBLE, "globex", JANUARY, True)
    assert postgres.moved({CARDS[0]: elsewhere}, looked) == dict(looked)


@pytest.mark.stack
@pytest.mark.parametrize("kind", TYPES)
def test_rows_that_nobody_wrote_are_not_looked_up_again(
    stack_env: dict[str, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RealPostgres(stack_env["DEVSTACK_POSTGRES_URL"], kind)
    with closing(real):
        real.insert(CHATS, CHAT, started_at=JANUARY)
        real.insert("scorecards", CARDS[0], conversation_id=CHAT)
        real.insert("scorecards", CARDS[1], scorecard_time=JANUARY)
        real.insert("scorecards", CARDS[2], conversation_id=CHAT)
        looked = real.places(CARDS[:3])
        real.update("scorecards", CARDS[2], scorecard_type=1)
        asked: list[list[str]] = []
        look_up = postgres_module._places
        monkeypatch.setattr(postgres_module, "_places", lambda *args: asked.append(list(args[2])) or look_up(*args))
        assert list(real.moved(looked, looked)) == asked[0] == [CARDS[2]]
    real.drop()


@pytest.mark.stack
def test_another_row_in_the_place_of_one_that_is_gone(stack_env: dict[str, str]) -> None:
    # given a scorecard whose place in the table was given to another one
    real = RealPostgres(stack_env["DEVSTACK_POSTGRES_URL"], "uuid")
    with closing(real):
        where = f"SELECT ctid FROM {real.name}.scorecards".encode()
        real.insert("scorecards", CARDS[0], scorecard_time=JANUARY)
        lay = real.connection.execute(where).fetchall()
        looked = real.places(CARDS[:1])
        real.delete("scorecards", CARDS[0])
        # then, when every row is dead, a vacuum gives the whole table back, however long others may still see some
        real.connection.execute(f"VACUUM FULL {real.name}.scorecards".encode())
        real.insert("scorecards", CARDS[1], scorecard_time=JANUARY)
        assert real.connection.execute(where).fetchall() == lay
        # then it is gone
        assert real.moved(looked, looked) == {CARDS[0]: GONE}
    real.drop()


@pytest.mark.stack
@pytest.mark.parametrize("moving", ["VACUUM FULL {0}.scorecards", "CLUSTER {0}.scorecards USING scorecards_pkey"])
def test_another_row_of_the_same_transaction_in_the_place_of_one(stack_env: dict[str, str], moving: str) -> None:
    real = RealPostgres(stack_env["DEVSTACK_POSTGRES_URL"], "uuid")
    try:
        # given three scorecards of one transaction, the first of which was looked at
        with real.connection.transaction():
            for card in CARDS[:3]:
                real.insert("scorecards", card, scorecard_time=JANUARY)
        looked = real.places([CARDS[0]])
        place = "SELECT ctid, xmin FROM {}.scorecards WHERE scorecard_id = '{}'"
        before = real.connection.execute(place.format(real.name, CARDS[0]).encode()).fetchone()
        # when it goes, and the table is written to another file with the second in its place
        real.delete("scorecards", CARDS[0])
        real.connection.execute(moving.format(real.name).encode())
        assert real.connection.execute(place.format(real.name, CARDS[1]).encode()).fetchone() == before
        # then that one is not taken for it
        assert real.moved(looked, looked) == {CARDS[0]: GONE}
    finally:
        real.drop()


@pytest.mark.stack
def test_row_versions_of_another_server_tell_nothing(stack_env: dict[str, str]) -> None:
    # given two schemas for two servers, in which one transaction has put a scorecard into the same place
    url = stack_env["DEVSTACK_POSTGRES_URL"]
    one, other = RealPostgres(url, "uuid"), RealPostgres(url, "uuid")
    with closing(one), closing(other):
        with one.connection.transaction():
            one.insert("scorecards", CARDS[0], scorecard_time=JANUARY)
            one.connection.execute(other.statement("scorecards", CARDS[0], scorecard_time=JANUARY + 1))
        looked = one.places(CARDS[:1])
        assert other.moved(looked, looked) == {CARDS[0]: Place(State.VISIBLE, "acme", JANUARY + 1, True)}
    one.drop()
    other.drop()


@pytest.mark.stack
def test_of_tables_with_partitions_all_is_looked_up_again(stack_env: dict[str, str]) -> None:
    real = RealPostgres(stack_env["DEVSTACK_POSTGRES_URL"], "uuid")
    with closing(real):
        part = f"{real.name}.more"
        real.connection.execute(f"CREATE TABLE {part} () INHERITS ({real.name}.scorecards)".encode())
        # given two scorecards in one place of two tables, written by one transaction
        with real.connection.transaction():
            real.insert("scorecards", CARDS[0], scorecard_time=JANUARY)
            real.connection.execute(real.statement("scorecards", CARDS[1]).replace(b".scorecards ", b".more "))
        looked = real.places(CARDS[:1])
        assert real.moved(looked, looked) == {}
        real.delete("scorecards", CARDS[0])
        assert real.moved(looked, looked) == {CARDS[0]: GONE}
    real.drop()


def test_scorecards_of_conversations(postgres: Any) -> None:
    postgres.insert(CHATS, CHAT, started_at=JANUARY)
    postgres.insert("scorecards", CARDS[0], conversation_id=CHAT)
    postgres.insert("scorecards", CARDS[1], conversation_id=ABSENT)
    postgres.insert("scorecards", CARDS[2])
    found = postgres.scorecards_of([ABSENT, CHAT, CHAT[:-1] + "9"])
    # written by transactions of their own, and nothing says in which order
    assert sorted(found) == sorted([(CHAT, CARDS[0], False), (ABSENT, CARDS[1], False)])
    assert postgres.scorecards_of([]) == []


def test_a_snapshot_has_every_column_in_the_order_of_the_table(postgres: Any) -> None:
    person = str(uuid4())
    postgres.insert(CHATS, CHAT, started_at=JANUARY)
    postgres.insert(
        "scorecards",
        CARDS[0],
        conversation_id=CHAT,
        agent_user_id=person,
        submission_source=2,
        scorecard_time=JANUARY + 7,
        submitted_at=-1,
        score=0.5,
        comment="ü\n",
        created_at=3,
        updated_at=4,
    )
    postgres.insert("scorecards", CARDS[1], scorecard_time=JANUARY, created_at=1, updated_at=2)
    postgres.insert("scores", SCORES[0], scorecard_id=CARDS[0], numeric_value=1.5, not_applicable=True, updated_at=9)
    postgres.insert("scores", SCORES[1], scorecard_id=CARDS[1], comment="", updated_at=9)
    found = postgres.snapshot([CARDS[7], CARDS[1], CARDS[0]])
    assert found.places == postgres.places(CARDS[:2])
    template, criterion = "00000000-0000-4000-8000-00000000007e", "00000000-0000-4000-8000-0000000000c1"
    assert sorted(map(tuple, found.rows[SCORECARD.target]), key=repr) == [
        (CARDS[0], template, CHAT, person, 2, JANUARY + 7, -1, 0.5, "ü\n", 3, 4),
        (CARDS[1], template, None, None, None, JANUARY, None, None, None, 1, 2),
    ]
    assert sorted(map(tuple, found.rows[SCORE.target]), key=repr) == [
        (CARDS[0], SCORES[0], criterion, 1.5, None, True, None, 9),
        (CARDS[1], SCORES[1], criterion, None, None, False, "", 9),
    ]


def test_a_snapshot_is_read_piece_by_piece_and_up_to_a_number_of_rows(postgres: Any) -> None:
    postgres.insert("scorecards", CARDS[0], scorecard_time=JANUARY)
    ids = [f"00000000-0000-4000-8000-0000000001{number:02x}" for number in range(0, 64, 3)]
    for score in ids:
        postgres.insert("scores", score, scorecard_id=CARDS[0], comment="", updated_at=9)
    found = [postgres.snapshot([CARDS[0]], piece=piece) for piece in pieces(16)]
    scores = [row[1] for each in found for row in each.rows[SCORE.target]]
    assert sorted(scores) == ids
    assert [len(each.rows[SCORECARD.target]) for each in found].count(1) == 1
    assert all(each.places == found[0].places for each in found)
    assert len(postgres.snapshot([CARDS[0]], most=5).rows[SCORE.target]) == 5


def test_rows_are_counted_by_scorecard(postgres: Any) -> None:
    for card in CARDS[:2]:
        postgres.insert("scorecards", card, scorecard_time=JANUARY)
    for score in SCORES:
        postgres.insert("scores", score, scorecard_id=CARDS[1], comment="", updated_at=9)
    assert postgres.sizes(CARDS[:3]) == {CARDS[0]: 1, CARDS[1]: 1 + len(SCORES)}
    assert postgres.sizes([]) == {}


def test_what_was_written_after_a_horizon_is_covered(postgres: Any) -> None:
    # given a scorecard from before its conversation was known to have ended, and one from after that, with a score
    postgres.insert("scorecards", CARDS[0], conversation_id=CHAT)
    postgres.note_horizon()
    postgres.insert(CHATS, CHAT, started_at=JANUARY)
    postgres.insert("scorecards", CARDS[1], conversation_id=CHAT)
    postgres.note_horizon()
    postgres.insert("scorecards", CARDS[2], conversation_id=CHAT)
    postgres.insert("scores", SCORES[0], scorecard_id=CARDS[2])
    # then that one alone is covered, also by the horizons of later
    postgres.note_horizon()
    expected = [(CHAT, CARDS[0], False), (CHAT, CARDS[1], False), (CHAT, CARDS[2], True)]
    assert sorted(postgres.scorecards_of([CHAT])) == expected
    # and one whose conversation is not there is not
    postgres.insert("scorecards", CARDS[3], conversation_id=ABSENT)
    assert postgres.scorecards_of([ABSENT]) == [(ABSENT, CARDS[3], False)]


def test_an_older_score_leaves_a_scorecard_uncovered(postgres: Any) -> None:
    postgres.insert("scorecards", CARDS[0])
    postgres.insert("scores", SCORES[0], scorecard_id=CARDS[0])
    postgres.insert(CHATS, CHAT, started_at=JANUARY)
    postgres.note_horizon()
    postgres.update("scorecards", CARDS[0], conversation_id=CHAT)
    assert postgres.scorecards_of([CHAT]) == [(CHAT, CARDS[0], False)]


@pytest.mark.stack
def test_what_was_written_together_is_covered(stack_env: dict[str, str]) -> None:
    real = RealPostgres(stack_env["DEVSTACK_POSTGRES_URL"], "mixed", horizon=False)
    with closing(real), real.connection.transaction():
        real.insert(CHATS, CHAT, started_at=JANUARY)
        real.insert("scorecards", CARDS[0], conversation_id=CHAT)
        real.insert("scores", SCORES[0], scorecard_id=CARDS[0])
    try:
        assert real.scorecards_of([CHAT]) == [(CHAT, CARDS[0], True)]
        real.insert("scores", SCORES[1], scorecard_id=CARDS[0])
        assert real.scorecards_of([CHAT]) == [(CHAT, CARDS[0], False)]
    finally:
        real.drop()


@pytest.mark.stack
@pytest.mark.parametrize("open_one", ["conversation", "scorecard", "another"])
def test_transactions_that_were_open_at_the_horizon(stack_env: dict[str, str], open_one: str) -> None:
    # given a horizon while a transaction is open
    url = stack_env["DEVSTACK_POSTGRES_URL"]
    real = RealPostgres(url, "mixed")
    chat = real.statement(CHATS, CHAT, started_at=JANUARY)
    card = real.statement("scorecards", CARDS[0], conversation_id=CHAT)
    others = {"conversation": chat, "scorecard": card, "another": real.statement("scorecards", CARDS[1])}
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_current_xact_id()" if open_one == "scorecard" else others[open_one])
        if open_one != "conversation":
            real.connection.execute(chat)
        real.note_horizon()
        if open_one == "scorecard":
            other.execute(card)
        else:
            real.connection.execute(card)
    try:
        # then its scorecard may not have seen the conversation, or the conversation came after it. While another
        # transaction was open that began before the conversation, nothing is known either.
        assert real.scorecards_of([CHAT]) == [(CHAT, CARDS[0], False)]
        # and the next horizon covers what comes after it
        real.note_horizon()
        real.insert("scorecards", CARDS[2], conversation_id=CHAT)
        assert sorted(real.scorecards_of([CHAT])) == [(CHAT, CARDS[0], False), (CHAT, CARDS[2], True)]
    finally:
        real.drop()


@pytest.mark.stack
def test_the_position_is_behind_every_commit_and_close_to_it(stack_env: dict[str, str]) -> None:
    # given a transaction that is in the WAL
    url = stack_env["DEVSTACK_POSTGRES_URL"]
    real = RealPostgres(url, "uuid")
    with contextlib.ExitStack() as stack, psycopg.connect(url, autocommit=True) as other:
        stack.callback(real.drop)
        real.insert("scorecards", CARDS[0], scorecard_time=JANUARY)
        (at,) = other.execute("SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint").fetchone() or (0,)
        # then the source knows a position behind it
        assert at <= real.position() < at + (1 << 30)
        assert real.is_primary()


def test_a_transaction_that_is_not_visible_is_waited_for(
    stack_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a transaction that holds a row back
    url = stack_env["DEVSTACK_POSTGRES_URL"]
    monkeypatch.setattr(postgres_module, "_VISIBLE_S", 0.05)
    real = RealPostgres(url, "uuid")
    with contextlib.ExitStack() as stack, psycopg.connect(url) as other:
        stack.callback(real.drop)
        other.execute(real.statement("scorecards", CARDS[0], scorecard_time=JANUARY))
        (whole,) = other.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() or (0,)
        xid = whole % 2**32
        # then a look-up that needs it is not answered while it is under way
        with pytest.raises(PostgresUnavailable, match=f"transaction {xid} is not visible yet"):
            real.expect({xid})
        # and is, once it has committed
        other.commit()
        real.expect({xid})
        assert CARDS[0] in real.places([CARDS[0]])
        # and one that this server never gave out is of another one: nobody waits for it
        real.expect({(xid + 100_000) % 2**32})
