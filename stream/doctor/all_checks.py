"""Every check of this folder, for the reference."""

from __future__ import annotations

from stream.doctor import (
    across,
    clickhouse,
    connect,
    copies,
    kafka,
    postgres,
    processes,
    published,
    roles,
    sessions,
    settings,
    source,
    tables,
)
from stream.doctor.finding import Check

ALL: tuple[Check, ...] = (
    *(
        check
        for each in (
            postgres,
            sessions,
            source,
            published,
            copies,
            roles,
            kafka,
            connect,
            clickhouse,
            tables,
            settings,
            processes,
        )
        for check in each.CHECKS.all
    ),
    *across.ALL,
)
