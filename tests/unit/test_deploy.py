"""deploy/: manifests and units against the code: settings, commands, ports, and what a hardened cluster asks for."""

import re
from pathlib import Path

import pytest
import yaml

from stream import cli, config
from stream.config import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCUMENTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8")))
PODS = {
    each["metadata"]["name"]: each["spec"]["template"]["spec"]
    for each in DOCUMENTS
    if each["kind"] in ("Deployment", "Job")
}
UNITS = sorted(DEPLOY.glob("*.service"))


def one(kind, name):
    return next(each for each in DOCUMENTS if (each["kind"], each["metadata"]["name"]) == (kind, name))


def command_is_real(words):
    command = cli.cli.get_command(None, words[0])
    rest = list(words[1:])
    while getattr(command, "commands", None):
        command = command.commands[rest.pop(0)]
    known = {text for parameter in command.params for text in parameter.opts}
    return {word for word in rest if word.startswith("--")} <= known


def test_all_parts_are_there():
    names = {f"scorestream-{part}" for part in ("worker", "monitor", "verify", "schema", "connectors")}
    assert set(PODS) == names
    services = {each["metadata"]["name"] for each in DOCUMENTS if each["kind"] == "Service"}
    assert services == {"scorestream-worker", "scorestream-monitor", "scorestream-verify"}
    assert one("PodDisruptionBudget", "scorestream-worker")["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("name", PODS)
def test_a_pod_passes_the_restricted_standard_and_gets_no_variables_of_services(name):
    pod = PODS[name]
    (container,) = pod["containers"]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    dockerfile = (DEPLOY.parent / "docker/Dockerfile").read_text("utf-8")
    assert pod["securityContext"]["runAsUser"] == int(re.search(r"^USER (\d+)$", dockerfile, re.M)[1])
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert not container["image"].endswith(":latest")
    assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", PODS)
def test_commands_and_settings_exist(name, monkeypatch):
    (container,) = PODS[name]["containers"]
    assert command_is_real(container["args"])
    for variable, value in one("ConfigMap", "scorestream")["data"].items():
        monkeypatch.setenv(variable, value)
    for each in container["env"]:
        monkeypatch.setenv(each["name"], each.get("value", "from a secret"))
    config.load()


def test_the_job_for_the_tables_runs_as_the_owner_and_all_others_as_the_writer():
    users = {}
    for name, pod in PODS.items():
        (container,) = pod["containers"]
        own = {each["name"]: each for each in container["env"]}
        shared = one("ConfigMap", "scorestream")["data"]["SCORESTREAM_CLICKHOUSE_USER"]
        users[name] = own.get("SCORESTREAM_CLICKHOUSE_USER", {"value": shared})["value"]
        secret = own.get("SCORESTREAM_CLICKHOUSE_PASSWORD", {}).get("valueFrom", {}).get("secretKeyRef", {}).get("name")
        assert (secret == "scorestream-owner") == (users[name] == "scorestream_owner")
    assert users.pop("scorestream-schema") == "scorestream_owner"
    assert set(users.values()) == {"scorestream_writer"}
    grants = (DEPLOY.parent / "connectors/clickhouse/grants.sql").read_text("utf-8")
    assert "scorestream_owner" in grants
    assert "scorestream_writer" in grants


def test_probes_have_time_and_ports_are_those_of_the_settings():
    ports = {"worker": Settings().web.port, "verify": Settings().web.port, "monitor": Settings().monitor.port}
    for part, port in ports.items():
        (container,) = PODS[f"scorestream-{part}"]["containers"]
        assert container["ports"] == [{"name": "web", "containerPort": port}]
        assert all(container[probe]["timeoutSeconds"] >= 5 for probe in ("livenessProbe", "readinessProbe"))
        assert one("Service", f"scorestream-{part}")["spec"]["ports"][0]["port"] == port


def test_the_monitor_asks_the_services():
    asked = one("ConfigMap", "scorestream")["data"]["SCORESTREAM_MONITOR_PROCESSES"].split(",")
    for url in asked:
        name, port = re.fullmatch(r"http://([a-z-]+):(\d+)", url).groups()
        assert one("Service", name)["spec"]["ports"][0]["port"] == int(port)
        assert one("Service", name)["spec"]["clusterIP"] == "None", "each pod has an address of its own"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_run_real_commands_within_limits(unit):
    text = unit.read_text("utf-8")
    assert command_is_real(re.search(r"^ExecStart=\S+ (.+)$", text, re.M)[1].split())
    for key in ("MemoryMax", "CPUWeight", "RestartPreventExitStatus", "TimeoutStopSec"):
        assert re.search(rf"^{key}=", text, re.M), key


def test_there_is_a_unit_for_each_service():
    assert [unit.stem for unit in UNITS] == ["scorestream-monitor", "scorestream-verify", "scorestream-worker"]
