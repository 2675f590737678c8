"""librdkafka's options for where the brokers are and how a client proves who it is. Every client starts from these."""

from __future__ import annotations

from pathlib import Path

from stream.settings_sections import KafkaSettings


def client_options(settings: KafkaSettings) -> dict[str, str | int]:
    """librdkafka's options for the brokers' addresses and the client's credentials."""
    options: dict[str, str | int] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "scorestream",
        "log_level": 2,  # the caller reports an unreachable broker, so librdkafka prints no line to stderr
        "security.protocol": settings.security_protocol,
    }
    if settings.security_protocol.startswith("SASL") and settings.sasl_mechanism == "OAUTHBEARER":
        options |= _by_token(settings)
    elif settings.security_protocol.startswith("SASL"):
        assert settings.sasl_mechanism is not None
        assert settings.sasl_username is not None
        assert settings.sasl_password is not None  # config.py checked all three
        options["sasl.mechanism"] = settings.sasl_mechanism
        options["sasl.username"] = settings.sasl_username
        options["sasl.password"] = settings.sasl_password.get_secret_value()
    for option, path in (
        ("ssl.ca.location", settings.ssl_ca_location),
        ("ssl.certificate.location", settings.ssl_certificate_location),
        ("ssl.key.location", settings.ssl_key_location),
    ):
        if path is not None:
            options[option] = str(path)
    if settings.ssl_key_password is not None:
        options["ssl.key.password"] = settings.ssl_key_password.get_secret_value()
    return options


def _by_token(settings: KafkaSettings) -> dict[str, str | int]:
    """librdkafka asks the OIDC provider itself, and again before a token ends."""
    assert settings.sasl_oauthbearer_token_endpoint_url is not None
    assert settings.sasl_oauthbearer_client_id is not None
    assert settings.sasl_oauthbearer_client_secret is not None  # settings_sections.py checked all three
    options: dict[str, str | int] = {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": settings.sasl_oauthbearer_token_endpoint_url,
        "sasl.oauthbearer.client.id": settings.sasl_oauthbearer_client_id,
        "sasl.oauthbearer.client.secret": settings.sasl_oauthbearer_client_secret.get_secret_value(),
    }
    if settings.sasl_oauthbearer_scope is not None:
        options["sasl.oauthbearer.scope"] = settings.sasl_oauthbearer_scope
    if settings.sasl_oauthbearer_ca_location is not None:
        options["https.ca.location"] = str(settings.sasl_oauthbearer_ca_location)
    return options


def credentials(settings: KafkaSettings) -> tuple[object, ...]:
    """The passwords, and the state of the files with keys and certificates. It differs once one of them is rotated."""
    secrets = (settings.sasl_password, settings.ssl_key_password, settings.sasl_oauthbearer_client_secret)
    files = (settings.ssl_ca_location, settings.ssl_certificate_location, settings.ssl_key_location)
    return (*(each and each.get_secret_value() for each in secrets), *(_state(path) for path in files))


def _state(path: Path | None) -> tuple[int, int] | None:
    """When a file was written, and its size; None while there is none."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size)


MESSAGE_MAX_BYTES = 32 << 20  # largest message that is read or kept: an update carries a comment of some MB twice
