"""An OIDC provider as small as can be, for the brokers of a secured stack: a key, its public half, a token endpoint.

Enters: a folder. Leaves: tokens (RS256) for one client, whose `sub` Kafka takes for the user. The brokers read the
public half from a file, so that no part has to wait for the endpoint.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from devstack.process import write_atomically

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

AUDIENCE = "kafka"
_KEY, _JWKS = "oidc.key", "jwks.json"
_MODULE = "org.apache.kafka.common.security.oauthbearer"


def of_broker(folder: Path) -> dict[str, str]:
    """Properties of a broker that takes tokens at its listener for passwords."""
    own = "listener.name.sasl_ssl.oauthbearer"
    return {
        f"{own}.sasl.jaas.config": f"{_MODULE}.OAuthBearerLoginModule required;",
        f"{own}.sasl.server.callback.handler.class": f"{_MODULE}.OAuthBearerValidatorCallbackHandler",
        "listener.name.sasl_ssl.sasl.oauthbearer.jwks.endpoint.url": _url(folder),
        "listener.name.sasl_ssl.sasl.oauthbearer.expected.audience": AUDIENCE,
    }


def jvm_options(folder: Path) -> tuple[str, ...]:
    """Kafka reads keys only from places that its command line names."""
    return (f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={_url(folder)}",)


def prepare(folder: Path) -> None:
    """Make the key and its public half, where they are missing."""
    if (folder / _JWKS).exists():
        return
    # only a secured stack needs these, and they take a while to load
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    numbers = key.public_key().public_numbers()
    public = {"kty": "RSA", "kid": "devstack", "use": "sig", "alg": "RS256", "n": _of(numbers.n), "e": _of(numbers.e)}
    write_atomically(folder / _KEY, pem, 0o600)
    write_atomically(folder / _JWKS, json.dumps({"keys": [public]}), 0o644)


def _url(folder: Path) -> str:
    return (folder / _JWKS).as_uri()


def _of(number: int) -> str:
    return _text(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class TokenEndpoint:
    """Serves tokens for one client over https. `with`-able.

    Args:
        folder: where `prepare` put the key.
        certificate: PEM file of the server's key and certificate.
        user: whom the tokens name.
        life_s: of a token.
    """

    def __init__(self, folder: Path, certificate: Path, *, user: str, life_s: int = 300) -> None:
        self.client_id, self.secret = "client-1", secrets.token_urlsafe(18)
        self.given = 0
        self._folder = folder
        self._user = user
        self._life_s = life_s
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._http.server_port}/token"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Status and body for a request with this header."""
        login = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        if authorization != f"Basic {login}":
            return 401, {"error": "invalid_client"}
        self.given += 1
        return 200, {"access_token": self._token(), "token_type": "Bearer", "expires_in": self._life_s}

    def _token(self) -> str:
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

        key: RSAPrivateKey = load_pem_private_key((self._folder / _KEY).read_bytes(), None)  # type: ignore[assignment]
        now = int(time.time())
        claims = {"sub": self._user, "aud": AUDIENCE, "iat": now, "exp": now + self._life_s, "iss": "devstack"}
        head = {"alg": "RS256", "typ": "JWT", "kid": "devstack"}
        signed = ".".join(_text(json.dumps(each).encode()) for each in (head, claims))
        return f"{signed}.{_text(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _handler(endpoint: TokenEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = endpoint.answer(self.headers.get("Authorization"))
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
