"""The wheel and the sdist: installed into an empty environment, in an empty folder, far from the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tarfile
import threading
import venv
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a network, from a copy, so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "stream", "connectors", "monitoring", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(copy))
    (found,) = folder.glob("*.whl")
    return found


def pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment's folder. The dependencies are those of this Python; the package is the wheel's alone."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # A folder named in a .pth adds its packages, and not what its own .pth files name: the checkout stays out.
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return folder


@pytest.fixture
def connect() -> Iterator[str]:
    """Kafka Connect as far as `connectors apply --dry-run` asks it: the config is valid, the connector is not there."""

    class Answer(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.say(200, {"error_count": 0, "configs": []})

        def do_GET(self) -> None:
            self.say(404, {"message": "no such connector"})

        def say(self, status: int, answer: dict[str, object]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def scorestream(installed: Path, *command: str, **env: str) -> str:
    folder = installed / "empty"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [installed / "env" / "bin" / "scorestream", *command],
        cwd=folder, env={"PATH": "/usr/bin:/bin"} | env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(folder.iterdir())
    return done.stdout


def test_the_installed_package_is_the_wheels(installed: Path) -> None:
    code = "import stream; print(stream.__file__)"
    python = installed / "env" / "bin" / "python"
    done = subprocess.run([python, "-c", code], cwd=installed, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(installed))


def test_help_needs_nothing(installed: Path) -> None:
    assert "scorestream" in scorestream(installed, "--help")
    assert "--restart" in scorestream(installed, "worker", "--help")


def test_the_ddl_is_in_the_wheel(installed: Path) -> None:
    ddl = scorestream(installed, "schema", "apply", "--dry-run")
    assert "CREATE TABLE IF NOT EXISTS" in ddl
    assert "scorecard_current" in ddl


def test_the_connectors_config_is_in_the_wheel(installed: Path, connect: str) -> None:
    # given no Postgres, of which the command only warns
    env = {"SCORESTREAM_CONNECT_URL": connect, "SCORESTREAM_POSTGRES_DSN": "postgresql://127.0.0.1:1/none"}
    printed = scorestream(installed, "connectors", "apply", "--dry-run", **env)
    assert "connector.class=io.debezium.connector.postgresql.PostgresConnector" in printed


def test_the_wheel_has_the_page_and_what_an_operator_loads(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("stream/py.typed", "stream/web/index.html", "stream/web/dashboard.js", "stream/web/icon.svg"):
        assert name in names
    shared = {name.partition("/share/scorestream/")[2] for name in names if "/share/scorestream/" in name}
    for name in (
        "connectors/source/0002_cdc.sql",
        "connectors/clickhouse/grants.sql",
        "monitoring/prometheus/scorestream.rules.yml",
        "monitoring/grafana/scorestream-overview.json",
    ):
        assert name in shared


def test_the_sdist_has_all_that_the_wheel_has(wheel: Path, tmp_path: Path) -> None:
    build = "import sys; from setuptools.build_meta import build_sdist; print(build_sdist(sys.argv[1]))"
    source = wheel.parent / "source"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        packed = {name.partition("/")[2] for name in opened.getnames()}
    wanted = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("stream/")}
    assert wanted <= packed
    assert "connectors/source/0002_cdc.sql" in packed
