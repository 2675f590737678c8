"""Log lines: one for each record, key=value, for every text."""

import ast
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream import logs
from stream.logs import Console, Json, KeyValue, Seldom, said


@pytest.fixture(autouse=True)
def levels_are_given_back() -> Iterator[None]:
    """`configure` sets the levels of the whole process, which runs other tests, too."""
    every = [logging.getLogger(), *map(logging.getLogger, logs._CHATTY)]
    before = [logger.level for logger in every]
    yield
    for logger, level in zip(every, before, strict=True):
        logger.setLevel(level)


def line(message, *args, exc_info=None, **extra):
    record = logging.LogRecord("stream.x", logging.INFO, "f.py", 1, message, args, exc_info)
    vars(record).update(extra)
    return KeyValue().format(record)


def test_extra_values_are_keys_of_their_own():
    text = line("batch of %d", 3, topic="a.b", offset=7, took_s=0.123456789)
    assert text.endswith('level=info logger=stream.x msg="batch of 3" topic=a.b offset=7 took_s=0.123457')
    assert text.startswith("time=20")


@pytest.mark.parametrize("nasty", ['say "x"', "a=b", "two\nlines", "", "tab\there"])
def test_values_that_could_be_misread_are_quoted(nasty):
    text = line("m", value=nasty)
    assert "\n" not in text
    assert text.rpartition("value=")[2].startswith('"') or 'value="' in text


def test_a_traceback_stays_on_the_line():
    try:
        raise ValueError("no")
    except ValueError:
        text = line("failed", exc_info=sys.exc_info())
    assert "\n" not in text
    assert "ValueError: no" in text


def made(**extra):
    record = logging.LogRecord("stream.x", logging.WARNING, "f.py", 1, "gave up", (), None)
    vars(record).update(extra)
    return record


def test_json_has_the_same_pairs_with_their_types():
    found = json.loads(Json().format(made(offset=7, topic="a.b")))
    assert (found["msg"], found["level"], found["offset"], found["topic"]) == ("gave up", "warning", 7, "a.b")


def test_a_terminal_gets_the_time_of_day_in_utc_and_the_pairs():
    text = Console().format(made(topic="a b"))
    assert text.endswith('Z warning  gave up topic="a b"')


def test_what_is_said_elsewhere_has_the_pairs_too():
    assert said(made(offset=7)) == "gave up offset=7"


def test_a_librarys_lines_of_one_form_pass_seldom_and_the_packages_own_always():
    # given brokers that are away, so that a library says the same again and again
    now = [0.0]
    seldom = Seldom(every_s=10, clock=lambda: now[0])

    def passed(name, message, *args):
        record = logging.LogRecord(name, logging.ERROR, "f.py", 1, message, args, None)
        return (seldom.filter(record), getattr(record, "left_out", 0))

    # when it logs each second, then one line of ten passes, and says how many went before
    assert passed("aiokafka", "Unable connect to node with id %s", 1) == (True, 0)
    for now[0] in range(1, 10):
        assert passed("aiokafka", "Unable connect to node with id %s", now[0]) == (False, 0)
    assert passed("aiokafka.conn", "another form") == (True, 0)
    now[0] = 10.0
    assert passed("aiokafka", "Unable connect to node with id %s", 1) == (True, 9)
    # and no line of the package is left out
    assert [passed("stream.retry", "retry") for _ in range(3)] == [(True, 0)] * 3


def test_at_debug_every_line_passes(monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    for level, filters in (("info", 1), ("debug", 0)):
        logs.configure(level)
        (handler,) = logging.getLogger().handlers
        assert len(handler.filters) == filters


@pytest.mark.parametrize(
    ("terminal", "form", "chosen"),
    [(True, "auto", Console), (False, "auto", KeyValue), (True, "json", Json), (False, "console", Console)],
)
def test_a_terminal_gets_the_console_form_unless_another_is_asked_for(monkeypatch, terminal, form, chosen):
    # given a root logger without our handler, and a stderr
    root = logging.Logger("root")
    monkeypatch.setattr(logging, "getLogger", lambda name=None: root if name is None else logging.Logger(name))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    # when logging is set up
    logs.configure("info", form)
    # then its lines have this form
    assert type(root.handlers[0].formatter) is chosen


ROOT = Path(__file__).parent.parent.parent
LOGGED = r"log\.(debug|info|warning|error|critical|exception)"


def logged() -> Iterator[tuple[str, ast.Call]]:
    """Where each line of the package is logged, and the call."""
    for path in sorted((ROOT / "stream").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and re.fullmatch(LOGGED, ast.unparse(node.func)):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_line_names_its_event_in_a_constant_and_its_values_as_extra():
    calls = list(logged())
    assert len(calls) > 40
    for where, call in calls:
        assert len(call.args) == 1, f"{where}: values belong into extra"
        (event,) = call.args
        assert isinstance(event, ast.Constant | ast.Name), where
        assert not re.search("[%=]", ast.unparse(event)), where
