"""How the target tables are laid out, in ClickHouse's spelling: keys, columns, the view of each. Pure."""

from __future__ import annotations

from stream.tables import SCORE, Table

PARTITION_KEY = "toYYYYMM(event_time)"
PRIMARY_KEY = "customer_id, scorecard_id"


def sorting_key(table: Table) -> str:
    """The sort key of a target table."""
    own = f", {table.id}" if table is SCORE else ""
    return f"{PRIMARY_KEY}{own}, event_time"


def columns(table: Table) -> dict[str, str]:
    """All columns of a target table -> their types."""
    return dict(zip(table.insert_columns, table.insert_types, strict=True)) | {"_indexed_at": "DateTime64(3, 'UTC')"}


def view_of(table: Table) -> str:
    """Name of the view that readers query."""
    return f"{table.target}_current"
