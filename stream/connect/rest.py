"""Kafka Connect's REST interface: validate, create or update, status, restart, pause, resume, stop, delete.

Enters: settings and a config. Leaves: Connect's answers. Never makes up a config (stream/connect/connector.py does).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import urllib3

from stream.errors import ConfigError, ConnectError, Retry, UsageError
from stream.retry import poll
from stream.settings_sections import ConnectSettings

_AGAIN = {409, 503}  # the workers are rebalancing or starting: the same request succeeds in a moment
_NO_LEADER = "IO Error trying to forward REST request"  # a 500: the leader has died, and the group waits for it


@dataclass(frozen=True, slots=True)
class Fault:
    """Connect's objection to one field of a config; `value` is the rejected one."""

    name: str
    value: str | None
    messages: tuple[str, ...]


# Debezium prints its whole offset, and what is wrong with it behind that.
_DUMP = re.compile(r"\[.{100,}\]")


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a connector, in Connect's view."""

    id: int
    state: str
    worker: str
    trace: str | None = None  # stack trace of the exception that ended it

    @property
    def cause(self) -> str | None:
        """The last cause in the trace. It names the fault; the outer exceptions only say that there is one."""
        if not self.trace:
            return None
        lines = self.trace.strip().splitlines()
        causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
        return _DUMP.sub("[..]", causes[-1] if causes else lines[0])


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """State of a connector and its tasks; `state` is Connect's word (RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED)."""

    name: str
    state: str
    worker: str
    tasks: tuple[Task, ...]
    trace: str | None = None

    @property
    def running(self) -> bool:
        """Whether the connector and at least one task run, and no task has failed."""
        return self.state == "RUNNING" and bool(self.tasks) and all(task.state == "RUNNING" for task in self.tasks)

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each failed part."""
        found = (
            [f"connector: {self.trace.strip().splitlines()[0] if self.trace else ''}"] if self.state == "FAILED" else []
        )
        return (*found, *(f"task {task.id}: {task.cause or ''}" for task in self.tasks if task.state == "FAILED"))


class Connect:
    """A client of one Connect cluster, through the first of its workers that answers. `with`-able.

    Every method raises:
        Retry: no worker answers, or the cluster is still rebalancing after `patience_s`.
        ConnectError: Connect refused; the text quotes it.

    What changes the connector itself raises UsageError where Strimzi owns it.
    """

    def __init__(
        self,
        settings: ConnectSettings,
        *,
        timeout_s: float = 30,
        patience_s: float = 60,
        clock: Callable[[], float] = time.monotonic,
        stopping: threading.Event | None = None,
    ) -> None:
        self.connector = settings.connector  # name of this pipeline's connector
        self._urls = settings.urls  # the one that answered last comes first
        self._is_ours = settings.managed_by == "scorestream"
        self._patience_s = patience_s
        self._clock = clock
        self._stopping = stopping
        self._user, self._password = settings.username, settings.password
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=5, read=timeout_s),
            retries=False,
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(settings.ca_cert) if settings.ca_cert else None,
        )

    def __enter__(self) -> Connect:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.clear()

    def _headers(self) -> dict[str, str]:
        """Of the next request: the password may be rotated between two of them."""
        headers = {"Accept": "application/json"}
        if self._user:
            password = self._password.get_secret_value() if self._password else ""
            headers |= urllib3.make_headers(basic_auth=f"{self._user}:{password}")
        return headers

    def cluster_id(self) -> str | None:
        """The id of the Kafka cluster that the Connect workers use."""
        found: str | None = self._call("GET", "/").get("kafka_cluster_id")
        return found

    def plugins(self) -> dict[str, str]:
        """Connector classes of the workers -> their versions."""
        return {plugin["class"]: plugin.get("version", "") for plugin in self._call("GET", "/connector-plugins")}

    def validate(self, config: Mapping[str, str], *, name: str) -> list[Fault]:
        """Connect's and Debezium's objections to a config, field by field. Connect also tries to log in to Postgres."""
        kind = config["connector.class"].rpartition(".")[2]
        answer = self._call("PUT", f"/connector-plugins/{quote(kind)}/config/validate", body={**config, "name": name})
        faults = []
        for entry in answer.get("configs", []):
            value = entry["value"]
            if value["errors"]:
                faults.append(Fault(value["name"], config.get(value["name"]), tuple(value["errors"])))
        return faults

    def config(self, name: str) -> dict[str, str] | None:
        """The config that Connect has, or None when there is no such connector."""
        answer = self._call("GET", f"/connectors/{quote(name, safe='')}/config", missing_ok=True)
        return None if answer is None else dict(answer)

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Create the connector, or give it another config (which restarts its tasks)."""
        self._check_ours(name)
        self._call("PUT", f"/connectors/{quote(name, safe='')}/config", body={**config, "name": name})

    def create_stopped(self, name: str, config: Mapping[str, str]) -> None:
        """Create the connector without starting it, so that its offsets can be set first (Kafka 3.7 and later)."""
        self._check_ours(name)
        body = {"name": name, "config": {**config, "name": name}, "initial_state": "STOPPED"}
        self._call("POST", "/connectors", body=body)

    def status(self, name: str) -> ConnectorStatus | None:
        """State of the connector and its tasks, or None when there is no such connector (or none yet)."""
        answer = self._call("GET", f"/connectors/{quote(name, safe='')}/status", missing_ok=True)
        if answer is None:
            return None
        connector = answer["connector"]
        tasks = tuple(Task(task["id"], task["state"], task["worker_id"], task.get("trace")) for task in answer["tasks"])
        return ConnectorStatus(
            answer["name"], connector["state"], connector["worker_id"], tasks, connector.get("trace")
        )

    def change(self, name: str, to: Literal["pause", "resume", "stop"]) -> None:
        """Pause, resume or stop. Connect answers before the change is complete."""
        self._check_ours(name)
        self._call("PUT", f"/connectors/{quote(name, safe='')}/{to}")

    def restart(self, name: str, *, only_failed: bool) -> None:
        """Restart the connector and its tasks, or only the failed ones."""
        only = "true" if only_failed else "false"
        self._call("POST", f"/connectors/{quote(name, safe='')}/restart?includeTasks=true&onlyFailed={only}")

    def delete(self, name: str) -> bool:
        """Delete the connector; its offsets, its slot and the topics stay. False: it did not exist."""
        self._check_ours(name)
        return self._call("DELETE", f"/connectors/{quote(name, safe='')}", missing_ok=True) is not None

    def offsets(self, name: str) -> dict[str, Any]:
        """How far a connector with one source has read, by its own commits; {} before the first."""
        answer = self._call("GET", f"/connectors/{quote(name, safe='')}/offsets", missing_ok=True)
        found = (answer or {}).get("offsets") or [{}]
        return dict(found[0].get("offset") or {})

    def reset_offsets(self, name: str) -> None:
        """Forget how far a stopped connector has read. When it starts again it begins with a snapshot."""
        self._call("DELETE", f"/connectors/{quote(name, safe='')}/offsets")

    def set_offset(self, name: str, partition: Mapping[str, str], offset: Mapping[str, int]) -> None:
        """Give a stopped connector with one source the place from which it goes on; what was stored is gone."""
        body = {"offsets": [{"partition": dict(partition), "offset": dict(offset)}]}
        self._call("PATCH", f"/connectors/{quote(name, safe='')}/offsets", body=body)

    def wait(self, name: str, *, state: str = "RUNNING", timeout_s: float = 60, settle_s: float = 1) -> ConnectorStatus:
        """Wait until the connector and all its tasks are in a state.

        Args:
            state: Connect's word: RUNNING, PAUSED or STOPPED.
            timeout_s: limit of the wait.
            settle_s: how long the state must hold: just after a change Connect still shows the state before it.

        Raises:
            ConnectError: a part failed (with its cause), or the time is over (with the present state).
        """
        since = self._clock()
        before: ConnectorStatus | None = None

        def settled() -> ConnectorStatus | None:
            nonlocal before, since
            status, now = self.status(name), self._clock()
            if status != before:
                before, since = status, now
            if status is None or now - since < settle_s:
                return None
            if status.running if state == "RUNNING" else _all_in(status, state):
                return status
            if status.failures and state != "STOPPED":
                raise ConnectError(f"connector {name} failed: " + "; ".join(status.failures))
            return None

        found = poll(settled, timeout_s=timeout_s, every_s=0.2, stopping=self._stopping, clock=self._clock)
        if found is None:
            raise ConnectError(f"connector {name} is not {state} after {timeout_s:g} s: it is {_in_words(before)}")
        return found

    def _check_ours(self, name: str) -> None:
        """Raises UsageError where Strimzi owns the connector: its operator would undo the change within two minutes."""
        if not self._is_ours:
            raise UsageError(
                f"connector {name} is Strimzi's (SCORESTREAM_CONNECT_MANAGED_BY): change its resource instead, as "
                f"`kubectl edit kafkaconnector {name}` (spec.config, or spec.state: running, paused or stopped)"
            )

    def _call(self, method: str, path: str, *, body: object = None, missing_ok: bool = False) -> Any:
        """Send one request.

        Returns the decoded answer ({} for an empty one), or None for a 404 that the caller allows.
        """
        response = poll(
            lambda: self._request(method, path, body),
            lambda response: not _comes_again(response),
            timeout_s=self._patience_s,
            every_s=0.5,
            stopping=self._stopping,
            clock=self._clock,
        )
        if response.status == 404 and missing_ok:
            return None
        if response.status < 300:
            return _decode(response.data) if response.data else {}
        kind = Retry if _comes_again(response) else ConnectError
        where = f"Kafka Connect at {self._urls[0]}"
        raise kind(f"{where}: {method} {path.partition('?')[0]}: {response.status} {_text(response)}")

    def _request(self, method: str, path: str, body: object) -> urllib3.BaseHTTPResponse:
        """The answer of the first worker that gives one.

        A worker that took the request and died may have done it, so the next one gets it only if it may come twice.
        """
        for url in list(self._urls):
            try:
                response = self._pool.request(method, url + path, json=body, headers=self._headers())
            except urllib3.exceptions.HTTPError as error:
                sent = not isinstance(
                    error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError
                )
                if url != self._urls[-1] and not (sent and method == "POST"):
                    continue
                raise Retry(f"Kafka Connect at {', '.join(self._urls)} does not answer: {error}") from error
            self._urls.remove(url)
            self._urls.insert(0, url)
            return response
        raise ConfigError("SCORESTREAM_CONNECT_URL names no worker of Kafka Connect")


def _comes_again(response: urllib3.BaseHTTPResponse) -> bool:
    return response.status in _AGAIN or _text(response).startswith(_NO_LEADER)


def _text(response: urllib3.BaseHTTPResponse) -> str:
    """What Connect says about a refusal."""
    if response.status < 300:
        return ""
    words = _decode(response.data)
    text = words.get("message") if isinstance(words, dict) else None
    return text or response.data.decode("utf-8", "replace").strip()[:400] or response.reason or ""


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _all_in(status: ConnectorStatus, state: str) -> bool:
    # A stopped connector has no tasks; a paused one keeps them.
    return status.state == state and all(task.state == state for task in status.tasks)


def _in_words(status: ConnectorStatus | None) -> str:
    if status is None:
        return "not there"
    tasks = ", ".join(f"task {task.id} {task.state}" for task in status.tasks) or "no tasks"
    return f"{status.state} ({tasks})"
