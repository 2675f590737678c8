"""Settings -> the Faust app of the live workers: brokers, credentials, and the options that differ from Faust's.

Enters: sections of the settings. Leaves: a LiveApp that has not started. It asks no broker.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials
from faust.tables.manager import TableManager

from stream.live.app import BatchApp, LiveApp
from stream.live.dead_members import client_id
from stream.live.limits import Limits
from stream.live.oauth import OidcTokens
from stream.live.record_batch import BatchScheduler
from stream.live.transport import SCHEME, register
from stream.pipeline.late import Newest
from stream.settings_sections import BatchSettings, KafkaSettings, RetrySettings

COMMIT_INTERVAL_S: Final = 0.25  # by these commits a replay sees how late live is, and slows down
PARTITION_FETCH_BYTES: Final = 1 << 20


def faust_broker_options(settings: KafkaSettings) -> dict[str, Any]:
    """Faust's options for the brokers' addresses and the client's credentials."""
    hosts = [host.strip() for host in settings.bootstrap_servers.split(",") if host.strip()]
    options: dict[str, Any] = {
        "broker_consumer": [f"{SCHEME}://{host}" for host in hosts],
        "broker_producer": [f"kafka://{host}" for host in hosts],
    }
    context = _ssl_context(settings) if settings.security_protocol.endswith("SSL") else None
    if settings.security_protocol.startswith("SASL") and settings.sasl_mechanism == "OAUTHBEARER":
        options["broker_credentials"] = OAuthCredentials(oauth_cb=OidcTokens(settings), ssl_context=context)
    elif settings.security_protocol.startswith("SASL"):
        assert settings.sasl_password is not None  # config.py checked
        options["broker_credentials"] = SASLCredentials(
            username=settings.sasl_username,
            password=settings.sasl_password.get_secret_value(),
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    elif context is not None:
        options["broker_credentials"] = SSLCredentials(context=context)
    return options


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ssl_ca_location)
    if settings.ssl_certificate_location is not None:
        password = settings.ssl_key_password
        context.load_cert_chain(
            settings.ssl_certificate_location,
            settings.ssl_key_location,
            None if password is None else password.get_secret_value(),
        )
    return context


def build_app(kafka: KafkaSettings, batch: BatchSettings, retry: RetrySettings, *, state_dir: Path) -> LiveApp:
    """The Faust app of the live workers; the group id is its id. It starts in `LiveApp.run`.

    Args:
        state_dir: folder that Faust may write to.
    """
    register()
    state_dir.mkdir(parents=True, exist_ok=True)
    app = BatchApp(
        kafka.group,
        **faust_broker_options(kafka),
        broker_client_id=client_id(),  # so every lag tool shows which worker it is
        autodiscover=False,
        datadir=str(state_dir),
        store="memory://",
        web_enabled=False,  # stream/web serves the pages
        processing_guarantee="at_least_once",
        topic_disable_leader=True,
        topic_allow_declare=False,  # the connector owns the topics
        topic_partitions=kafka.partitions,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=PARTITION_FETCH_BYTES,
        consumer_metadata_max_age_ms=30_000,  # how soon Faust finds a topic that the connector creates later
        broker_max_poll_records=batch.max_messages,
        # A worker that waits for Postgres gives up by itself before the group declares it dead.
        broker_max_poll_interval=retry.give_up_s + 300,
        broker_session_timeout=kafka.session_timeout_s,
        broker_heartbeat_interval=kafka.session_timeout_s / 6,
        broker_request_timeout=60.0,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_check_crcs=True,
        stream_wait_empty=True,  # transport.py bounds the wait
        # Back-pressure is transport.py's, by records and bytes. The queue must only not be full before that.
        stream_buffer_maxsize=8 * batch.max_messages,
        stream_recovery_delay=0.0,
        ConsumerScheduler=BatchScheduler,
        TableManager=_NoTables,
    )
    app.limits, app.newest = Limits.of(batch.max_messages), Newest()
    return LiveApp(app, max_messages=batch.max_messages, max_age_s=batch.max_age_s)


class _NoTables(TableManager):  # type: ignore[misc]
    """Faust's service waits a second for tables that may still be declared, before it joins the group.

    There are none.
    """

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
