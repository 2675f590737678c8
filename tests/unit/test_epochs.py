"""The epoch of a change is that of the cluster in which it was committed."""

from __future__ import annotations

import json

import pytest

from stream.epochs import ONE_EPOCH, Epochs
from stream.pipeline.decoder import Decoder
from stream.pipeline.envelope import Envelope
from stream.pipeline.ordering import epoch_of
from stream.pipeline.upserts import UpsertDecoder
from tests.fakes import envelope
from tests.fakes.rows import row_of

MOVED = "2026-05-01T10:00:00Z"
MOVED_MS = 1_777_629_600_000
EPOCHS = Epochs.parse(0, MOVED)
CARD, SCORE = "5c000000-0000-4000-8000-000000000000", "50000000-0000-4000-8000-000000000000"


def score(sequence: tuple[int, int], ts_ms: int) -> bytes:
    return envelope("scores", "c", None, row_of("scores", SCORE, scorecard_id=CARD), sequence=sequence, ts_ms=ts_ms)


def test_an_old_change_that_is_read_again_loses_against_the_new_cluster() -> None:
    # given a change of the old cluster, whose LSN is higher, and one of the new cluster
    old, new = score((900, 900), MOVED_MS - 1), score((2, 2), MOVED_MS)
    # when both are read after the move, alone or in one batch
    first, second = Decoder("scores", epochs=EPOCHS).decode([old, new])
    assert isinstance(first, Envelope)
    assert isinstance(second, Envelope)
    # then the new one wins, and each has the epoch of its own cluster
    assert first.version < second.version
    assert [epoch_of(first.version), epoch_of(second.version)] == [0, 1]
    upserts = UpsertDecoder("scores", epochs=EPOCHS)
    assert upserts.decode([old, new]) is None  # one by one
    for value, change in ((old, first), (new, second)):
        plain = upserts.decode([value])
        assert plain is not None
        assert plain.versions == [change.version]


def test_without_starts_all_changes_are_of_one_epoch() -> None:
    assert (ONE_EPOCH.of(0), ONE_EPOCH.last, ONE_EPOCH.common([1, 2])) == (0, 0, 0)
    assert Epochs.parse(3, "").of(5) == 3


def test_each_start_raises_the_epoch_by_one() -> None:
    epochs = Epochs.parse(2, f"{MOVED}, 2026-06-01T00:00:00+02:00")
    assert [epochs.of(ms) for ms in (MOVED_MS - 1, MOVED_MS, 1_780_264_800_000)] == [2, 3, 4]
    assert epochs.last == 4
    assert epochs.common([MOVED_MS, MOVED_MS + 1]) == 3
    assert epochs.common([MOVED_MS - 1, MOVED_MS]) is None


@pytest.mark.parametrize(
    ("starts", "why"),
    [
        ("yesterday", "Invalid isoformat"),
        ("2026-05-01T10:00:00", "names no time zone"),
        (f"{MOVED},{MOVED}", "must ascend"),
        (f"{MOVED},2026-04-01T00:00Z", "must ascend"),
    ],
)
def test_starts_that_are_no_times_or_do_not_ascend_are_refused(starts: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Epochs.parse(0, starts)


def test_a_refused_message_is_of_its_own_epoch_too() -> None:
    from stream.errors import Refused
    from stream.pipeline.refusal import refusal_of

    body = json.loads(score((900, 900), MOVED_MS))
    refusal = refusal_of("scores", None, json.dumps(body).encode(), Refused("wrong_type", ""), epochs=EPOCHS)
    assert (epoch_of(refusal.version), refusal.unordered) == (1, False)
