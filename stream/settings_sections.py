"""The sections of the settings: one for each outside system and each part of the program.

Enters: values of environment variables and of a file. Leaves: checked sections; each store takes its own section.
Secrets are `SecretStr`, so that no log line or repr shows them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode


def secrets_of(model: type[BaseModel]) -> set[str]:
    return {name for name, field in model.model_fields.items() if "SecretStr" in str(field.annotation)}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_file_names(cls, values: Any) -> Any:
        """Drop `<NAME>_FILE` variables: `load` has read them already."""
        if not isinstance(values, dict):
            return values
        read = {f"{name}_file" for name in secrets_of(cls)}
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


_UNSUPPORTED = {
    "GSSAPI": "the Kafka clients of this package are built without Kerberos; use SCRAM, OAUTHBEARER or a certificate",
    "AWS_MSK_IAM": "use SCRAM (AWS Secrets Manager) or a client certificate, which MSK takes, too",
}


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
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        None, description="as in librdkafka; OAUTHBEARER logs in by tokens of an OIDC provider"
    )
    sasl_username: str | None = Field(None, description="SASL user")
    sasl_password: SecretStr | None = Field(None, description="SASL password")
    sasl_oauthbearer_token_endpoint_url: str | None = Field(
        None, pattern=r"^https?://[^@\s]+$", description="OIDC provider's URL that gives tokens for client credentials"
    )
    sasl_oauthbearer_client_id: str | None = Field(None, description="client id at that provider")
    sasl_oauthbearer_client_secret: SecretStr | None = Field(None, description="secret of that client")
    sasl_oauthbearer_scope: str | None = Field(None, description="scope that tokens are asked for")
    sasl_oauthbearer_ca_location: Path | None = Field(
        None, description="PEM file of the CA of the provider's certificate; default: the system's CAs"
    )
    ssl_ca_location: Path | None = Field(None, description="PEM file of the CA that signed the brokers' certificates")
    ssl_certificate_location: Path | None = Field(None, description="PEM file of the client's certificate (mTLS)")
    ssl_key_location: Path | None = Field(None, description="PEM file of the client's key (mTLS)")
    ssl_key_password: SecretStr | None = Field(None, description="password of that key")

    @field_validator("sasl_mechanism", mode="before")
    @classmethod
    def _is_supported(cls, value: Any) -> Any:
        if isinstance(value, str) and (why := _UNSUPPORTED.get(value.upper())):
            raise ValueError(f"{value} is not supported: {why}")
        return value

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> KafkaSettings:
        if not self.security_protocol.startswith("SASL"):
            return self
        if self.sasl_mechanism == "OAUTHBEARER":
            needed = ("token_endpoint_url", "client_id", "client_secret")
            missing = [f"sasl_oauthbearer_{name}" for name in needed if not getattr(self, f"sasl_oauthbearer_{name}")]
            if missing:
                raise ValueError(f"sasl_mechanism OAUTHBEARER needs {', '.join(missing)}")
        elif not (self.sasl_mechanism and self.sasl_username and self.sasl_password):
            raise ValueError(
                f"security_protocol {self.security_protocol} needs sasl_mechanism, sasl_username and sasl_password"
            )
        return self


class ClickHouseSettings(_Section):
    shards: Annotated[list[str], NoDecode] = Field(
        ["http://127.0.0.1:8123"],
        min_length=1,
        description="comma-separated http(s)://host:port, one for each shard; the order is the shard number; replicas "
        "of a shard are separated by |, and the first one that answers is used",
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
        for url in (url for shard in value for url in shard.split("|")):
            if not url.startswith(("http://", "https://")):
                raise ValueError("a shard is not an http:// or https:// URL, or several with | between them")
            if "@" in urlsplit(url).netloc:  # errors would show such a password, and no client would use it
                raise ValueError(
                    "a shard's URL has a user or a password; set SCORESTREAM_CLICKHOUSE_USER and .._PASSWORD instead"
                )
        return value

    def replicas(self, shard: int) -> list[str]:
        """URLs of the replicas of shard number `shard`, the preferred one first."""
        return self.shards[shard].split("|")


class ConnectSettings(_Section):
    url: str = Field(
        "http://127.0.0.1:8083",
        description="comma-separated http(s)://host:port of the REST interfaces of Kafka Connect's workers; the first "
        "one that answers is used",
    )
    connector: str = Field("scorestream", description="name of the connector")
    config: Path | None = Field(None, description="connector JSON; default: the one in the package")
    username: str | None = Field(None, description="basic auth user of the REST interface")
    password: SecretStr | None = Field(None, description="password of that user")
    ca_cert: Path | None = Field(None, description="PEM file of the CA for https")
    managed_by: Literal["scorestream", "strimzi"] = Field(
        "scorestream",
        description="who owns the connector; strimzi: its operator, by a KafkaConnector resource, and commands that "
        "would create, change, stop or delete the connector refuse",
    )

    @property
    def urls(self) -> list[str]:
        """The workers, the preferred one first."""
        return [part.strip().rstrip("/") for part in self.url.split(",") if part.strip()]


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
        description="comma-separated URLs of processes that are asked beside those that announce themselves; each "
        "address of a name is asked",
    )

    customers: int = Field(
        0,
        ge=0,
        le=100,
        description="of how many customers, longest wait first, /metrics tells the lag; 0 = of none",
    )
    board_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="board of this installation, such as Grafana's; the page links to it",
    )

    @field_validator("processes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
