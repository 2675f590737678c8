"""Configuration: environment variables `SCORESTREAM_*`, over an optional TOML file named by `SCORESTREAM_CONFIG`.

Read here and nowhere else. All faults are reported together. Secrets come from the environment or from a file whose
name is in `<NAME>_FILE`; they are `SecretStr`, so that no log line or repr shows them.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from stream.epochs import Epochs
from stream.errors import ConfigError

PREFIX = "SCORESTREAM_"


def _secrets_of(model: type[BaseModel]) -> set[str]:
    return {name for name, field in model.model_fields.items() if "SecretStr" in str(field.annotation)}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_file_names(cls, values: Any) -> Any:
        """`<NAME>_FILE` was read already, in `load`; here it is a variable too many."""
        if not isinstance(values, dict):
            return values
        read = {f"{name}_file" for name in _secrets_of(cls)}
        return {key: value for key, value in values.items() if key not in read}


class PostgresSettings(_Section):
    dsn: str = Field(
        "postgresql://127.0.0.1:5432/postgres",
        description="source, as a libpq URL or key=value string, without the password",
    )
    password: SecretStr | None = Field(None, description="password for the DSN's user")
    source_schema: str = Field("app", description="schema of chats, scorecards, scores, scorecard_templates")
    standby: bool = Field(
        False,
        description="look-ups may go to a standby: each batch waits until it has replayed the batch's transactions",
    )
    slot: str = Field("scorestream", description="logical replication slot of the connector")
    publication: str = Field("scorestream", description="publication of the connector")
    statement_timeout_s: float = Field(30, gt=0, description="longest time of one look-up")


class KafkaSettings(_Section):
    bootstrap_servers: str = Field("127.0.0.1:9092", description="comma-separated host:port of brokers")
    topic_prefix: str = Field(
        "scorestream", description="Debezium's topic.prefix; topics are <prefix>.<schema>.<table>"
    )
    group: str = Field("scorestream-live", description="consumer group (Faust application id) of the live workers")
    session_timeout_s: float = Field(
        20.0, ge=6, le=1800, description="silence after which the group gives a worker's partitions to others"
    )
    partitions: int = Field(16, ge=1, le=1024, description="partitions of the scorecards and scores topics")
    replication_factor: int = Field(
        -1, ge=-1, description="replication factor of the topics that are created; -1 = the brokers' default"
    )
    dead_letter_topic: str | None = Field(None, description="default: <prefix>.dead-letters")
    min_compaction_lag_s: int = Field(
        7 * 86400, ge=0, description="time for which compaction keeps every single change"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="as in librdkafka"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="as in librdkafka"
    )
    sasl_username: str | None = Field(None, description="SASL user")
    sasl_password: SecretStr | None = Field(None, description="SASL password")
    ssl_ca_location: Path | None = Field(None, description="PEM file of the CA that signed the brokers' certificates")
    ssl_certificate_location: Path | None = Field(None, description="PEM file of the client's certificate (mTLS)")
    ssl_key_location: Path | None = Field(None, description="PEM file of the client's key (mTLS)")
    ssl_key_password: SecretStr | None = Field(None, description="password of that key")

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> KafkaSettings:
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_mechanism and self.sasl_username and self.sasl_password
        ):
            raise ValueError(
                f"security_protocol {self.security_protocol} needs sasl_mechanism, sasl_username and sasl_password"
            )
        return self


class ClickHouseSettings(_Section):
    shards: Annotated[list[str], NoDecode] = Field(
        ["http://127.0.0.1:8123"],
        min_length=1,
        description="comma-separated http(s)://host:port, one for each shard; the order is the shard number",
    )
    user: str = Field("default", description="ClickHouse user")
    password: SecretStr = Field(SecretStr(""), description="password of that user")
    database: str = Field(
        "scorestream", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="database of the tables on every shard"
    )
    cluster: str | None = Field(
        None,
        description="cluster for DDL ON CLUSTER (replicated tables); default: the DDL runs on each shard of the list",
    )
    shard_bucket_days: int = Field(
        1, ge=1, description="the shard of an event time is (days since 1970 / this) modulo the number of shards"
    )
    ca_cert: Path | None = Field(None, description="PEM file of the CA for https shards")
    timeout_s: float = Field(60, gt=0, description="longest time of one insert or query")
    compression: Literal["none", "lz4", "zstd"] = Field(
        "lz4", description="compression of insert bodies; none is faster on loopback"
    )
    log_inserts: bool = Field(False, description="log a line for each insert: shard, table, rows, time")

    @field_validator("shards", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("shards")
    @classmethod
    def _urls(cls, value: list[str]) -> list[str]:
        for url in value:
            if not url.startswith(("http://", "https://")):
                raise ValueError("a shard is not an http:// or https:// URL")
            if "@" in urlsplit(url).netloc:  # every error would show it, and no client would use it
                raise ValueError(
                    "a shard's URL has a user or a password; set SCORESTREAM_CLICKHOUSE_USER and .._PASSWORD instead"
                )
        return value


class ConnectSettings(_Section):
    url: str = Field("http://127.0.0.1:8083", description="Kafka Connect's REST interface")
    connector: str = Field("scorestream", description="name of the connector")
    config: Path | None = Field(None, description="connector JSON; default: the one in the package")
    username: str | None = Field(None, description="basic auth user of the REST interface")
    password: SecretStr | None = Field(None, description="password of that user")
    ca_cert: Path | None = Field(None, description="PEM file of the CA for https")


class BatchSettings(_Section):
    max_messages: int = Field(10_000, ge=1, description="number of messages at which a live batch closes")
    max_age_s: float = Field(0.01, ge=0, description="longest wait of a live batch's first message")
    dead_letter_share: float = Field(
        0.5, gt=0, le=1, description="share of refused messages in a window above which the worker stops"
    )
    dead_letter_window: int = Field(1_000, ge=1, description="messages in that window; fewer never stop a worker")


class RetrySettings(_Section):
    initial_s: float = Field(
        0.1, gt=0, description="first wait after a transient error; it doubles each time, with jitter"
    )
    max_s: float = Field(10, gt=0, description="longest wait between two tries")
    give_up_s: float = Field(600, gt=0, description="absence of an outside system after which the process ends")


class WatchdogSettings(_Section):
    stall_s: float = Field(
        120, gt=0, description="standstill with waiting messages after which the worker ends; longer than timeouts"
    )


class ReplaySettings(_Section):
    batch_messages: int = Field(20_000, ge=100, description="messages in a replay's batch")
    threads: int = Field(2, ge=1, le=8, description="batches that one process of a replay works on at a time")
    nice: int = Field(5, ge=0, le=19, description="nice value of a replay's processes")
    live_lag_s: float = Field(0.5, gt=0, description="lag of live above which a replay slows down")
    max_parts: int = Field(
        300, ge=1, description="active parts of a ClickHouse partition above which a replay slows down"
    )
    errors_per_minute: int = Field(3, ge=1, description="retried steps a minute above which a replay slows down")
    least_per_s: int = Field(500, ge=1, description="messages/s that each process of a replay keeps even then")
    port: int = Field(
        0,
        ge=0,
        le=65535,
        description="port of a replay's /metrics and health, at SCORESTREAM_WEB_HOST; 0 picks a free one",
    )


class BackfillSettings(_Section):
    dsn: str | None = Field(
        None,
        description="source, as a role that may INSERT into the signal table (scorestream_cdc); not through a pooler",
    )
    password: SecretStr | None = Field(None, description="password for that DSN's user")


class WebSettings(_Section):
    host: str = Field("127.0.0.1", description="address of /metrics, health and the dashboard")
    port: int = Field(
        6066,
        ge=0,
        le=65535,
        description="port of /metrics, health and dashboard; 0 picks a free one; a worker falls back to a free port",
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        [],
        description="comma-separated host names, or .suffixes, that browsers may use; addresses, localhost, the host's "
        "own name and names inside a cluster are always allowed",
    )
    dashboard: bool = Field(
        True, description="whether a worker serves the dashboard at /; it samples every 10 s while nobody looks"
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class MonitorSettings(_Section):
    port: int = Field(6067, ge=0, le=65535, description="port of `scorestream monitor`, at SCORESTREAM_WEB_HOST")
    interval_s: float = Field(2, ge=0.5, le=60, description="seconds between two looks of the monitor at Kafka")
    target_s: float = Field(5, gt=0, description="freshness target: a change that waits longer is late")
    stuck_s: float = Field(
        7, gt=0, description="standstill with waiting messages after which a partition is STALL or STOP"
    )
    processes: Annotated[list[str], NoDecode] = Field(
        ["http://127.0.0.1:6066"],
        description="comma-separated URLs of workers, replays and verify --watch; each address of a name is asked",
    )

    @field_validator("processes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


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
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="level of the log on stderr")
    log_format: Literal["logfmt", "json", "console"] = Field("logfmt", description="form of the log on stderr")
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
        """The environment wins over the file, whose values arrive as arguments."""
        if isinstance(env_settings, EnvSettingsSource):
            found = env_settings.env_vars.items()
            env_settings.env_vars = {k: v for k, v in found if v is None or not _is_service_link(k.upper(), v)}
        return (env_settings, init_settings)

    def topic(self, table: str) -> str:
        """Name of the topic that carries changes of `table`."""
        return f"{self.kafka.topic_prefix}.{self.postgres.source_schema}.{table}"

    @field_validator("version_epoch_starts")
    @classmethod
    def _starts_ascend(cls, value: str) -> str:
        Epochs.parse(0, value)
        return value

    @property
    def epochs(self) -> Epochs:
        """The epoch of each change, by its commit time."""
        return Epochs.parse(self.version_epoch, self.version_epoch_starts)

    @property
    def notifications_topic(self) -> str:
        """Name of the topic in which Debezium reports the progress of its snapshots."""
        return f"{self.kafka.topic_prefix}.notifications"

    @property
    def dead_letter_topic(self) -> str:
        """Name of the topic for refused messages."""
        return self.kafka.dead_letter_topic or f"{self.kafka.topic_prefix}.dead-letters"


def load() -> Settings:
    """Settings from the environment, and from the TOML file named by `SCORESTREAM_CONFIG`.

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
    _read_secret_files(environ, file_values, faults)
    faults += _unknown_variables(environ)
    try:
        settings = Settings(**file_values)
    except ValidationError as error:
        faults += [
            f"{_variable(fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        ]
    if faults:
        raise ConfigError("the configuration is wrong:\n" + "\n".join(f"  - {fault}" for fault in faults))
    return settings


def _secret_fields() -> list[tuple[str, str]]:
    found = []
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            found += [(section, name) for name in sorted(_secrets_of(model))]
    return found


def _read_secret_files(environ: Any, values: dict[str, Any], faults: list[str]) -> None:
    for section, name in _secret_fields():
        variable = f"{PREFIX}{section}_{name}".upper()
        path = environ.get(variable + "_FILE")
        if not path or variable in environ:
            continue
        try:
            values.setdefault(section, {})[name] = Path(path).read_text("utf-8").rstrip("\r\n")
        except OSError as error:
            faults.append(f"{variable}_FILE: {error}")


def _known_variables() -> set[str]:
    known = {PREFIX + "CONFIG"}
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            known |= {f"{PREFIX}{section}_{name}".upper() for name in model.model_fields}
        else:
            known.add((PREFIX + section).upper())
    known |= {f"{PREFIX}{section}_{name}_FILE".upper() for section, name in _secret_fields()}
    return known


# Kubernetes puts such variables into every pod for each Service of the namespace: one named scorestream-monitor would
# set SCORESTREAM_MONITOR_PORT. No setting has one of these names with one of these values.
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
    known = _known_variables()
    import difflib  # noqa: PLC0415  only on the error path

    faults = []
    for variable in sorted(environ):
        if _is_service_link(variable, environ[variable]):
            continue
        if variable.startswith(PREFIX) and variable not in known:
            near = difflib.get_close_matches(variable, known, n=1)
            faults.append(f"{variable}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    return faults


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + "_".join(str(part) for part in location).upper()
