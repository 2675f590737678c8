"""`source.sequence` -> version: the only place that knows the order of changes.

Enters: Debezium's `source.sequence`, a JSON array in a string: `["<last commit LSN>", "<LSN>"]`. The first element is
null in an initial snapshot. Leaves: an int for ClickHouse's `_version UInt128`,

    epoch (16 bits) | commit LSN (56) | LSN (56)

A transaction that commits later has the greater commit LSN, although its rows may have been written to the WAL earlier.
So neither the raw LSN nor any clock orders changes; the pair does. Kafka's order plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stream.errors import Refused

LSN_BITS = 56
LSN_MAX = (1 << LSN_BITS) - 1
EPOCH_SHIFT = 2 * LSN_BITS

_STREAMED = frozenset({"false", "incremental"})  # what `source.snapshot` says while changes are streamed

_decode_sequence = msgspec.json.Decoder(tuple[int | None, int], strict=False).decode  # numbers, written as texts


def version(sequence: str | None, *, epoch: int = 0) -> int:
    """Version of a change.

    Args:
        sequence: Debezium's `source.sequence`.
        epoch: of the cluster that committed the change, chosen by its commit time (stream/epochs.py).

    Raises:
        Refused: `no_sequence`, when it is missing or is not two LSNs below 2**56.
    """
    if not sequence:
        raise Refused("no_sequence", "source.sequence is missing")
    try:
        commit, lsn = _decode_sequence(sequence)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Refused("no_sequence", f"source.sequence {sequence[:80]!r} is not two LSNs") from error
    commit = lsn if commit is None else commit
    if not (0 <= lsn <= LSN_MAX and 0 <= commit <= LSN_MAX):
        raise Refused("no_sequence", f"source.sequence {sequence[:80]!r}: an LSN is outside of 0..2**56-1")
    return epoch << EPOCH_SHIFT | commit << LSN_BITS | lsn


def versions(sequences: Sequence[str | None], *, epoch: int = 0) -> list[int]:
    """The versions of many changes.

    Raises:
        Refused: one of them has none; `version` finds out which.
    """
    different = dict.fromkeys(sequences)  # all rows of a snapshot have the same
    try:
        pairs = list(map(_decode_sequence, different))  # type: ignore[arg-type]
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise Refused("no_sequence", "one of many: source.sequence is missing, or is not two LSNs") from error
    lsns = [lsn for _, lsn in pairs]
    commits = [lsn if commit is None else commit for commit, lsn in pairs]
    if lsns and not (min(lsns) >= 0 <= min(commits) and max(lsns) <= LSN_MAX >= max(commits)):
        raise Refused("no_sequence", f"one of many: an LSN is outside of 0..2**{LSN_BITS}-1")
    start = epoch << EPOCH_SHIFT
    found = [start | commit << LSN_BITS | lsn for commit, lsn in zip(commits, lsns, strict=True)]
    if len(found) == len(sequences):
        return found
    return list(map(dict(zip(different, found, strict=True)).__getitem__, sequences))


def lacks_commit(sequence: str, snapshot: str | bool | None) -> bool:
    """Whether a version leaves the order open: a streamed change before which no commit was streamed.

    That is the first transaction after a snapshot. It may have begun before the snapshot and ended after it. Then its
    LSNs are lower than the snapshot's, although it is newer.
    """
    return "null" in sequence and (not snapshot or snapshot in _STREAMED)


def of_marker(version_: int) -> int:
    """The version of a delete marker: above a row of this version, and below every later change.

    Of equal versions ClickHouse shows the row that was inserted last. An insert that times out may be executed after
    its retry was confirmed, and after the marker. LSNs are multiples of 8, so the lowest bits of a change's are free.
    """
    return version_ | 1


def above(version_: int) -> int:
    """A version above a row of this version and its marker, and below every later change, for a reindex of that row.

    A scorecard may return to a place that it left at this version, where the marker stands. Three times such versions
    rise. From then on they are equal, and the row that was inserted last is shown.
    """
    return min(version_ + 2, version_ | 6)


def epoch_of(version_: int) -> int:
    """The epoch in a version."""
    return version_ >> EPOCH_SHIFT


def commit_lsn(version_: int) -> int:
    """The commit LSN in a version."""
    return version_ >> LSN_BITS & LSN_MAX


def lsn(version_: int) -> int:
    """The LSN in a version."""
    return version_ & LSN_MAX


def reached_lsn(version_: int) -> int:
    """How far the WAL was when a change of this version was streamed, at least.

    The change itself lies behind the commit that its version names. A server whose WAL ends between the two may give
    another change the same version.
    """
    return max(commit_lsn(version_), lsn(version_))


def lsn_text(lsn: int) -> str:
    """An LSN as Postgres writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
