"""Every message is in exactly one column of the ledger."""

from __future__ import annotations

import pytest

from stream.errors import LedgerImbalance, Stop
from stream.pipeline.ledger import Ledger, Outcome


def test_columns_that_add_up_pass() -> None:
    ledger = Ledger("t.app.scores")
    ledger.add(0, [Outcome.WRITTEN, Outcome.DROPPED], consumed=2)
    ledger.add(3, [Outcome.TOMBSTONE], consumed=1)
    ledger.add(0, [Outcome.WRITTEN], consumed=1)
    ledger.check()
    assert ledger.totals() == {Outcome.WRITTEN: 2, Outcome.DROPPED: 1, Outcome.TOMBSTONE: 1}


@pytest.mark.parametrize("outcomes", [[], [Outcome.WRITTEN] * 3])
def test_a_message_in_no_column_or_in_two_is_fatal(outcomes: list[Outcome]) -> None:
    ledger = Ledger("t.app.scores")
    ledger.add(5, outcomes, consumed=2)
    with pytest.raises(LedgerImbalance, match=r"t\.app\.scores-5: 2 messages consumed"):
        ledger.check()
    assert issubclass(LedgerImbalance, Stop)


def test_two_partitions_do_not_make_up_for_each_other() -> None:
    ledger = Ledger("t.app.scores")
    ledger.add(0, [Outcome.WRITTEN] * 2, consumed=1)
    ledger.add(1, [], consumed=1)
    with pytest.raises(LedgerImbalance):
        ledger.check()
