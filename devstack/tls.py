"""Certificates of a secured stack: a CA of its own, and what it signed for the servers, the brokers and one client.

Kafka takes PEM files with PKCS #8 keys, Connect's web server a PKCS #12 store, Postgres and ClickHouse PEM files.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from devstack.process import write_atomically

HOSTS = ("127.0.0.1", "localhost")
CLIENT = "scorestream"  # common name of the client's certificate; Kafka takes it for the user's name
BROKER = "broker"  # common name of the certificate by which brokers and controllers know each other


@dataclass(frozen=True)
class Tls:
    """The files below one folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        """PEM file of the CA, for clients."""
        return self.folder / "ca.pem"

    @property
    def server(self) -> Path:
        """PEM file of the servers' key and certificate."""
        return self.folder / "server.pem"

    @property
    def client(self) -> Path:
        """PEM file of the client's certificate."""
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """PEM file of the client's key."""
        return self.folder / "client.key"

    @property
    def key_store(self) -> Path:
        """PKCS #12 store of the servers' key and certificate."""
        return self.folder / "server.p12"

    @property
    def trust_store(self) -> Path:
        """PKCS #12 store of the CA, in Java's form."""
        return self.folder / "ca.p12"

    def context(self) -> ssl.SSLContext:
        """Trusts this CA alone."""
        return ssl.create_default_context(cafile=str(self.ca))


def certificates(folder: Path, password: str) -> Tls:
    """Make what is missing below the folder.

    Args:
        password: of the two stores.
    """
    made = Tls(folder)
    if not made.trust_store.exists():
        _make(made, password.encode())
    return made


def _make(tls: Tls, password: bytes) -> None:
    # only a secured stack needs these, and they take a while to load
    import trustme  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import pkcs12  # noqa: PLC0415
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

    def key_of(issued: trustme.LeafCert) -> bytes:
        key = form.load_pem_private_key(issued.private_key_pem.bytes(), None)
        return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())

    ca = trustme.CA(key_type=trustme.KeyType.RSA)
    server = ca.issue_cert(*HOSTS, common_name=BROKER, key_type=trustme.KeyType.RSA)
    client = ca.issue_cert(*HOSTS, common_name=CLIENT, key_type=trustme.KeyType.RSA)
    chain = b"".join(pem.bytes() for pem in server.cert_chain_pems)
    root = load_pem_x509_certificate(ca.cert_pem.bytes())
    secret = form.BestAvailableEncryption(password)
    key_store = pkcs12.serialize_key_and_certificates(
        b"server", form.load_pem_private_key(key_of(server), None), load_pem_x509_certificate(chain), [root], secret
    )
    for path, content, mode in (
        (tls.ca, ca.cert_pem.bytes(), 0o644),
        (tls.server, key_of(server) + chain, 0o600),
        (tls.client, b"".join(pem.bytes() for pem in client.cert_chain_pems), 0o644),
        (tls.client_key, key_of(client), 0o600),
        (tls.key_store, key_store, 0o600),
        (tls.trust_store, pkcs12.serialize_java_truststore([pkcs12.PKCS12Certificate(root, b"ca")], secret), 0o644),
    ):
        write_atomically(path, content, mode)
