"""The roles of connector and workers: privileges, policies, timeouts."""

from __future__ import annotations

import pytest

from stream.config import PostgresSettings
from stream.doctor import roles
from stream.doctor.finding import DoctorFinding
from tests.unit.doctor.catalogs import EVERYTHING, Catalogs


def found(catalogs: Catalogs) -> list[DoctorFinding]:
    return list(roles.examine(catalogs, PostgresSettings()))  # type: ignore[arg-type]


def test_roles_that_may_do_their_work_have_no_finding() -> None:
    assert found(Catalogs()) == []


def test_row_level_security_is_an_error_of_each_role_that_it_hides_rows_from() -> None:
    catalogs = Catalogs()
    catalogs.answers["relrowsecurity"] = [("scorestream_cdc", ["scores"]), ('odd"one', ["chats", "scores"])]
    assert [(each.severity, each.what, each.way_out) for each in found(catalogs)] == [
        (
            "error",
            "row level security of scores hides rows from scorestream_cdc",
            'ALTER ROLE "scorestream_cdc" BYPASSRLS;',
        ),
        ("error", 'row level security of chats, scores hides rows from odd"one', 'ALTER ROLE "odd""one" BYPASSRLS;'),
    ]


def test_each_privilege_that_is_missing_has_its_grant() -> None:
    catalogs = Catalogs()
    catalogs.answers["has_schema_privilege"] = [
        ("scorestream_cdc", False, "scores", False, EVERYTHING),
        ("scorestream_cdc", False, "scorestream_heartbeat", False, ["SELECT"]),
        ("scorestream_reader", True, "scorecards", True, []),
        ("scorestream_reader", True, "scorestream_signal", True, []),  # is none of its business
    ]
    assert [each.way_out for each in found(catalogs)] == [
        'GRANT USAGE ON SCHEMA "app" TO "scorestream_cdc";',
        'GRANT INSERT, UPDATE ON "app"."scorestream_heartbeat" TO "scorestream_cdc";',
        'GRANT SELECT ON "app"."scorecards" TO "scorestream_reader";',
    ]


def test_a_connector_that_may_not_log_in_or_replicate_is_told() -> None:
    catalogs = Catalogs()
    catalogs.answers["r.rolcanlogin"] = [("scorestream_cdc", False, False)]
    assert [(each.id, each.way_out) for each in found(catalogs)] == [
        ("role-login", "ALTER ROLE \"scorestream_cdc\" LOGIN VALID UNTIL 'infinity';"),
        ("role-replication", 'ALTER ROLE "scorestream_cdc" REPLICATION;'),
    ]


_ROLE = ("cdc", False, None, True)  # role, whether it is the workers', database, whether it is of the role alone
_THERE = ("cdc", False, "qa", True)
_ALL = ("cdc", False, "qa", False)
_READER = ("reader", True, None, True)


@pytest.mark.parametrize(
    ("rows", "ways_out"),
    [
        ([(*_ROLE, "statement_timeout", "5s")], ['ALTER ROLE "cdc" SET statement_timeout = 0;']),
        (
            [(*_THERE, "statement_timeout", "5s"), (*_ROLE, "statement_timeout", "0")],
            ['ALTER ROLE "cdc" IN DATABASE "qa" SET statement_timeout = 0;'],
        ),
        # for all roles of the database: the role's own setting wins over it
        ([(*_ALL, "statement_timeout", "5s")], ['ALTER ROLE "cdc" SET statement_timeout = 0;']),
        ([(*_ROLE, "statement_timeout", "0"), (*_ALL, "statement_timeout", "5s")], []),
        ([(*_READER, "statement_timeout", "5s")], []),  # its sessions set their own
        ([(*_READER, "transaction_timeout", "1min")], []),
        ([(*_ROLE, "row_security", "off")], []),
    ],
)
def test_a_timeout_that_ends_long_sessions_is_a_warning(rows: list[tuple[object, ...]], ways_out: list[str]) -> None:
    catalogs = Catalogs()
    catalogs.answers["pg_db_role_setting"] = rows
    assert [each.way_out for each in found(catalogs)] == ways_out


def test_a_role_that_may_not_send_signals_is_told() -> None:
    catalogs = Catalogs()
    catalogs.answers = {"has_table_privilege": [("scorestream_reader", False)]}
    (finding,) = roles.signals(catalogs, "app")  # type: ignore[arg-type]
    assert finding.way_out == 'GRANT SELECT, INSERT, UPDATE ON "app"."scorestream_signal" TO "scorestream_reader";'
