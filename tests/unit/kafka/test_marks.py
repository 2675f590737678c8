"""The metadata of committed offsets."""

from __future__ import annotations

import pytest

from stream.kafka.marks import Mark, after_rewind


@pytest.mark.parametrize(
    "mark",
    [
        Mark(),
        Mark(clean=True),
        Mark(begun=(80, 500)),
        Mark(clean=True, newest=1 << 127),
        Mark(begun=(80,), rewound=500, newest=7),
    ],
    ids=str,
)
def test_a_mark_is_read_back(mark: Mark) -> None:
    assert Mark.of(str(mark)) == mark


def test_the_marks_of_earlier_releases_are_read() -> None:
    assert Mark.of("clean") == Mark(clean=True)
    assert Mark.of("begun@80,500") == Mark(begun=(80, 500))
    assert Mark.of("") == Mark.of(None) == Mark()


@pytest.mark.parametrize("text", ["begun@", "begun@x", "begun@1;2", "another tool's", "clean tool", "newest@xyz"])
def test_what_is_no_mark_says_nothing(text: str) -> None:
    assert Mark.of(text) == Mark()


def test_a_rewind_keeps_what_a_dead_worker_may_have_begun() -> None:
    # given a partition that was given up in order: nothing was begun
    assert after_rewind(70, Mark(clean=True), to=90) == Mark(clean=True)
    # given one whose worker died: what it began lies behind its committed offset
    assert after_rewind(70, Mark(), to=20) == Mark(begun=(70,), rewound=70)
    # and after a second rewind both places are kept, and how far the group once was
    assert after_rewind(40, Mark(begun=(70,), rewound=70), to=20) == Mark(begun=(40, 70), rewound=70)


def test_a_rewind_forgets_versions_that_lie_behind_it() -> None:
    assert after_rewind(70, Mark(clean=True, newest=9), to=20).newest == 0
    assert after_rewind(70, Mark(clean=True, newest=9), to=80) == Mark(clean=True, newest=9)


def test_bytes_of_other_memory_behind_a_mark_change_nothing() -> None:
    mark = Mark(clean=True, newest=0xABC)
    assert Mark.of(str(mark) + "def begun@7 \N{REPLACEMENT CHARACTER}") == mark
