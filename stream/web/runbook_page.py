"""The runbooks as text: `make docs` writes docs/reference/runbooks.md, and every process serves the page /runbooks.

Enters: stream/web/runbooks.py. Leaves: Markdown, and HTML.
"""

from __future__ import annotations

from html import escape
from itertools import groupby

from stream.web.runbook import CLICKHOUSE, CONSOLE, POSTGRES, Line, Runbook
from stream.web.runbooks import RUNBOOKS

_HEAD = """The dashboard serves the same pages at `/runbooks`. A comment behind a line says what it shows in the state
of its runbook. `make test-runbooks` brings a real stack into each state, and runs every line there. Names are those of
the default settings. NAME, ID, OFFSET, PID and the like are for you to replace."""


def markdown() -> str:
    """The text of docs/reference/runbooks.md."""
    lines = ["# Runbooks", "", _HEAD, ""]
    for each in RUNBOOKS:
        lines += [f"## {each.id}", "", f"**{each.title}.** {each.meaning}", "", f"**Is data lost?** {each.lost}", ""]
        for title, text, pasted in _steps(each):
            lines += [f"**{title}.** {text}", "", *_fenced(pasted)]
        lines += [f"**Expected time.** {each.time}", "", f"**Whom to call.** {each.call}", ""]
        lines += [f"_Not tried on a local stack: {each.untried}._", ""] * bool(each.untried)
    return "\n".join(lines)


def _steps(runbook: Runbook) -> tuple[tuple[str, str, tuple[Line, ...]], ...]:
    return ("First look", runbook.look, runbook.look_at), ("First action", runbook.act, runbook.run)


def _fenced(lines: tuple[Line, ...]) -> list[str]:
    """One fenced block for each run of lines of a language; SQL says whose it is."""
    blocks: list[str] = []
    for language, group in groupby(lines, key=lambda each: each.language):
        head = f"```{'console' if language == CONSOLE else 'sql'}"
        body = [f"$ {each.pasted}" if language == CONSOLE else each.pasted for each in group]
        blocks += [head, *_whose(language), *body, "```", ""]
    return blocks


def _whose(language: str) -> list[str]:
    return {POSTGRES: ["-- in Postgres"], CLICKHOUSE: ["-- on each shard of ClickHouse"]}.get(language, [])


def page() -> str:
    """The HTML page at /runbooks."""
    body = "".join(_section(each) for each in RUNBOOKS)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>scorestream runbooks</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        'content="light dark"><link rel="stylesheet" href="dashboard.css"></head><body><main class="runbooks">'
        f'<p><a href="./">Dashboard</a></p><h1>Runbooks</h1>{body}</main></body></html>'
    )


def _section(runbook: Runbook) -> str:
    steps = "".join(
        f"<p><b>{title}:</b> {escape(text)}</p>"
        + (f"<pre>{escape(chr(10).join(each.pasted for each in pasted))}</pre>" if pasted else "")
        for title, text, pasted in _steps(runbook)
    )
    return (
        f'<section id="{runbook.id}"><h2>{escape(runbook.title)}</h2><p>{escape(runbook.meaning)}</p>'
        f"<p><b>Is data lost?</b> {escape(runbook.lost)}</p>{steps}"
        f"<p><b>Expected time:</b> {escape(runbook.time)} <b>Whom to call:</b> {escape(runbook.call)}</p></section>"
    )
