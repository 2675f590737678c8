"""deploy/helm/scorestream by its checked-in renderings: against the code, and by what a hardened cluster asks for."""

import json
import re
from pathlib import Path

import pytest

import stream
from docs import chart
from docs.rendering import CHART, OPERATORS, PLAIN, RENDERINGS, ROOT, fingerprint
from stream import config
from stream.config import Settings
from tests.unit.test_docs import parsed

PARTS = ("worker", "monitor", "verify")
CASES = [
    pytest.param(each, document, id=f"{each.path.stem}-{document['metadata']['name']}")
    for each in RENDERINGS
    for document in each.documents()
    if document["kind"] in ("Deployment", "Job")
]


def of_kind(rendering, kind):
    return {each["metadata"]["name"]: each for each in rendering.documents() if each["kind"] == kind}


def pod_of(document):
    return document["spec"]["template"]["spec"]


def container_of(document):
    (container,) = pod_of(document)["containers"]
    return container


def environment(document, folder):
    """The variables of a container; secret files lie in `folder`, at the paths at which the pod mounts them."""
    pod, container = pod_of(document), container_of(document)
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in pod["volumes"]}
    found = {}
    for each in container["env"]:
        found[each["name"]] = each.get("value", "from a secret")
        if each["name"].endswith("_FILE"):
            mounted = Path(each["value"])
            sources = volumes[mounts[str(mounted.parent)]]["projected"]["sources"]
            assert mounted.name in [item["path"] for source in sources for item in source["secret"]["items"]]
            (folder / mounted.name).write_text("from a file\n")
            found[each["name"]] = str(folder / mounted.name)
    return found


def injected(rendering):
    """The variables that Kubernetes adds to each pod of the namespace for these Services."""
    found = {}
    for name, service in of_kind(rendering, "Service").items():
        link, port = name.upper().replace("-", "_"), service["spec"]["ports"][0]["port"]
        tcp = f"{link}_PORT_{port}_TCP"
        found |= {
            f"{link}_SERVICE_HOST": "10.0.0.7",
            f"{link}_SERVICE_PORT": str(port),
            f"{link}_SERVICE_PORT_WEB": str(port),
            f"{link}_PORT": f"tcp://10.0.0.7:{port}",
            tcp: f"tcp://10.0.0.7:{port}",
            f"{tcp}_PROTO": "tcp",
            f"{tcp}_PORT": str(port),
            f"{tcp}_ADDR": "10.0.0.7",
        }
    return found


@pytest.mark.parametrize("path", chart.files(), ids=lambda path: path.name)
def test_a_made_file_is_that_of_the_values(path):
    assert path.read_text("utf-8") == chart.files()[path], "run: make docs"


@pytest.mark.parametrize("rendering", RENDERINGS, ids=lambda each: each.path.stem)
def test_a_rendering_is_that_of_the_chart(rendering):
    # tests/chart/test_helm.py renders again, where Helm is there
    assert f"# Fingerprint of the chart: {fingerprint()}\n" in rendering.path.read_text("utf-8"), "run: make chart"


def test_the_chart_is_of_this_version():
    text = (CHART / "Chart.yaml").read_text("utf-8")
    assert f"appVersion: {stream.__version__}\n" in text
    assert f"\nversion: {stream.__version__}\n" in text


def test_shared_files_are_the_files_themselves():
    shared = [path for path in (CHART / "files").rglob("*") if not path.is_dir()]
    assert shared
    for each in shared:
        assert each.is_symlink(), "a copy would drift"
        assert each.resolve().is_relative_to(ROOT)


def test_the_schema_refuses_secrets_in_the_clear_and_unknown_settings():
    definitions = json.loads((CHART / "values.schema.json").read_text("utf-8"))["$defs"]
    plain = set(definitions["settings"]["propertyNames"]["enum"])
    secret = set(definitions["secrets"]["propertyNames"]["enum"])
    assert "SCORESTREAM_KAFKA_GROUP" in plain
    assert "SCORESTREAM_KAFKA_SASL_PASSWORD" in secret
    assert not [name for name in plain if "PASSWORD" in name or name.endswith("_FILE")]


@pytest.mark.parametrize(("rendering", "document"), CASES)
def test_a_pod_passes_the_restricted_standard_and_gets_no_variables_of_services(rendering, document):
    pod, container = pod_of(document), container_of(document)
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    user = int(re.search(r"^USER (\d+)", (ROOT / "docker/Dockerfile").read_text("utf-8"), re.MULTILINE)[1])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == user
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert not container["image"].endswith(":latest")
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"]["cpu"]
    assert "cpu" not in container["resources"]["limits"], "a throttled worker is late"


@pytest.mark.parametrize(("rendering", "document"), CASES)
def test_a_pod_starts_also_with_the_variables_of_all_services(rendering, document, monkeypatch, tmp_path):
    parsed(document["metadata"]["name"], container_of(document)["args"])
    for name, value in (environment(document, tmp_path) | injected(rendering)).items():
        monkeypatch.setenv(name, value)
    settings = config.load()
    assert settings.postgres.password is not None
    assert settings.postgres.password.get_secret_value().startswith("from a ")


@pytest.mark.parametrize(("rendering", "document"), CASES)
def test_what_a_pod_writes_and_reads_is_mounted(rendering, document, monkeypatch, tmp_path):
    for name, value in environment(document, tmp_path).items():
        monkeypatch.setenv(name, value)
    settings = config.load()
    mounts = {each["mountPath"]: each.get("readOnly", False) for each in container_of(document)["volumeMounts"]}
    assert mounts[str(settings.state_dir)] is False
    assert mounts["/tmp"] is False
    files = (settings.kafka.ssl_ca_location, settings.clickhouse.ca_cert, settings.connect.ca_cert)
    assert all(mounts[str(path.parent)] is True for path in files if path is not None)


def test_the_job_for_the_tables_runs_as_the_owner_and_all_others_as_the_writer():
    users = {}
    for document in [*of_kind(PLAIN, "Deployment").values(), *of_kind(PLAIN, "Job").values()]:
        own = {each["name"]: each.get("value") for each in container_of(document)["env"]}
        (volume,) = [each for each in pod_of(document)["volumes"] if each["name"] == "secrets"]
        name = {
            item["path"]: each["secret"]["name"]
            for each in volume["projected"]["sources"]
            for item in each["secret"]["items"]
        }["SCORESTREAM_CLICKHOUSE_PASSWORD"]
        users[document["metadata"]["name"]] = own["SCORESTREAM_CLICKHOUSE_USER"], name
    grants = (ROOT / "connectors/clickhouse/grants.sql").read_text("utf-8")
    assert all(f"CREATE USER IF NOT EXISTS {user} " in grants for user, _ in users.values())
    assert users.pop("scorestream-schema") == ("scorestream_owner", "scorestream-owner")
    assert set(users.values()) == {("scorestream_writer", "scorestream")}


def test_probes_have_time_and_ports_are_those_of_the_settings():
    plain = Settings()
    ports = {"worker": plain.web.port, "verify": plain.web.port, "monitor": plain.monitor.port}
    for part in PARTS:
        container = container_of(of_kind(PLAIN, "Deployment")[f"scorestream-{part}"])
        assert container["ports"] == [{"name": "web", "containerPort": ports[part]}]
        assert of_kind(PLAIN, "Service")[f"scorestream-{part}"]["spec"]["ports"][0]["port"] == ports[part]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["timeoutSeconds"] >= 5
            assert container[probe]["httpGet"]["path"] in ("/livez", "/readyz")
        startup, liveness = container["startupProbe"], container["livenessProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 120
        assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60
        # An import and a first look take seconds: the first answer must not wait for a long period.
        assert startup["periodSeconds"] <= 5


@pytest.mark.parametrize("rendering", RENDERINGS, ids=lambda each: each.path.stem)
def test_every_process_is_asked_at_its_service_each_pod_by_itself(rendering):
    services = of_kind(rendering, "Service")
    for document in of_kind(rendering, "Deployment").values():
        own = {each["name"]: each.get("value") for each in container_of(document)["env"]}
        for url in own["SCORESTREAM_MONITOR_PROCESSES"].split(","):
            name, port = re.fullmatch(r"http://([a-z-]+):(\d+)", url).groups()
            assert services[name]["spec"]["ports"][0]["port"] == int(port)
            assert services[name]["spec"]["clusterIP"] == "None", "each pod has an address of its own"


@pytest.mark.parametrize("rendering", RENDERINGS, ids=lambda each: each.path.stem)
def test_selectors_find_the_pods_of_their_part_and_no_others(rendering):
    pods = {
        name: document["spec"]["template"]["metadata"]["labels"]
        for name, document in of_kind(rendering, "Deployment").items()
    }
    services = of_kind(rendering, "Service")
    selectors = {name: each["spec"]["selector"] for name, each in services.items()}
    for name, selector in selectors.items():
        assert [pod for pod, labels in pods.items() if selector.items() <= labels.items()] == [name]
    for name, budget in of_kind(rendering, "PodDisruptionBudget").items():
        assert budget["spec"]["selector"]["matchLabels"] == selectors[name]
        assert budget["spec"]["maxUnavailable"] == 1
    for name, monitor in of_kind(rendering, "ServiceMonitor").items():
        found = monitor["spec"]["selector"]["matchLabels"].items()
        assert [each for each, service in services.items() if found <= service["metadata"]["labels"].items()] == [name]


def test_egress_goes_to_the_ports_of_the_settings():
    ports = {}
    for rendering, name in ((PLAIN, "scorestream"), (OPERATORS, "emea")):
        policy = of_kind(rendering, "NetworkPolicy")[name]
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        ports[rendering] = {each["port"] for each in policy["spec"]["egress"][-1]["ports"]}
    assert ports == {PLAIN: {5432, 9092, 8083, 8123}, OPERATORS: {6432, 9093, 8083, 8443, 9094}}


def test_keda_scales_the_workers_up_to_one_for_each_partition():
    (scaled,) = of_kind(OPERATORS, "ScaledObject").values()
    worker = of_kind(OPERATORS, "Deployment")[scaled["spec"]["scaleTargetRef"]["name"]]
    assert "replicas" not in worker["spec"], "an upgrade would set the number back"
    own = {each["name"]: each.get("value") for each in container_of(worker)["env"]}
    assert scaled["spec"]["maxReplicaCount"] == int(own["SCORESTREAM_KAFKA_PARTITIONS"])
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    assert query.count(f'installation="emea-3",group="{own["SCORESTREAM_KAFKA_GROUP"]}"') == 2


def test_scraped_series_carry_the_installation_and_the_jobs_of_the_alerts():
    rules = (ROOT / "monitoring/prometheus/scorestream.rules.yml").read_text("utf-8")
    assert 'job=~".*scorestream-monitor.*"' in rules
    for part in PARTS:
        (endpoint,) = of_kind(OPERATORS, "ServiceMonitor")[f"emea-{part}"]["spec"]["endpoints"]
        labels = {each["targetLabel"]: each["replacement"] for each in endpoint["relabelings"]}
        assert labels == {"job": f"scorestream-{part}", "installation": "emea-3"}
