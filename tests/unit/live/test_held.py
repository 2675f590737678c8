"""Which batches are held: these themselves, not others that look like them."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

from stream.live.held import HeldBatches
from tests.unit.live.batches import batch_of


def test_only_the_very_batches_are_held() -> None:
    one, same = batch_of(4), batch_of(4)
    held = HeldBatches([one], Mock(asyncio.Future))
    assert held.holds(one)
    assert not held.holds(same)
