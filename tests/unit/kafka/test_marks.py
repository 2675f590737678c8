"""The metadata of committed offsets."""

from __future__ import annotations

import pytest

from stream.kafka.marks import CLEAN, after_rewind, begun, mark


def test_a_mark_names_offsets_and_is_read_back() -> None:
    assert mark([500, 80, 500]) == "begun@80,500"
    assert begun("begun@80,500") == (80, 500)
    assert mark([]) == ""


@pytest.mark.parametrize("text", ["", CLEAN, "begun@", "begun@x", "begun@1;2", "somebody else's"])
def test_what_is_no_mark_names_no_offset(text: str) -> None:
    assert begun(text) == ()


def test_a_rewind_keeps_what_a_dead_worker_may_have_begun() -> None:
    # given a partition that was given up in order: nothing was begun
    assert after_rewind(70, CLEAN) == CLEAN
    # given one whose worker died: what it began lies behind its committed offset
    assert after_rewind(70, "") == "begun@70"
    # and after a second rewind both places are kept
    assert after_rewind(40, "begun@70") == "begun@40,70"
