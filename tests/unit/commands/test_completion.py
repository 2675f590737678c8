"""The scripts by which shells complete commands."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_this_program(run, shell: str) -> None:
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    assert f"_SCORESTREAM_COMPLETE={shell}_complete" in out
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=out, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("typed", "completed"), [("re", {"reindex", "replay", "recover", "rewind"}), ("replay st", {"start", "status"})]
)
def test_a_shell_gets_the_commands_that_go_on_so(typed: str, completed: set[str]) -> None:
    words = f"scorestream {typed}"
    env = {"_SCORESTREAM_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "from stream.cli import main; import sys; sys.argv = ['scorestream']; main()"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert {line.removeprefix("plain,") for line in done.stdout.split()} == completed
