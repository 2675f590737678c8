"""Tokens of an OIDC provider, for aiokafka: by client id and secret, as librdkafka asks for its own.

Enters: the settings of the token endpoint. Leaves: an access token for each login, kept while it is valid. Brokers end
a session when its token does, and the next login asks again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from typing import Final

import urllib3
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from stream.settings_sections import KafkaSettings

log = logging.getLogger(__name__)

_LIMIT_S: Final = 10.0
_SHARE: Final = 0.8  # of a token's life, after which another is asked for: as librdkafka does


class OidcTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Asks the token endpoint of the settings. Any event loop may: Faust's producer and consumer have one each."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        ca = settings.sasl_oauthbearer_ca_location
        self._pool = urllib3.PoolManager(timeout=_LIMIT_S, retries=False, ca_certs=None if ca is None else str(ca))
        self._lock = threading.Lock()  # an asyncio lock belongs to one loop
        self._token = ""
        self._until = 0.0

    async def token(self) -> str:
        """A valid token.

        Raises:
            KafkaConnectionError: the endpoint does not answer, or refuses; the client then tries the login again.
        """
        try:
            return await asyncio.to_thread(self._valid)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            url = self._settings.sasl_oauthbearer_token_endpoint_url
            log.warning("no token for Kafka", extra={"endpoint": url, "cause": str(error)[:200]})
            raise KafkaConnectionError(f"token endpoint {url}: {error}") from error

    def _valid(self) -> str:
        """The token that is kept, or another one. One thread asks, and the others wait for its answer."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._token, life_s = self._ask()
                self._until = time.monotonic() + _SHARE * life_s
            return self._token

    def _ask(self) -> tuple[str, float]:
        """A token, and its life in seconds. Raises ValueError, or urllib3's errors; no text has the secret."""
        own = self._settings
        assert own.sasl_oauthbearer_token_endpoint_url is not None
        assert own.sasl_oauthbearer_client_secret is not None  # settings_sections.py checked both
        login = f"{own.sasl_oauthbearer_client_id}:{own.sasl_oauthbearer_client_secret.get_secret_value()}"
        fields = {"grant_type": "client_credentials"}
        if own.sasl_oauthbearer_scope:
            fields["scope"] = own.sasl_oauthbearer_scope
        answer = self._pool.request(
            "POST",
            own.sasl_oauthbearer_token_endpoint_url,
            fields=fields,
            encode_multipart=False,
            headers=urllib3.make_headers(basic_auth=login) | {"Accept": "application/json"},
        )
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        return _read(json.loads(answer.data))


def _read(found: object) -> tuple[str, float]:
    """Token and life of an endpoint's answer. Raises ValueError."""
    if not isinstance(found, dict) or not found.get("access_token"):
        raise ValueError("the answer has no access_token")
    try:
        return str(found["access_token"]), float(found.get("expires_in", 60))
    except (TypeError, ValueError) as error:  # ValueError's own text may quote the answer
        raise ValueError("the answer's expires_in is no number of seconds") from error
