"""connectors/source/0002_cdc.sql by a role that is no superuser, as on a managed Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from testbed.universe import ROOT, Universe

pytestmark = pytest.mark.stack

OWNER = "installer_of_test"
CDC, READER = f"{OWNER}_cdc", f"{OWNER}_reader"


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack_env, tmp_path) as made:
        yield made


def test_the_owner_of_the_tables_can_run_it_twice(universe: Universe) -> None:
    with universe.postgres() as connection:
        # given roles of other names, since roles belong to the whole server
        text = (ROOT / "connectors/source/0002_cdc.sql").read_text("utf-8")
        text = text.replace("scorestream_cdc", CDC).replace("scorestream_reader", READER)
        tables = ["app.chats", "app.scorecards", "app.scores", "app.scorecard_templates"]
        database = connection.info.dbname
        connection.execute(
            f"DROP PUBLICATION scorestream; DROP TABLE app.scorestream_horizon, app.scorestream_signal, "
            f"app.scorestream_heartbeat; DROP FUNCTION app.scorestream_delete_first, app.scorestream_no_op CASCADE; "
            f"CREATE ROLE {OWNER} CREATEROLE REPLICATION; ALTER SCHEMA app OWNER TO {OWNER}; "
            f'GRANT CREATE ON DATABASE "{database}" TO {OWNER};'
        )
        try:
            for table in tables:
                connection.execute(f"ALTER TABLE {table} OWNER TO {OWNER}".encode())
            connection.execute(f"SET SESSION AUTHORIZATION {OWNER}".encode())
            # when it runs twice
            for _ in range(2):
                connection.execute(text.encode())
            # then the roles are there, with what they need and no more
            rows = connection.execute(
                "SELECT rolname, rolcanlogin, rolreplication, rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls "
                "FROM pg_roles WHERE rolname IN (%s, %s) ORDER BY 1",
                (CDC, READER),
            ).fetchall()
            assert rows == [(CDC, True, True, False), (READER, True, False, False)]
        finally:
            connection.execute("RESET SESSION AUTHORIZATION")
            _drop(connection)


def _drop(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.execute(f"REASSIGN OWNED BY {OWNER} TO CURRENT_USER".encode())
    for role in (OWNER, CDC, READER):
        connection.execute(f"DROP OWNED BY {role} CASCADE".encode())
    connection.execute(f"DROP ROLE {CDC}, {READER}; DROP ROLE {OWNER}".encode())
