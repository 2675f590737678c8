"""The installations of a file: one table each, with the sections and settings of a settings file.

Enters: a TOML file. Leaves: settings by name. Secrets come from a file (`password_file`) or from a variable
(`password_env`). No other variable of the environment counts: it would be another installation's.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream.config import Settings, of_file
from stream.errors import ConfigError, UsageError
from stream.secret_file import SecretFile


@dataclass(frozen=True, slots=True)
class Installation:
    """One installation.

    Attributes:
        monitor: URL of its monitor, without path; None: this host asks the parts itself.
        cluster: id that its Kafka cluster must have; None: the brokers are asked.
    """

    name: str
    settings: Settings
    monitor: str | None = None
    cluster: str | None = None


def read(path: Path, environ: Mapping[str, str] = os.environ) -> list[Installation]:
    """The installations of a file, in its order.

    Raises:
        ConfigError: with every fault of the file.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"installations file {path}: {error}") from error
    found, faults = [], []
    for name, table in tables.items():
        where = f"{path}: [{name}]"
        if not isinstance(table, dict):
            faults.append(f"{where} is no table: an installation has sections, such as [{name}.kafka]")
            continue
        try:
            found.append(_installation(name, table, where, environ))
        except ConfigError as error:
            faults += str(error).splitlines()
    if not tables:
        faults.append(f"{path} names no installation")
    if faults:
        raise ConfigError("the installations are wrong:\n" + "\n".join(f"  - {fault}" for fault in faults))
    return found


def chosen(path: Path | None, names: Collection[str] = ()) -> list[Installation]:
    """The installations of these names, or all, in the file's order.

    Raises:
        ConfigError: with every fault of the file.
        UsageError: there is no file, or it has no installation of a name.
    """
    if path is None:
        raise UsageError("which installations? Give --file, or set SCORESTREAM_INSTALLATIONS (docs/guides/fleet.md)")
    found = read(path)
    if unknown := set(names) - {each.name for each in found}:
        there = ", ".join(each.name for each in found)
        raise UsageError(f"{path} has no installation {', '.join(sorted(unknown))}; there are: {there}")
    return [each for each in found if not names or each.name in names]


def _installation(name: str, table: dict[str, Any], where: str, environ: Mapping[str, str]) -> Installation:
    values = {key: _resolved(value, f"{where} {key}", environ) for key, value in table.items()}
    monitor, cluster = values.pop("monitor_url", None), values.pop("cluster", None)
    # Without this an own look would take the processes of this host for those of the installation.
    values.setdefault("monitor", {}).setdefault("processes", [])
    values.setdefault("installation_name", name)
    values.setdefault("state_dir", Path(".scorestream") / "fleet" / name)
    return Installation(name, of_file(values, where), monitor and str(monitor).rstrip("/"), cluster)


def _resolved(value: Any, where: str, environ: Mapping[str, str]) -> Any:
    """A section in which each `<name>_file` and `<name>_env` of a secret is the secret under `<name>`."""
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, each in value.items():
        if key.endswith(("password_file", "secret_file")):
            try:
                found[key.removesuffix("_file")] = SecretFile(Path(each))
            except OSError as error:
                raise ConfigError(f"{where}.{key}: {error}") from error
        elif key.endswith(("password_env", "secret_env")):
            if each not in environ:
                raise ConfigError(f"{where}.{key}: the variable {each} is not set")
            found[key.removesuffix("_env")] = environ[each]
        else:
            found[key] = each
    return found
