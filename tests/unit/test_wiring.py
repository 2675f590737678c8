"""The edge: which role a backfill writes its signals as."""

from __future__ import annotations

import pytest

from stream.config import Settings
from stream.errors import UsageError
from stream.settings_sections import BackfillSettings, PostgresSettings
from stream.wiring import signals_postgres


def test_signals_are_written_as_the_role_of_the_backfill() -> None:
    settings = Settings(
        postgres=PostgresSettings(dsn="postgresql://reader@h/d", source_schema="crm"),
        backfill=BackfillSettings(dsn="postgresql://cdc@h/other"),
    )
    writer = signals_postgres(settings)
    assert (writer.database, writer.schema) == ("other", "crm")


def test_without_that_role_the_setting_is_named() -> None:
    with pytest.raises(UsageError, match="SCORESTREAM_BACKFILL_DSN is not set"):
        signals_postgres(Settings())
