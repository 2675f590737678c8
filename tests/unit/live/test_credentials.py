"""Rotated credentials of Kafka end the worker; what stays the same does not."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import CredentialsRotated
from stream.live.credentials import CredentialsWatch
from stream.secret_file import SecretFile
from stream.settings_sections import KafkaSettings
from testbed.universe import wait_for


class Live:
    """Remembers what ended it."""

    def __init__(self) -> None:
        self.ended: list[BaseException] = []
        self.stop: Any = None
        self.app = SimpleNamespace(loop=SimpleNamespace(call_soon_threadsafe=lambda call, error: call(error)))

    def on_stopping(self, stop: Any) -> None:
        self.stop = stop

    def crash(self, error: BaseException) -> None:
        self.ended.append(error)


@pytest.mark.parametrize("rotated", ["password", "certificate"])
def test_a_rotated_secret_ends_the_worker(tmp_path: Path, rotated: str) -> None:
    # given a worker with a password and a certificate in files
    files = {name: tmp_path / name for name in ("password", "certificate")}
    for file in files.values():
        file.write_text("old")
    settings = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="worker",
        sasl_password=SecretFile(files["password"]),
        ssl_ca_location=files["certificate"],
    )
    live: Any = Live()
    CredentialsWatch(settings, every_s=0.01).start(live)
    # when one of them is rotated
    files[rotated].write_text("the new one")
    # then the worker ends, to be started again
    wait_for("it ends", lambda: live.ended, deadline_s=5)
    (error,) = live.ended
    assert isinstance(error, CredentialsRotated)
    assert error.exit_code == 1
    live.stop()


def test_nothing_ends_a_worker_whose_secrets_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Semaphore(0)

    def look(_: KafkaSettings) -> tuple[object, ...]:
        looked.release()
        return ("same",)

    monkeypatch.setattr("stream.live.credentials.credentials", look)
    live: Any = Live()
    CredentialsWatch(KafkaSettings(), every_s=0.001).start(live)
    for _ in range(5):
        assert looked.acquire(timeout=5)
    live.stop()
    assert live.ended == []
