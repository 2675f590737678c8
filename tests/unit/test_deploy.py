"""deploy/*.service: units against the code."""

import re
from pathlib import Path

import pytest

from stream import cli

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))


def command_is_real(words):
    command = cli.cli.get_command(None, words[0])
    rest = list(words[1:])
    while getattr(command, "commands", None):
        command = command.commands[rest.pop(0)]
    known = {text for parameter in command.params for text in parameter.opts}
    return {word for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_run_real_commands_within_limits(unit):
    text = unit.read_text("utf-8")
    assert command_is_real(re.search(r"^ExecStart=\S+ (.+)$", text, re.M)[1].split())
    for key in ("MemoryMax", "CPUWeight", "RestartPreventExitStatus", "TimeoutStopSec"):
        assert re.search(rf"^{key}=", text, re.M), key


def test_there_is_a_unit_for_each_service():
    assert [unit.stem for unit in UNITS] == ["scorestream-monitor", "scorestream-verify", "scorestream-worker"]
