"""What `scorestream doctor` prints, and its exit codes."""

from __future__ import annotations

import json

import pytest

from stream.commands.doctor_systems import Chain
from stream.doctor import kafka, postgres
from stream.doctor.finding import DoctorFinding

ERROR = postgres.WAL_LEVEL.found("wal_level is replica, not logical")
HINT = postgres.FAILOVER.found("slot qa is not a failover slot", "psql ..")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[DoctorFinding]:
    """What the chain finds; a test fills it."""
    given: list[DoctorFinding] = []
    monkeypatch.setattr(Chain, "examine", lambda _self, _systems, *, deadline_s: (given, {"Postgres": 0.5}))
    return given


def test_a_healthy_chain_has_a_line_for_each_system_and_exit_code_0(run, found):
    code, out, err = run("doctor")
    assert code == 0
    assert err == ""
    assert [line.split()[1] for line in out.splitlines()[:-1]] == ["ok"] * 6
    assert out.splitlines()[-1].startswith("healthy: nothing is wrong")


def test_an_error_is_printed_with_what_corrects_it_on_a_line_of_its_own(run, found):
    found += [ERROR, HINT]
    code, out, _ = run("doctor")
    assert code == 1
    lines = out.splitlines()
    assert lines[0].split(maxsplit=1) == ["postgres", "1 error, 1 hint"]
    assert lines[1].strip() == "ERROR    wal-level: wal_level is replica, not logical"
    assert lines[4] == "      ALTER SYSTEM SET wal_level = 'logical'; -- and restart Postgres"
    assert lines[-1].startswith("not healthy: 1 error, 1 hint (")


def test_warnings_and_hints_alone_exit_with_0(run, found):
    found += [HINT, kafka.SYNC.found("partitions 3 of x lack a replica in sync")]
    code, out, _ = run("doctor")
    assert code == 0
    assert out.splitlines()[-1].startswith("healthy, with 1 warning, 1 hint (")


def test_json_has_all_of_it(run, found):
    found += [ERROR]
    code, out, _ = run("doctor", "--json", "--only", "postgres", "--for", "replay")
    assert code == 1
    document = json.loads(out)
    assert document["healthy"] is False
    assert document["systems"] == ["postgres"]
    assert document["for"] == "replay"
    assert document["seconds"] == {"Postgres": 0.5}
    (finding,) = document["findings"]
    assert finding == {
        "id": "wal-level",
        "system": "postgres",
        "severity": "error",
        "what": "wal_level is replica, not logical",
        "then": postgres.WAL_LEVEL.then,
        "way_out": postgres.WAL_LEVEL.way_out,
    }


@pytest.mark.parametrize("wrong", [["--max-transaction", "x"], ["--timeout", "0"], ["--only", "oracle"]])
def test_usage_exits_with_2(run, found, wrong):
    code, _, err = run("doctor", *wrong)
    assert code == 2
    assert err
