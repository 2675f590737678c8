"""The effective settings, and where each one came from. Secrets, and passwords within URLs, leave as `hidden`.

Enters: checked settings, and the environment and the file that they were read from. Leaves: one line for each setting.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from stream.config import PREFIX, Settings

HIDDEN: Final = "hidden"
DEFAULT: Final = "default"
# Greedy: a password may itself contain an @.
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*):\S*@")
_DSN_PASSWORD = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Effective:
    """A setting as the commands use it.

    Attributes:
        value: None where it is not set.
        origin: `environment`, `default`, or the file's path.
    """

    variable: str
    value: Any
    origin: str
    default: Any


def effective(settings: Settings, environ: Mapping[str, str]) -> Iterator[Effective]:
    """Every setting, in the order of the reference.

    Args:
        environ: what the settings were read from.
    """
    given = {name.upper(): value for name, value in environ.items()}
    path = given.get(PREFIX + "CONFIG")
    written = tomllib.loads(Path(path).read_text("utf-8")) if path else {}
    for section, field in Settings.model_fields.items():
        model, value = field.annotation, getattr(settings, section)
        if isinstance(model, type) and issubclass(model, BaseModel):
            for name, each in model.model_fields.items():
                variable, in_file = f"{PREFIX}{section}_{name}".upper(), name in written.get(section, {})
                yield _effective(variable, getattr(value, name), each, _origin(variable, given, in_file, path))
        else:
            variable = f"{PREFIX}{section}".upper()
            yield _effective(variable, value, field, _origin(variable, given, section in written, path))


def without_secrets(text: str) -> str:
    """A URL or a key=value string without its passwords."""
    return _DSN_PASSWORD.sub(rf"\1{HIDDEN}", _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", text))


def _origin(variable: str, given: Mapping[str, str], in_file: bool, path: str | None) -> str:
    if variable in given:
        return "environment"
    if secret := given.get(variable + "_FILE"):
        return secret
    return str(path) if in_file else DEFAULT


def _effective(variable: str, value: Any, field: FieldInfo, origin: str) -> Effective:
    return Effective(variable, _shown(value), origin, _shown(field.default))


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else None
    if isinstance(value, list):
        return [without_secrets(str(each)) for each in value]
    return without_secrets(str(value)) if isinstance(value, str | Path) else value
