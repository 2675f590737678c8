"""The screen where there is no terminal."""

from __future__ import annotations

from testbed.screen import Screen


def test_plain_lines_appear_where_there_is_no_terminal(capsys):
    screen = Screen()
    with screen.bar("indexing", 100) as bar:
        bar.update(10)
        bar.update(100)
    with screen.line() as line:
        line.update("1 s  500 changes [really]")
    out = capsys.readouterr().out
    assert "indexing: 100 of 100 rows" in out
    assert "500 changes [really]" in out
