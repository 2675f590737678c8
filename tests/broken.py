"""A universe's path broken by hand: slot, publication, offsets, topics."""

from __future__ import annotations

import urllib.request
from typing import Any

from confluent_kafka.admin import AdminClient

from testbed.universe import Universe, wait_for


def slot_of(universe: Universe) -> tuple[Any, ...] | None:
    """(active, wal_status); None without a slot."""
    with universe.postgres() as connection:
        return connection.execute(
            "SELECT active, wal_status FROM pg_replication_slots WHERE slot_name = %s", (universe.name,)
        ).fetchone()


def stop(universe: Universe) -> None:
    """Stop the connector, and wait until it lets go of its slot."""
    universe.done("connectors", "stop")
    wait_for("the slot is free", lambda: (found := slot_of(universe)) is None or not found[0])


def drop_slot(universe: Universe) -> None:
    with universe.postgres() as connection:
        connection.execute("SELECT pg_drop_replication_slot(%s)", (universe.name,))


def lost_slot(universe: Universe) -> None:
    """Postgres invalidates the slot, as when max_slot_wal_keep_size is reached."""
    with universe.postgres() as connection:
        connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            for _ in range(3):
                connection.execute("SELECT pg_switch_wal()")
                connection.execute("SELECT pg_logical_emit_message(false, 'junk', repeat('x', 1000000))")
            connection.execute("CHECKPOINT")
            wait_for("the slot is lost", lambda: (slot_of(universe) or ("", ""))[1] == "lost", deadline_s=20)
        finally:
            restore_wal_limit(universe)


def restore_wal_limit(universe: Universe) -> None:
    """The stack's own limit again."""
    with universe.postgres() as connection:
        connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'")
        connection.execute("SELECT pg_reload_conf()")


def start_by_connect(universe: Universe) -> None:
    """Resume the connector past this program, as Connect itself does when it starts."""
    url = f"{universe.env['SCORESTREAM_CONNECT_URL']}/connectors/{universe.name}/resume"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=10).close()


def dropped_publication(universe: Universe) -> None:
    with universe.postgres() as connection:
        connection.execute("DROP PUBLICATION scorestream")


def lost_offsets(universe: Universe) -> None:
    universe.done("connectors", "delete", "--reset-offsets")


def deleted_topic(universe: Universe) -> None:
    admin = AdminClient({"bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]})
    topic = f"{universe.name}.app.scores"
    for answer in admin.delete_topics([topic]).values():
        answer.result()
    wait_for("the topic is gone", lambda: topic not in admin.list_topics(timeout=10).topics)
