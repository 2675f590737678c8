"""deploy/*.service: units against the code."""

import re
from pathlib import Path

import pytest

from stream import cli
from stream.config import Settings

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
    assert [unit.stem for unit in UNITS] == ["scorestream-monitor", "scorestream-verify", "scorestream-worker@"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_are_in_a_sandbox(unit):
    # systemd-analyze security counts these: 1.7 of 10
    keys = dict(re.findall(r"^(\w+)=(.*)$", unit.read_text("utf-8"), re.M))
    for key in ("NoNewPrivileges", "PrivateDevices", "PrivateTmp", "ProtectHome", "RestrictNamespaces", "DynamicUser"):
        assert keys[key] == "yes", key
    assert keys["ProtectSystem"] == "strict"
    assert keys["CapabilityBoundingSet"] == ""
    assert keys["SystemCallFilter"] == "@system-service"


def test_units_share_the_user_of_the_folder_that_they_share():
    # With DynamicUser, each start gives the StateDirectory to the user of that unit.
    shared = {tuple(re.findall(r"^(?:User|StateDirectory)=(.+)$", unit.read_text("utf-8"), re.M)) for unit in UNITS}
    assert shared == {("scorestream", "scorestream")}


def test_workers_of_one_host_and_the_other_services_have_ports_of_their_own():
    ports = {}
    for unit in UNITS:
        found = re.search(r"SCORESTREAM_WEB_PORT=(\S+)", unit.read_text("utf-8"))
        ports[unit.stem] = found[1] if found else str(Settings().monitor.port)
    assert ports == {"scorestream-worker@": "%i", "scorestream-monitor": "6067", "scorestream-verify": "6068"}
