"""Bytes -> Envelope: decodes the messages of one source table, and refuses what is not a change of it.

Enters: the values of Kafka messages. Leaves: for each message an Envelope, a Refused, or None for a tombstone. A
missing required column is refused. The shape of the values is checked here, their content in stream/pipeline/values.py.
A faulty before-image never refuses a message: its unreadable columns count as changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from stream.epochs import ONE_EPOCH, Epochs
from stream.errors import Refused
from stream.pipeline.cut_texts import may_be_cut, without_half
from stream.pipeline.envelope import (
    DELETE,
    FAULTS,
    ID_COLUMNS,
    JSON_TYPES,
    UNREADABLE,
    UPSERTS,
    Decoded,
    Envelope,
    Origin,
    after_type,
    before_type,
    envelope_type,
    upsert_type,
)
from stream.pipeline.ordering import lacks_commit, version, versions
from stream.pipeline.values import are_uuids, uuid_int
from stream.tables import TEXT_UNITS, columns_of


class _Lenient:
    """Decodes an envelope value by value. The before-image may hold any value; a date counts as its midnight (UTC)."""

    def __init__(self, table: str) -> None:
        self._before, self._after = before_type(table), after_type(table)
        self._columns = {column.name: column for column in columns_of(table)}
        envelope = msgspec.defstruct(
            f"{table}_open",
            [("op", str), ("source", Origin), *((name, dict[str, Any] | None, None) for name in ("after", "before"))],
            bases=(Envelope,),
        )
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(envelope).decode
        wrapped = msgspec.defstruct(f"{table}_lenient", [("payload", envelope | None)])
        self._decode_wrapped: Callable[[bytes], Any] = msgspec.json.Decoder(wrapped).decode

    def decode(self, value: bytes, *, wrapped: bool) -> Envelope | None:
        """Decode one envelope. Raises one of FAULTS when more is wrong than the before-image."""
        change: Any = self._decode_wrapped(value).payload if wrapped else self._decode(value)
        if change is not None and change.before is not None:
            row = change.before
            change.before = self._before(**{n: self._known(n, row.get(n)) for n in self._before.__struct_fields__})
        if change is not None and change.after is not None:
            row = change.after
            change.after = self._after(**{name: self._value(name, row) for name in self._after.__struct_fields__})
        return change  # type: ignore[no-any-return]

    def _value(self, name: str, row: dict[str, Any]) -> Any:
        column = self._columns[name]
        if name not in row:
            raise msgspec.ValidationError(f"Object missing required field `{name}`")
        value = row[name]
        if value is None and column.nullable:
            return None
        if column.kind == "time" and isinstance(value, str) and len(value.rstrip("Z")) == len("2026-01-02"):
            value = f"{value.rstrip('Z')}T00:00:00Z"
        try:
            return msgspec.convert(value, JSON_TYPES[column.kind])
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(f"{error} - at `$.after.{name}`") from error

    def _known(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        kind = self._columns[name].kind
        try:
            return msgspec.convert(value, JSON_TYPES[kind])
        except FAULTS:
            # A malformed text or id counts as unknown, as in an image that is not full.
            return None if kind in {"text", "uuid"} else UNREADABLE


class Decoder:
    """Decodes the messages of one source table.

    Args:
        table: name of the source table; messages of other tables are refused.
        epochs: which cluster a change comes from (stream/pipeline/ordering.py).
    """

    def __init__(self, table: str, *, epochs: Epochs = ONE_EPOCH) -> None:
        envelope = envelope_type(table)
        self.table = table
        self._epochs = epochs
        self._decode: Callable[[bytes], Envelope] = msgspec.json.Decoder(envelope).decode
        self._decode_usual: Callable[[bytes], Envelope] = msgspec.json.Decoder(upsert_type(table)).decode
        wrapped = msgspec.defstruct(f"{table}_wrapped", [("payload", envelope | None)])
        self._decode_wrapped = msgspec.json.Decoder(wrapped).decode
        self._lenient = _Lenient(table)
        self._has_customers = any(column.name == "customer_id" for column in columns_of(table))

    def decode(self, values: Sequence[bytes | None]) -> list[Decoded]:
        """Decode each value, in order. No content of a message raises."""
        out = self._decode_each(values)
        if self._has_customers:
            self._check_customers(out, values)
        return out

    def _decode_each(self, values: Sequence[bytes | None]) -> list[Decoded]:
        out: list[Decoded]
        try:
            # Nearly every batch has only upserts in the usual form, which need no decision each.
            changes = list(map(self._decode_usual, values))  # type: ignore[arg-type]
            self._order(changes)
            out = list(changes)
            if self._have_ids(changes):
                return out
        except (*FAULTS, Refused, TypeError):  # a tombstone has no bytes
            out = [self._any(value) for value in values]
        self._check_ids(out)
        return out

    def _order(self, changes: Sequence[Envelope]) -> None:
        sequences: list[Any] = [change.source.sequence for change in changes]
        epoch = self._epochs.common([change.source.ts_ms for change in changes])
        numbers = list(map(self._version, changes)) if epoch is None else versions(sequences, epoch=epoch)
        for change, number in zip(changes, numbers, strict=True):
            change.version = number
        if "null" in "".join(sequences):
            for change, sequence in zip(changes, sequences, strict=True):
                change.unordered = lacks_commit(sequence, change.source.snapshot)

    def _version(self, change: Envelope) -> int:
        return version(change.source.sequence, epoch=self._epochs.of(change.source.ts_ms))

    def _any(self, value: bytes | None) -> Decoded:
        if value is None:
            return None
        value = without_half(value)
        try:
            change = self._decode_usual(value)
            change.version = self._version(change)
            change.unordered = lacks_commit(change.source.sequence or "", change.source.snapshot)
        except (*FAULTS, Refused):
            return self._unusual(value)
        return change

    def _have_ids(self, upserts: Sequence[Envelope]) -> bool:
        """Whether all ids of these are UUIDs."""
        afters = [change.after for change in upserts]
        befores = [before for change in upserts if (before := change.before) is not None]
        for at, name in enumerate(ID_COLUMNS[self.table]):
            get = attrgetter(name)
            ids = list(map(get, afters)) + list(map(get, befores))
            if at:  # a scorecard has many scores
                ids = list(set(ids))
            if None in ids or not are_uuids(ids):
                return False
        return True

    def _unusual(self, value: bytes) -> Decoded:
        """Decode a delete, an envelope in another form, or a faulty message; return the reason where it is refused."""
        try:
            return self._one(value)
        except Refused as refused:
            return refused

    def _check_ids(self, out: list[Decoded]) -> None:
        """Refuse a message whose id is not a UUID: one such id would fail the look-up for the whole batch."""
        changes = [item for item in out if isinstance(item, Envelope)]
        images = [change.after for change in changes if change.after is not None]
        images += [change.before for change in changes if change.before is not None]
        for name in ID_COLUMNS[self.table]:
            ids = set(map(attrgetter(name), images))
            if None not in ids and are_uuids(list(ids)):
                continue
            rows = [
                (index, item, row)
                for index, item in enumerate(out)
                if isinstance(item, Envelope)
                for row in (item.after, item.before)
                if row is not None
            ]
            for index, change, row in rows:
                if (text := getattr(row, name)) is None:  # a before-image that is not full
                    continue
                try:
                    uuid_int(text)  # its spelling stays: in a text column of Postgres it is part of the key
                except ValueError:
                    if row is change.before and change.op != DELETE:
                        setattr(row, name, None)  # no row can have this id
                    else:
                        out[index] = Refused("bad_uuid", f"{name} is not a UUID")

    def _check_customers(self, out: list[Decoded], values: Sequence[bytes | None]) -> None:
        """Refuse a message whose customer may be cut: two customers may begin alike."""
        for index, value in enumerate(values):
            if value is None or len(value) < TEXT_UNITS or not isinstance(change := out[index], Envelope):
                continue
            customers = [row.customer_id for row in (change.after, change.before) if row is not None]
            if any(isinstance(customer, str) and may_be_cut(customer) for customer in customers):
                out[index] = Refused("long_customer", f"customer_id has {TEXT_UNITS:,} UTF-16 units, or more")

    def _one(self, value: bytes) -> Envelope | None:
        try:
            envelope = self._decode(value)
        except FAULTS as error:
            found = self._unwrap(value, error)
            if found is None:
                return None
            envelope = found
        op = envelope.op
        if envelope.source.table != self.table:
            raise Refused("unknown_table", f"source.table is {envelope.source.table[:60]!r}, not {self.table!r}")
        if op in UPSERTS:
            if envelope.after is None:
                raise Refused("no_after", f"op {op!r} without after")
        elif op == DELETE:
            if envelope.before is None or not all(getattr(envelope.before, name) for name in ID_COLUMNS[self.table]):
                raise Refused("no_before", "op 'd' without the ids of the row in before: is the replica identity FULL?")
        else:
            raise Refused("unknown_op", f"op {op[:20]!r}")
        envelope.version = self._version(envelope)
        envelope.unordered = lacks_commit(envelope.source.sequence or "", envelope.source.snapshot)
        return envelope

    def _unwrap(self, value: bytes, error: Exception) -> Envelope | None:
        """Take the envelope out of {"schema": .., "payload": ..} (`schemas.enable=true`).

        A null payload is a tombstone.
        """
        try:
            keys = msgspec.json.decode(value, type=dict[str, msgspec.Raw]).keys()
        except FAULTS:
            raise Refused("not_json", str(error)) from error
        wrapped = "payload" in keys
        try:
            if wrapped:
                payload: Envelope | None = self._decode_wrapped(value).payload  # type: ignore[attr-defined]
                return payload
        except FAULTS as inner:
            error = inner
        try:
            return self._lenient.decode(value, wrapped=wrapped)
        except FAULTS as inner:
            # When a value of the before-image is wrong, the first error names that one. This error cannot.
            raise Refused(_reason(inner), str(inner)) from error


def _reason(error: Exception) -> str:
    return "missing_field" if "missing required field" in str(error) else "wrong_type"
