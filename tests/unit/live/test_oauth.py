"""Tokens for aiokafka: asked for once while they are valid, and a refusal that tells no secret."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from stream.live import oauth
from stream.live.oauth import OidcTokens
from stream.settings_sections import KafkaSettings

SECRET = "never-told"
SETTINGS = KafkaSettings.model_validate(
    {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauthbearer_token_endpoint_url": "https://login.example/token",
        "sasl_oauthbearer_client_id": "scorestream",
        "sasl_oauthbearer_client_secret": SECRET,
        "sasl_oauthbearer_scope": "kafka",
    }
)


class Endpoint:
    """Answers with one status, and counts."""

    def __init__(self, status: int = 200, body: Any = None) -> None:
        self.status = status
        self.body = {"access_token": "t", "expires_in": 100} if body is None else body
        self.asked: list[dict[str, Any]] = []

    def request(self, method: str, url: str, **options: Any) -> Any:
        self.asked.append({"method": method, "url": url} | options)
        return SimpleNamespace(status=self.status, data=json.dumps(self.body).encode())


def tokens(endpoint: Endpoint) -> OidcTokens:
    made = OidcTokens(SETTINGS)
    made._pool = endpoint  # type: ignore[assignment]
    return made


def test_a_token_is_kept_for_most_of_its_life(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(oauth.time, "monotonic", lambda: now[0])
    endpoint = Endpoint()
    asked = tokens(endpoint)

    async def several() -> list[str]:
        first = await asyncio.gather(asked.token(), asked.token())
        now[0] += 79
        kept = await asked.token()
        now[0] += 2
        return [*first, kept, await asked.token()]

    assert asyncio.run(several()) == ["t"] * 4
    assert len(endpoint.asked) == 2
    request = endpoint.asked[0]
    assert (request["method"], request["url"]) == ("POST", "https://login.example/token")
    assert request["fields"] == {"grant_type": "client_credentials", "scope": "kafka"}
    assert request["headers"]["authorization"].startswith("Basic ")


def test_the_event_loops_of_producer_and_consumer_share_one_token() -> None:
    # given an endpoint that answers only after all loops have asked: two of them wait, and a third one asks
    class Slow(Endpoint):
        def request(self, method: str, url: str, **options: Any) -> Any:
            asking.wait(5)
            return super().request(method, url, **options)

    asking, endpoint = threading.Event(), Slow()
    asked = tokens(endpoint)
    arrived = threading.Barrier(3, action=lambda: threading.Timer(0.2, asking.set).start())

    async def login() -> str:
        arrived.wait(5)
        return await asyncio.wait_for(asked.token(), 5)

    # when three threads log in, each with a loop of its own
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: asyncio.run(login()), range(3)))
    # then one question was enough
    assert (found, len(endpoint.asked)) == (["t"] * 3, 1)


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint(401, {"error": "invalid_client"}),
        Endpoint(200, {"other": 1}),
        Endpoint(200, ["t"]),
        Endpoint(200, {"access_token": "t", "expires_in": None}),
        Endpoint(200, {"access_token": "t", "expires_in": "soon"}),
    ],
    ids=["refused", "no token", "no object", "no life", "a life in words"],
)
def test_a_refusal_is_said_and_tells_no_secret(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(KafkaConnectionError, match=r"login\.example") as caught:
        asyncio.run(tokens(endpoint).token())
    assert SECRET not in str(caught.value) + caplog.text + str([vars(each) for each in caplog.records])
