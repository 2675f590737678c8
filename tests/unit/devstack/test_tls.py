"""Certificates of a secured stack: made once, and good for the servers' own address alone."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from devstack.tls import Tls, certificates


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return certificates(tmp_path_factory.mktemp("tls"), "secret")


def name_seen(tls: Tls, host: str) -> str:
    """The common name of the server's certificate, as a client sees it that trusts the CA."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tls.server)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as connection:
                connection.recv(1)
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with tls.context().wrap_socket(ours, server_hostname=host) as connection:
            certificate = connection.getpeercert()
            connection.send(b".")
    finally:
        ours.close()
        thread.join(10)
    assert certificate is not None
    return {name: value for ((name, value),) in certificate["subject"]}["commonName"]  # type: ignore[misc, str-unpack]


def test_a_client_that_trusts_the_ca_sees_the_server_at_its_own_address(tls: Tls) -> None:
    assert name_seen(tls, "127.0.0.1") == "broker"
    with pytest.raises(ssl.SSLCertVerificationError):
        name_seen(tls, "db.example")


def test_they_are_made_once_and_the_keys_are_the_owners_alone(tls: Tls) -> None:
    before = {path.name: path.read_bytes() for path in tls.folder.iterdir()}
    certificates(tls.folder, "secret")
    assert {path.name: path.read_bytes() for path in tls.folder.iterdir()} == before
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tls.server, tls.client_key, tls.key_store))
    assert tls.client_key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")  # PKCS #8, which Java reads


def test_another_stack_has_another_ca(tls: Tls, tmp_path: Path) -> None:
    assert certificates(tmp_path, "secret").ca.read_bytes() != tls.ca.read_bytes()
