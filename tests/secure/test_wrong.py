"""A wrong CA, an expired certificate, a wrong password, a missing permission: one line that names what and where."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import trustme

from devstack.oidc import TokenEndpoint
from tests.secure.site import SecuredUniverse

pytestmark = pytest.mark.stack

CA_SETTINGS = {
    "kafka": "SCORESTREAM_KAFKA_SSL_CA_LOCATION",
    "clickhouse": "SCORESTREAM_CLICKHOUSE_CA_CERT",
    "connect": "SCORESTREAM_CONNECT_CA_CERT",
}
ASKS = {
    "kafka": (("topics", "list"), "Kafka at 127.0.0.1:"),
    "clickhouse": (("schema", "status"), "ClickHouse shard 0 (https://127.0.0.1:"),
    "connect": (("connectors", "status"), "Kafka Connect at https://127.0.0.1:"),
    "postgres": (("verify",), 'server at "127.0.0.1", port'),
}
WRONG = "kein-Passwort"


def refused(universe: SecuredUniverse, system: str, **env: str | None) -> str:
    """What the command says that asks this system; it must fail in one line that names the system."""
    command, where = ASKS[system]
    code, _, said = universe.call(*command, **env)
    assert code in (1, 2), said
    lines = [line for line in said.splitlines() if not line.startswith("warning: no audit record")]
    assert len(lines) == 1, said
    assert lines[0].startswith("error: "), said
    assert where in lines[0], said
    assert WRONG not in said
    return lines[0]


@pytest.mark.parametrize("system", CA_SETTINGS)
def test_a_certificate_of_another_ca_is_refused(universe: SecuredUniverse, tmp_path: Path, system: str) -> None:
    # given a CA that signed nothing here
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    # when a command asks the system, then the line says that the certificate could not be verified
    assert "certificate" in refused(universe, system, **{CA_SETTINGS[system]: str(other)}).lower()


def test_postgres_with_a_certificate_of_another_ca_is_refused(universe: SecuredUniverse, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    dsn = universe.env["SCORESTREAM_POSTGRES_DSN"]
    head, _, tail = dsn.partition("sslrootcert=")
    wrong = f"{head}sslrootcert={other}&{tail.partition('&')[2]}"
    assert "certificate" in refused(universe, "postgres", SCORESTREAM_POSTGRES_DSN=wrong)


@pytest.mark.parametrize(
    ("system", "setting"),
    [
        ("kafka", "SCORESTREAM_KAFKA_SASL_PASSWORD"),
        ("clickhouse", "SCORESTREAM_CLICKHOUSE_PASSWORD"),
        ("connect", "SCORESTREAM_CONNECT_PASSWORD"),
        ("postgres", "SCORESTREAM_POSTGRES_PASSWORD"),
    ],
)
def test_a_wrong_password_is_named_and_not_told(universe: SecuredUniverse, system: str, setting: str) -> None:
    line = refused(universe, system, **{setting: WRONG}).lower()
    assert any(word in line for word in ("authenti", "unauthorized", "401", "password")), line


def test_a_token_that_is_refused_is_named_and_no_secret_is_told(
    universe: SecuredUniverse, tokens: TokenEndpoint
) -> None:
    # given a wrong secret, then the provider gives no token, and the line says so
    line = refused(universe, "kafka", **universe.by_token(tokens, secret=WRONG))
    assert "token" in line.lower() or "oauth" in line.lower() or "401" in line, line


def test_an_expired_client_certificate_is_refused(universe: SecuredUniverse, tmp_path: Path) -> None:
    # given a certificate that has expired, of a CA that the brokers do not know either
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    issued = trustme.CA().issue_cert("localhost", common_name="scorestream", not_after=past)
    certificate, key = tmp_path / "old.pem", tmp_path / "old.key"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    # when a command logs in with it, then the line names the brokers
    refused(universe, "kafka", **universe.by_certificate(certificate, key))


def test_a_missing_permission_is_named_with_its_topic(universe: SecuredUniverse) -> None:
    # given a user of the brokers without any permission for another installation's topics
    code, _, said = universe.call("topics", "apply", SCORESTREAM_KAFKA_TOPIC_PREFIX="elsewhere")
    # then each topic is named, and the command that shows what is needed
    assert code == 2, said
    assert "elsewhere.app.scores" in said
    assert "scorestream topics acls" in said


def test_a_worker_without_a_permission_ends_and_says_which(universe: SecuredUniverse) -> None:
    # given an installation, and a group that nobody permitted
    universe.set_up()
    done = universe.run("worker", check=False, SCORESTREAM_KAFKA_GROUP="elsewhere", timeout_s=60)
    assert done.returncode in (1, 2), done.stderr
    assert "elsewhere" in done.stderr
