"""The adapter of Connect's REST interface, against a server that answers as Connect does."""

import json
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stream.connect.rest import Connect, Fault, Task
from stream.errors import ConnectError, Retry, UsageError
from stream.secret_file import SecretFile
from stream.settings_sections import ConnectSettings

TRACE = (
    "org.x.ConnectException: could not\n\tat a.b(C.java:1)\nCaused by: org.y.PSQLException: slot is active\n\tat d.e"
)


class FakeConnect:
    """Answers scripted for (method, path): a list is used up answer by answer, its last one stays."""

    def __init__(self):
        self.answers = {}
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.requests.append((self.command, self.path, json.loads(body) if body else None, self.headers))
                script = outer.answers.get((self.command, self.path), [(404, {"message": "no such thing"})])
                status, answer = script.pop(0) if len(script) > 1 else script[0]
                payload = (
                    b"" if answer is None else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                )
                self.send_response(status)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def on(self, method, path, *answers):
        self.answers[method, path] = list(answers)


@pytest.fixture
def fake():
    server = FakeConnect()
    yield server
    server.server.shutdown()
    server.server.server_close()


class Clock(threading.Event):
    """Time that passes only by waiting."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def __call__(self):
        return self.now

    def wait(self, timeout=None):
        self.now += timeout
        return False


@pytest.fixture
def connect(fake):
    clock = Clock()
    with Connect(ConnectSettings(url=fake.url + "/"), clock=clock, stopping=clock) as client:
        yield client


def status(connector="RUNNING", *tasks, trace=None):
    return {
        "name": "s",
        "connector": {"state": connector, "worker_id": "w:1"},
        "tasks": [
            {"id": n, "state": state, "worker_id": "w:1"} | ({"trace": TRACE} if state == "FAILED" else {})
            for n, state in enumerate(tasks)
        ],
    }


def test_validate_tells_the_faults_field_by_field_with_the_value_that_was_given(fake, connect):
    fake.on(
        "PUT",
        "/connector-plugins/PostgresConnector/config/validate",
        (
            200,
            {
                "configs": [
                    {"value": {"name": "slot.name", "value": "ok", "errors": []}},
                    {"value": {"name": "poll.interval.ms", "value": None, "errors": ["not a number", "too small"]}},
                ]
            },
        ),
    )

    faults = connect.validate({"connector.class": "io.x.PostgresConnector", "poll.interval.ms": "soon"}, name="s")

    assert faults == [Fault("poll.interval.ms", "soon", ("not a number", "too small"))]
    assert fake.requests[0][2]["name"] == "s"


def test_a_connector_that_is_not_there_is_none(fake, connect):
    assert connect.config("s") is None
    assert connect.status("s") is None
    assert connect.delete("s") is False


def test_put_sends_the_config_and_status_reads_it_back(fake, connect):
    fake.on("PUT", "/connectors/a%2Fb/config", (201, {"name": "a/b"}))
    fake.on("GET", "/connectors/s/status", (200, status("RUNNING", "RUNNING", "FAILED")))

    connect.put("a/b", {"k": "v"})
    found = connect.status("s")

    assert fake.requests[0][2] == {"k": "v", "name": "a/b"}
    assert not found.running
    assert found.failures == ("task 1: org.y.PSQLException: slot is active",)


def test_a_rebalance_is_waited_out(fake, connect):
    busy = (409, {"message": "rebalance in progress"})
    fake.on("PUT", "/connectors/s/config", busy, busy, (200, {}))

    connect.put("s", {})

    assert len(fake.requests) == 3


def test_a_rebalance_without_end_is_a_retry(fake, connect):
    fake.on("PUT", "/connectors/s/pause", (409, {"message": "rebalance in progress"}))
    with pytest.raises(Retry, match="rebalance in progress"):
        connect.change("s", "pause")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error_code": 500, "message": "no such plugin"}, "no such plugin"),
        (b"<html>bad gateway</html>", "bad gateway"),
    ],
)
def test_a_refusal_says_it_in_connects_words(fake, connect, body, words):
    fake.on("POST", "/connectors/s/restart?includeTasks=true&onlyFailed=true", (500, body))
    with pytest.raises(ConnectError, match=words):
        connect.restart("s", only_failed=True)


def test_nobody_there_is_a_retry():
    with Connect(ConnectSettings(url="http://127.0.0.1:9")) as client, pytest.raises(Retry, match=r"127\.0\.0\.1:9"):
        client.status("s")


def test_another_worker_answers_for_one_that_is_away_and_errors_name_it(fake):
    # given
    fake.on("GET", "/connectors/s/status", (200, status("RUNNING", "RUNNING")))
    away = "http://127.0.0.1:9"
    with Connect(ConnectSettings(url=f"{away}, {fake.url}/")) as client:
        # when / then
        assert client.status("s").running
        fake.on("GET", "/connectors/s/status", (500, {"message": "no"}))
        with pytest.raises(ConnectError, match=f"{fake.url}: GET /connectors/s/status: 500 no"):
            client.status("s")


@pytest.mark.parametrize(("method", "asked"), [("change", 2), ("restart", 1)])
def test_a_request_that_may_have_been_done_goes_to_the_next_worker_only_if_it_may_come_twice(fake, method, asked):
    # given: a worker that takes a request and dies
    dying = FakeConnect()
    dying.server.RequestHandlerClass._answer = None
    for verb in ("PUT", "POST"):
        setattr(dying.server.RequestHandlerClass, f"do_{verb}", lambda self: dying.requests.append(self.path))
    fake.on("PUT", "/connectors/s/pause", (202, None))
    # when
    with Connect(ConnectSettings(url=f"{dying.url},{fake.url}")) as client:
        if method == "change":
            client.change("s", "pause")
        else:
            with pytest.raises(Retry, match="does not answer"):
                client.restart("s", only_failed=True)
    # then
    assert len(dying.requests) + len(fake.requests) == asked
    dying.server.shutdown()
    dying.server.server_close()


def test_a_leader_that_has_just_died_is_waited_for(fake, connect):
    dead = (500, {"message": "IO Error trying to forward REST request: java.net.ConnectException: refused"})
    fake.on("PUT", "/connectors/s/resume", dead, dead, (202, None))
    connect.change("s", "resume")
    assert len(fake.requests) == 3


def test_basic_auth_comes_from_the_settings(fake):
    fake.on("GET", "/connector-plugins", (200, [{"class": "a.B", "version": "1"}]))
    with Connect(ConnectSettings(url=fake.url, username="u", password="p:w")) as client:
        assert client.plugins() == {"a.B": "1"}
    assert b64decode(fake.requests[0][3]["Authorization"].removeprefix("Basic ")) == b"u:p:w"


def test_each_request_reads_the_password_again(fake, tmp_path):
    fake.on("GET", "/connector-plugins", (200, []))
    file = tmp_path / "password"
    file.write_text("old")
    with Connect(ConnectSettings(url=fake.url, username="u", password=SecretFile(file))) as client:
        client.plugins()
        file.write_text("new")
        client.plugins()
    sent = [b64decode(each[3]["Authorization"].removeprefix("Basic ")) for each in fake.requests]
    assert sent == [b"u:old", b"u:new"]


def test_wait_goes_on_until_the_tasks_run_and_stay_so(fake, connect):
    missing = (404, {"message": "none"})
    path = "/connectors/s/status"
    fake.on("GET", path, missing, (200, status("RUNNING")), (200, status("RUNNING", "RUNNING")))
    assert connect.wait("s").running


def test_wait_does_not_take_a_failure_that_a_restart_just_left_behind_for_a_new_one(fake, connect):
    fake.on(
        "GET",
        "/connectors/s/status",
        (200, status("RUNNING", "FAILED")),
        (200, status("RUNNING", "FAILED")),
        (200, status("RUNNING", "RUNNING")),
    )
    assert connect.wait("s", settle_s=1).running


def test_wait_ends_at_a_failure_that_stays_with_its_cause(fake, connect):
    fake.on("GET", "/connectors/s/status", (200, status("RUNNING", "FAILED")))
    with pytest.raises(ConnectError, match="slot is active"):
        connect.wait("s")


def test_wait_ends_in_time_and_says_what_it_saw(fake, connect):
    fake.on("GET", "/connectors/s/status", (200, status("RUNNING", "UNASSIGNED")))
    with pytest.raises(ConnectError, match=r"not RUNNING after 5 s: it is RUNNING \(task 0 UNASSIGNED\)"):
        connect.wait("s", timeout_s=5)


def test_stopped_means_no_tasks_and_paused_means_paused_tasks(fake, connect):
    path = "/connectors/s/status"
    fake.on("GET", path, (200, status("STOPPED", "RUNNING")), (200, status("STOPPED")))
    assert connect.wait("s", state="STOPPED").tasks == ()
    fake.on("GET", path, (200, status("PAUSED", "RUNNING")), (200, status("PAUSED", "PAUSED")))
    assert connect.wait("s", state="PAUSED").tasks[0].state == "PAUSED"


def test_a_connector_is_created_stopped_and_given_its_place(fake, connect):
    fake.on("POST", "/connectors", (201, {}))
    fake.on("PATCH", "/connectors/s/offsets", (200, {"message": "altered"}))
    connect.create_stopped("s", {"tasks.max": "1"})
    connect.set_offset("s", {"server": "p"}, {"lsn": 42})
    created, placed = (body for _, _, body, _ in fake.requests)
    assert created == {"name": "s", "config": {"tasks.max": "1", "name": "s"}, "initial_state": "STOPPED"}
    assert placed == {"offsets": [{"partition": {"server": "p"}, "offset": {"lsn": 42}}]}


def test_a_connector_of_strimzis_is_looked_at_and_never_changed(fake):
    fake.on(
        "GET",
        "/connectors/c/status",
        (200, {"name": "c", "connector": {"state": "RUNNING", "worker_id": "w"}, "tasks": []}),
    )
    fake.on("POST", "/connectors/c/restart?includeTasks=true&onlyFailed=true", (204, None))
    with Connect(ConnectSettings(url=fake.url, managed_by="strimzi")) as connect:
        assert connect.status("c").state == "RUNNING"
        connect.restart("c", only_failed=True)
        changes = (
            lambda: connect.put("c", {}),
            lambda: connect.create_stopped("c", {}),
            lambda: connect.change("c", "pause"),
            lambda: connect.delete("c"),
        )
        for change in changes:
            with pytest.raises(UsageError, match="kubectl edit kafkaconnector c"):
                change()
    assert [method for method, *_ in fake.requests] == ["GET", "POST"]


def test_what_is_wrong_with_an_offset_stands_before_the_whole_of_it():
    dump = "PostgresOffsetContext [source=[db='qa'], " + "lsn=1, " * 40 + "more=[]]"
    task = Task(0, "FAILED", "w", f"outer\nCaused by: io.debezium.DebeziumException: {dump}, but this is gone")
    assert task.cause == "io.debezium.DebeziumException: PostgresOffsetContext [..], but this is gone"
