"""Configuration: environment variables `SCORESTREAM_*`, over an optional TOML file named by `SCORESTREAM_CONFIG`.

This module alone reads the configuration, and it reports all faults together. Secrets come from the environment, or
from a file whose name is in `<NAME>_FILE`. They are `SecretStr`, so that no log line or repr shows them.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from stream.epochs import Epochs
from stream.errors import ConfigError
from stream.secret_file import SecretFile
from stream.settings_sections import (
    BackfillSettings,
    BatchSettings,
    ClickHouseSettings,
    ConnectSettings,
    KafkaSettings,
    MonitorSettings,
    PostgresSettings,
    ReplaySettings,
    RetrySettings,
    WatchdogSettings,
    WebSettings,
    secrets_of,
)
from stream.topic_names import TopicNames

PREFIX = "SCORESTREAM_"


class Settings(BaseSettings):
    """All settings. Environment: `SCORESTREAM_<SECTION>_<NAME>`, e.g. `SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="ignore",
        nested_model_default_partial_update=True,
    )

    version_epoch: int = Field(
        0,
        ge=0,
        lt=1 << 16,
        description="first part of a version, of the changes before the first of the starts",
    )
    version_epoch_starts: str = Field(
        "",
        description="commit times, separated by commas, from which on changes are of another Postgres cluster: "
        "each raises the epoch by one, so that a cluster whose LSNs start lower wins over the one before it",
    )
    state_dir: Path = Field(
        Path(".scorestream"), description="folder of what reindex, purge and the monitor keep between runs"
    )
    installation_name: str | None = Field(
        None,
        min_length=1,
        description="name of this installation in answers and as the label `installation` of all metrics; "
        "default: the topic prefix",
    )
    installations: Path | None = Field(
        None, description="TOML file of the installations that `scorestream fleet` shows: docs/guides/fleet.md"
    )
    audit_user: str | None = Field(
        None, description="who the audit trail says changed something, such as a service account; default: user@host"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="level of the log on stderr")
    log_format: Literal["auto", "logfmt", "json", "console"] = Field(
        "auto", description="form of the log on stderr; auto is console on a terminal, else logfmt"
    )
    postgres: PostgresSettings = PostgresSettings()
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    connect: ConnectSettings = ConnectSettings()
    batch: BatchSettings = BatchSettings()
    retry: RetrySettings = RetrySettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    replay: ReplaySettings = ReplaySettings()
    backfill: BackfillSettings = BackfillSettings()
    web: WebSettings = WebSettings()
    monitor: MonitorSettings = MonitorSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose values arrive as arguments."""
        if isinstance(env_settings, EnvSettingsSource):
            found = env_settings.env_vars.items()
            env_settings.env_vars = {k: v for k, v in found if v is None or not _is_service_link(k.upper(), v)}
        return (env_settings, init_settings)

    @property
    def name(self) -> str:
        """Name of this installation."""
        return self.installation_name or self.kafka.topic_prefix

    @property
    def topics(self) -> TopicNames:
        """Names of all topics."""
        prefix = self.kafka.topic_prefix
        letters = self.kafka.dead_letter_topic or f"{prefix}.dead-letters"
        return TopicNames(prefix=prefix, schema=self.postgres.source_schema, dead_letters=letters)

    @field_validator("version_epoch_starts")
    @classmethod
    def _starts_ascend(cls, value: str) -> str:
        Epochs.parse(0, value)
        return value

    @property
    def epochs(self) -> Epochs:
        """The epoch of each change, by its commit time."""
        return Epochs.parse(self.version_epoch, self.version_epoch_starts)


def load() -> Settings:
    """Read the settings from the environment, and from the TOML file named by `SCORESTREAM_CONFIG`.

    Raises:
        ConfigError: with every fault of every source in one text.
    """
    environ = os.environ
    faults: list[str] = []
    file_values: dict[str, Any] = {}
    if path := environ.get(PREFIX + "CONFIG"):
        try:
            file_values = tomllib.loads(Path(path).read_text("utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            faults.append(f"{PREFIX}CONFIG={path}: {error}")
        faults += _strange_names(file_values, path)
    _read_secret_files(environ, file_values, faults)
    faults += _unknown_variables(environ)
    try:
        settings = Settings(**file_values)
    except ValidationError as error:
        faults += _faults_of(error)
    if faults:
        raise ConfigError(
            "the configuration is wrong:\n" + "\n".join(f"  - {fault}" for fault in dict.fromkeys(faults))
        )
    return settings


class _Written(Settings):
    """Settings from a file alone: the environment of this process does not count."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def of_file(values: dict[str, Any], where: str) -> Settings:
    """The settings of one installation, as a file has them. The environment counts for none of them.

    Args:
        values: sections and settings, as in the file of `SCORESTREAM_CONFIG`; secrets are read already.
        where: names them in an error.

    Raises:
        ConfigError: with every fault.
    """
    faults = _strange_names(values, where)
    try:
        settings = _Written(**values)
    except ValidationError as error:
        faults += [f"{where}: {fault}" for fault in _faults_of(error)]
    if faults:
        raise ConfigError("\n".join(faults))
    return settings


def _strange_names(values: dict[str, Any], where: str) -> list[str]:
    """Settings ignores further names, because each variable of the environment would be one."""
    return [
        f"{where}: {name}: no such section or setting" + _nearest(name, Settings.model_fields)
        for name in sorted(values.keys() - Settings.model_fields.keys())
    ]


def _faults_of(error: ValidationError) -> list[str]:
    return [
        f"{_variable(fault['loc'])}: {fault['msg']}"
        if fault["type"] != "extra_forbidden"
        else _unknown(_variable(fault["loc"]))
        for fault in error.errors(include_input=False, include_url=False)
    ]


def _secret_fields() -> list[tuple[str, str]]:
    found = []
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            found += [(section, name) for name in sorted(secrets_of(model))]
    return found


def _read_secret_files(environ: Any, values: dict[str, Any], faults: list[str]) -> None:
    for section, name in _secret_fields():
        variable = f"{PREFIX}{section}_{name}".upper()
        path = environ.get(variable + "_FILE")
        if not path or variable in environ:
            continue
        try:
            values.setdefault(section, {})[name] = SecretFile(Path(path))
        except OSError as error:
            faults.append(f"{variable}_FILE: {error}")


def secret_variables() -> set[str]:
    """Names of all secret settings. Each can also come from a file, whose name is in `<NAME>_FILE`."""
    return {f"{PREFIX}{section}_{name}".upper() for section, name in _secret_fields()}


def known_variables() -> set[str]:
    """Names of all environment variables that the program reads."""
    known = {PREFIX + "CONFIG"}
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            known |= {f"{PREFIX}{section}_{name}".upper() for name in model.model_fields}
        else:
            known.add((PREFIX + section).upper())
    return known | {f"{name}_FILE" for name in secret_variables()}


# Kubernetes puts such variables into every pod for each Service of the namespace. A Service named scorestream-monitor
# sets SCORESTREAM_MONITOR_PORT. No setting has one of these names with one of these values.
_SERVICE_LINK = re.compile(r"_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")


def _is_service_link(variable: str, value: str) -> bool:
    """Whether Kubernetes has set this variable for a Service."""
    if not variable.startswith(PREFIX):
        return False
    name = _SERVICE_LINK.search(variable)
    if name is not None and name.end() == len(variable):
        return True
    return variable.endswith("_PORT") and _SERVICE_URL.match(value) is not None


def _unknown_variables(environ: Any) -> list[str]:
    known = known_variables()
    return [
        _unknown(variable)
        for variable in sorted(environ)
        if variable.startswith(PREFIX) and variable not in known and not _is_service_link(variable, environ[variable])
    ]


def _unknown(variable: str) -> str:
    return f"{variable}: no such setting" + _nearest(variable, known_variables())


def _nearest(name: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415  only on the error path

    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + "_".join(str(part) for part in location).upper()
