"""Kafka's, Connect's and Debezium's jars, fetched once by Maven and shared by all stacks of a user."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from devstack.process import PartFailed

POM = Path(__file__).parents[1] / "connectors" / "pom.xml"


def jars() -> Path:
    """The folder of jars for connectors/pom.xml as it is now; fetches them when it is missing.

    DEVSTACK_JARS names a folder of jars to use as it is.

    Raises:
        PartFailed: Maven is missing or failed; the text holds the end of its output.
    """
    if given := os.environ.get("DEVSTACK_JARS"):
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scorestream"
    folder = cache / f"jars-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if folder.exists():
        return folder
    if shutil.which("mvn") is None:
        raise PartFailed("jars: Maven (mvn) is not installed, and it fetches Kafka and Debezium")
    cache.mkdir(parents=True, exist_ok=True)
    # The broker and Connect ask at the same time, and so may two stacks; one of them fetches.
    with (cache / "jars.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            print("jars          fetching Kafka, Connect and Debezium with Maven, once for this machine", flush=True)
            _fetch(cache, folder)
    return folder


def _fetch(cache: Path, folder: Path) -> None:
    draft = Path(tempfile.mkdtemp(dir=cache, prefix="jars-draft-"))
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={draft}"]
    try:
        for _ in range(2):  # Maven's own cache keeps the jars of a first try
            done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            if done.returncode == 0:
                break
        else:
            raise PartFailed("jars: " + " ".join(command) + "\n" + (done.stdout + done.stderr)[-4000:])
        draft.chmod(0o755)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


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
