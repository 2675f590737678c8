"""The runbooks as text: `make docs` writes docs/reference/runbooks.md, and every process serves the page /runbooks.

Enters: stream/web/runbooks.py. Leaves: Markdown, and HTML.
"""

from __future__ import annotations

from html import escape

from stream.web.runbooks import RUNBOOKS, Runbook


def markdown() -> str:
    """The text of docs/reference/runbooks.md."""
    lines = ["# Runbooks", "", "The dashboard serves the same pages at `/runbooks`.", ""]
    for each in RUNBOOKS:
        lines += [f"## {each.id}", "", f"**{each.title}.** {each.meaning}", "", f"**Is data lost?** {each.lost}", ""]
        for title, text, pasted in _steps(each):
            lines += [f"**{title}.** {text}", "", *_fenced(pasted)]
        lines += [f"**Expected time.** {each.time}", "", f"**Whom to call.** {each.call}", ""]
    return "\n".join(lines)


def _steps(runbook: Runbook) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    return ("First look", runbook.look, runbook.look_at), ("First action", runbook.act, runbook.run)


def _fenced(pasted: tuple[str, ...]) -> list[str]:
    """One fenced block for each run of lines of a kind: SQL as sql, commands as console."""
    lines: list[str] = []
    kind = ""
    for line in pasted:
        wanted = "sql" if line[0].isupper() else "console"
        if wanted != kind:
            lines += ["```", ""] * bool(kind) + [f"```{wanted}"]
            kind = wanted
        lines.append(line if wanted == "sql" else f"$ {line}")
    return [*lines, "```", ""] if kind else []


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
        f"<p><b>{title}:</b> {escape(text)}</p>" + (f"<pre>{escape(chr(10).join(pasted))}</pre>" if pasted else "")
        for title, text, pasted in _steps(runbook)
    )
    return (
        f'<section id="{runbook.id}"><h2>{escape(runbook.title)}</h2><p>{escape(runbook.meaning)}</p>'
        f"<p><b>Is data lost?</b> {escape(runbook.lost)}</p>{steps}"
        f"<p><b>Expected time:</b> {escape(runbook.time)} <b>Whom to call:</b> {escape(runbook.call)}</p></section>"
    )
