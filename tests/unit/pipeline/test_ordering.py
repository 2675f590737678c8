"""source.sequence -> version."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import Refused
from stream.pipeline.ordering import LSN_MAX, above, commit_lsn, lsn, reached_lsn, version

LSNS = st.integers(0, LSN_MAX)


def sequence(commit: int | None, own: int) -> str:
    return json.dumps([None if commit is None else str(commit), str(own)], separators=(",", ":"))


def test_the_transaction_that_commits_later_wins_though_its_rows_are_older_in_the_wal() -> None:
    # Measured with Debezium 3.6.3: two interleaved transactions.
    first, second = sequence(335498416, 335534272), sequence(335534632, 335506600)
    assert version(first) < version(second)


def test_a_change_that_was_open_during_an_incremental_read_wins_over_the_read() -> None:
    # Measured: by the raw LSN the older read would win.
    read, change = sequence(335669344, 335669344), sequence(335670456, 335643856)
    assert version(read) < version(change)


def test_the_read_of_an_initial_snapshot_is_ordered_by_its_own_lsn() -> None:
    assert version('[null,"5"]') == version('["5","5"]')


@pytest.mark.parametrize(("row", "reindexed"), [(8, 10), (9, 11), (10, 12), (12, 14), (14, 14), (15, 15)])
def test_a_reindex_rises_three_times_and_stays_below_the_next_change(row: int, reindexed: int) -> None:
    assert above(row) == reindexed < 16


@given(LSNS, LSNS, st.integers(0, 65535))
def test_the_parts_come_back_out(commit: int, own: int, epoch: int) -> None:
    made = version(sequence(commit, own), epoch=epoch)
    assert (commit_lsn(made), lsn(made), made >> 112) == (commit, own, epoch)
    assert reached_lsn(made) == max(commit, own)
    assert made < 1 << 128


@given(LSNS, LSNS, LSNS, LSNS)
def test_versions_are_ordered_as_commit_then_lsn(a: int, b: int, c: int, d: int) -> None:
    assert (version(sequence(a, b)) < version(sequence(c, d))) == ((a, b) < (c, d))


@given(LSNS, LSNS)
def test_a_later_epoch_wins_over_every_lsn(commit: int, own: int) -> None:
    assert version(sequence(0, 0), epoch=1) > version(sequence(commit, own))


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "",
        "[]",
        "x",
        '["1"]',
        '["1",null]',
        '["1","x"]',
        '["1.5","2"]',
        '["1","-1"]',
        '["1","72057594037927936"]',
        "{}",
    ],
)
def test_what_is_not_two_lsns_is_refused(broken: str | None) -> None:
    with pytest.raises(Refused) as refused:
        version(broken)
    assert refused.value.reason == "no_sequence"
