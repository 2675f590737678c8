"""docker-compose.yml against the code: settings, ports, files, versions and commands that really exist."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

import stream
from stream import cli, config
from stream.config import Settings
from stream.connect import connector

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("scorestream")]
REFERENCE = re.compile(r"\$\{([A-Z_]+)(?::\?[^}]*)?\}")


def environment(service):
    return SERVICES[service].get("environment", {})


def inner_ports():
    """Ports that the services listen on inside the network, from their own configuration."""
    listeners = re.findall(r"(\w+)://:(\d+)", environment("kafka")["KAFKA_LISTENERS"])
    return {
        "postgres": {5432},
        "connect": {8083},
        "clickhouse-0": {8123},
        "clickhouse-1": {8123},
        "kafka": {int(port) for name, port in listeners if name != "CONTROLLER"},
        "worker": {int(environment("worker")["SCORESTREAM_WEB_PORT"])},
        "monitor": {int(environment("monitor")["SCORESTREAM_MONITOR_PORT"])},
        "verify": {int(environment("verify")["SCORESTREAM_WEB_PORT"])},
        "prometheus": {9090},
        "alertmanager": {9093},
        "grafana": {3000},
    }


def test_all_parts_of_the_path_are_there():
    assert set(SERVICES) == {
        "postgres", "kafka", "connect", "clickhouse-0", "clickhouse-1", "schema", "connectors", "operator", "worker",
        "monitor", "verify", "prometheus", "alertmanager", "grafana",
    }  # fmt: skip
    assert set(OURS) == {"schema", "connectors", "operator", "worker", "monitor", "verify"}


@pytest.mark.parametrize("service", OURS)
def test_settings_exist_and_are_valid(service, monkeypatch):
    for name, value in environment(service).items():
        monkeypatch.setenv(name, REFERENCE.sub("x", str(value)))
    config.load()  # raises for a name that is no setting, and for a value that is none


@pytest.mark.parametrize("service", OURS)
def test_addresses_are_services_at_ports_where_they_listen(service, monkeypatch):
    for name, value in environment(service).items():
        monkeypatch.setenv(name, REFERENCE.sub("x", str(value)))
    settings = config.load()
    addresses = [settings.postgres.dsn, *settings.connect.urls, *settings.clickhouse.shards]
    addresses += [f"kafka://{server}" for server in settings.kafka.bootstrap_servers.split(",")]
    for address in addresses:
        url = urlsplit(address)
        assert url.port in inner_ports()[url.hostname], address


def test_published_ports_lead_to_listening_ones_and_do_not_clash():
    published = []
    for name, service in SERVICES.items():
        for mapping in service.get("ports", []):
            address, outer, inner = mapping.split(":")
            assert address == "127.0.0.1", "nothing is published beyond this machine"
            assert int(inner) in inner_ports()[name]
            published += outer.split("-")
    assert len(published) == len(set(published))
    head = TEXT.split("name: scorestream")[0]
    assert set(published) == set(re.findall(r"\b\d{4}\b", re.search(r"# Ports(.|\n)*", head)[0]))


def test_who_watches_asks_where_the_others_listen():
    prometheus = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text("utf-8"))
    scraped = [*prometheus["scrape_configs"], *prometheus["alerting"]["alertmanagers"]]
    asked = [target for job in scraped for group in job.get("static_configs", []) for target in group["targets"]]
    asked += [
        f"{name}:{dns['port']}" for job in scraped for dns in job.get("dns_sd_configs", []) for name in dns["names"]
    ]
    source = (ROOT / "monitoring/grafana/provisioning/datasources/scorestream.yml").read_text("utf-8")
    urls = [each["url"] for each in yaml.safe_load(source)["datasources"]]
    urls += environment("monitor")["SCORESTREAM_MONITOR_PROCESSES"].split(",")
    asked += [urlsplit(url).netloc for url in urls]
    assert set(asked) == {"monitor:6067", "worker:6066", "verify:6068", "prometheus:9090", "alertmanager:9093"}
    assert all(int(address.split(":")[1]) in inner_ports()[address.split(":")[0]] for address in asked)
    for name in ("worker", "monitor"):
        (port,) = inner_ports()[name]
        assert f":{port}/readyz" in " ".join(SERVICES[name]["healthcheck"]["test"])


def test_every_scraped_series_names_its_installation():
    prometheus = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text("utf-8"))
    for job in prometheus["scrape_configs"]:
        assert {"target_label": "installation", "replacement": "scorestream"} in job["relabel_configs"]
        assert job["honor_labels"], "each process names its installation itself"


def test_grafana_finds_its_dashboards_and_nobody_logs_in():
    provider = yaml.safe_load((ROOT / "monitoring/grafana/provisioning/dashboards/scorestream.yml").read_text("utf-8"))
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    assert mounts["./monitoring/grafana/dashboards"] == provider["providers"][0]["options"]["path"]
    assert environment("grafana")["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"


def test_connect_provides_what_the_connector_refers_to():
    referred = set(re.findall(r"\$\{env:(\w+)\}", connector.DEFAULT_FILE.read_text("utf-8")))
    given = environment("connect")
    assert referred == {name for name in given if name.startswith("SCORESTREAM_")}
    allowed = re.compile(given["CONNECT_CONFIG_PROVIDERS_ENV_PARAM_ALLOWLIST_PATTERN"])
    assert all(allowed.fullmatch(name) for name in referred)
    assert given["SCORESTREAM_CDC_HOST"] in SERVICES
    assert given["SCORESTREAM_CDC_DATABASE"] == environment("postgres")["POSTGRES_DB"]
    assert given["CONNECT_EXACTLY_ONCE_SOURCE_SUPPORT"] == "enabled"


def test_mounted_files_and_build_files_exist():
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]
        if "build" in service:
            assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_source_sql_is_mounted_whole_and_runs_before_the_passwords():
    mounted = [mount.split(":")[:2] for mount in SERVICES["postgres"]["volumes"] if mount.startswith(".")]
    sources = {Path(source).name for source, _ in mounted if "connectors/source" in source}
    assert sources == {path.name for path in (ROOT / "connectors/source").glob("*.sql")}
    targets = [target for _, target in mounted]
    assert targets == sorted(targets)


def test_both_shards_are_alike():
    first, second = (dict(SERVICES[name]) for name in ("clickhouse-0", "clickhouse-1"))
    assert first.pop("ports") != second.pop("ports")
    assert first.pop("volumes")[1:] == second.pop("volumes")[1:]
    assert first == second


def test_image_versions_are_those_of_the_pom_and_the_wheels():
    pom = (ROOT / "connectors/pom.xml").read_text("utf-8")
    kafka = re.search(r"<kafka\.version>(.+?)<", pom)[1]
    debezium = re.search(r"<debezium\.version>(.+?)<", pom)[1]
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka}"
    assert SERVICES["connect"]["image"] == f"quay.io/debezium/connect:{debezium}"
    clickhouse = ".".join(version("chdb-core").split(".")[:2])
    assert SERVICES["clickhouse-0"]["image"] == f"clickhouse/clickhouse-server:{clickhouse}"
    assert not [service["image"] for service in SERVICES.values() if service["image"].endswith(":latest")]


@pytest.mark.parametrize("service", ["schema", "connectors", "operator"])
def test_commands_of_one_shot_services_are_real(service):
    noun, verb, *options = SERVICES[service]["command"]
    leaf = cli.cli.get_command(None, noun).commands[verb]
    known = {text for parameter in leaf.params for text in parameter.opts}
    assert set(options) <= known


def test_the_worker_runs_the_worker_after_the_one_shot_services():
    worker = SERVICES["worker"]
    assert worker["command"] == ["worker"]
    assert {name: after["condition"] for name, after in worker["depends_on"].items()} == {
        "schema": "service_completed_successfully",
        "connectors": "service_completed_successfully",
    }


def test_what_others_wait_for_has_a_health_check():
    for service in SERVICES.values():
        for name, after in service.get("depends_on", {}).items():
            if after["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]
    assert "healthcheck" in SERVICES["worker"]


def test_secrets_come_from_the_env_file_and_it_names_them_all_empty():
    example = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text("utf-8").splitlines()
        if not line.startswith("#")
    )
    assert set(REFERENCE.findall(TEXT)) == set(example)
    assert set(example.values()) == {""}
    for service in SERVICES:
        for name, value in environment(service).items():
            if "PASSWORD" in name:
                assert re.fullmatch(r"\$\{[A-Z_]+:\?set it in \.env\}", str(value)), f"{service} {name}"


def test_scripts_use_only_variables_that_their_service_has():
    for script, service in (("postgres", "postgres"), ("clickhouse", "clickhouse-0")):
        text = (ROOT / "docker" / script / "9000_passwords.sh").read_text("utf-8")
        used = set(re.findall(r"\$([A-Z_]+)", text))
        assert used <= set(environment(service)), used


def test_the_least_privileged_users_are_used():
    writer, owner = "scorestream_writer", "scorestream_owner"
    assert environment("worker")["SCORESTREAM_CLICKHOUSE_USER"] == writer
    assert environment("schema")["SCORESTREAM_CLICKHOUSE_USER"] == owner
    grants = (ROOT / "connectors/clickhouse/grants.sql").read_text("utf-8")
    assert all(f"CREATE USER IF NOT EXISTS {user} " in grants for user in (writer, owner))
    database = environment("worker")["SCORESTREAM_CLICKHOUSE_DATABASE"]
    assert database == Settings().clickhouse.database
    assert f"ON {database}.*" in grants
    cdc = (ROOT / "connectors/source/0002_cdc.sql").read_text("utf-8")
    assert f"CREATE ROLE {environment('connect')['SCORESTREAM_CDC_USER']} LOGIN;" in cdc
    assert f"CREATE ROLE {urlsplit(environment('worker')['SCORESTREAM_POSTGRES_DSN']).username} LOGIN;" in cdc


def test_after_a_reboot_everything_comes_back_and_no_log_fills_the_disk():
    once = {"schema", "connectors"}
    for name, service in SERVICES.items():
        if "profiles" not in service:  # is run by hand
            assert service["restart"] == ("on-failure:5" if name in once else "unless-stopped"), name
        assert service["logging"]["options"]["max-size"], name


def test_workers_scale():
    (mapping,) = SERVICES["worker"]["ports"]
    assert "-" in mapping.split(":")[1], "one fixed port would let one worker start"


def test_the_image_is_reproducible_and_its_user_is_a_number():
    text = (ROOT / "docker/Dockerfile").read_text("utf-8")
    assert re.search(r"^USER \d+$", text, re.M), "kubelet refuses a name where runAsNonRoot is asked for"
    assert "-c constraints.txt" in text
    assert re.search(r"^ARG PYTHON=python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}$", text, re.M)
    assert re.findall(r"^FROM (\S+)", text, re.M) == ["${PYTHON}", "${PYTHON}"]
    for label in ("title", "description", "licenses", "version", "revision", "created"):
        assert f"org.opencontainers.image.{label}=" in text
    assert f"ARG VERSION={stream.__version__}\n" in text


def test_the_build_has_every_file_that_the_package_ships():
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "docker/Dockerfile").read_text("utf-8"), re.M))
    sources = {name for line in copied for name in line.split()}
    ignored = (ROOT / "docker/Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == sources
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    shipped = [each for patterns in project["tool"]["setuptools"]["data-files"].values() for each in patterns]
    assert {each.split("/")[0] for each in shipped} <= sources
    assert all(list(ROOT.glob(each)) for each in shipped)
