"""A universe on a secured stack."""

from __future__ import annotations

import json
from pathlib import Path

from devstack.oidc import TokenEndpoint
from devstack.parts.security import OWN, of_operator
from devstack.tls import Tls
from testbed.universe import Universe

# The settings of a login by password; a login by certificate has none of them.
PASSWORD_LOGIN = (
    "SCORESTREAM_KAFKA_SASL_MECHANISM",
    "SCORESTREAM_KAFKA_SASL_USERNAME",
    "SCORESTREAM_KAFKA_SASL_PASSWORD",
)


class SecuredUniverse(Universe):
    """Debezium verifies Postgres' certificate; the brokers' own user grants what `topics acls` names."""

    def __init__(self, stack_env: dict[str, str], folder: Path) -> None:
        super().__init__(stack_env, folder)
        self.tls = Tls(Path(stack_env["DEVSTACK_TLS_DIR"]))
        config = json.loads(self.connector_file.read_text("utf-8"))
        config["config"] |= {"database.sslmode": "verify-full", "database.sslrootcert": str(self.tls.ca)}
        self.connector_file.write_text(json.dumps(config), "utf-8")
        self.said: list[str] = []  # all that commands printed

    def call(self, *command: str, **env: str | None) -> tuple[int, str, str]:
        code, printed, said = super().call(*command, **env)
        self.said += [printed, said]
        return code, printed, said

    def permit(self, role: str, user: str) -> None:
        """Grant what a role needs, as the brokers' own user."""
        code, printed, said = self.call(
            "topics", "grant", "--for", role, "--user", user, "--connect-group", OWN,
            **self.by_certificate(self.tls.server, self.tls.server),
        )  # fmt: skip
        assert code == 0, (printed, said)

    def by_certificate(self, certificate: Path, key: Path) -> dict[str, str | None]:
        """The settings of a login at the brokers by certificate alone."""
        return {
            "SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS": self.env["DEVSTACK_KAFKA_MTLS"],
            "SCORESTREAM_KAFKA_SECURITY_PROTOCOL": "SSL",
            "SCORESTREAM_KAFKA_SSL_CERTIFICATE_LOCATION": str(certificate),
            "SCORESTREAM_KAFKA_SSL_KEY_LOCATION": str(key),
            **dict.fromkeys(PASSWORD_LOGIN),
        }

    def by_token(self, endpoint: TokenEndpoint, *, secret: str | None = None) -> dict[str, str | None]:
        """The settings of a login at the brokers by tokens of this endpoint."""
        return {
            **dict.fromkeys(PASSWORD_LOGIN),
            "SCORESTREAM_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "SCORESTREAM_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": endpoint.url,
            "SCORESTREAM_KAFKA_SASL_OAUTHBEARER_CLIENT_ID": endpoint.client_id,
            "SCORESTREAM_KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": secret or endpoint.secret,
            "SCORESTREAM_KAFKA_SASL_OAUTHBEARER_CA_LOCATION": str(self.tls.ca),
        }

    def operator_options(self) -> dict[str, str | int]:
        return {"bootstrap.servers": self.env["DEVSTACK_KAFKA_MTLS"], **of_operator(self.tls)}
