"""What verify finds, from values alone: cells, rows, scopes, and the job files of reindex and purge."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import UsageError
from stream.pipeline.placement import place_of
from stream.pipeline.writes import Key, Layout, Writes
from stream.progress import Progress
from stream.reindex.job_state import JobFile, JobState
from stream.reindex.now import only
from stream.scope import Scope
from stream.tables import SCORE, SCORECARD
from stream.times import DAY_US, day_text, parse_time, span
from stream.verify.cells import Cell, Content, differing
from stream.verify.dead_letter_index import row_of_key
from stream.verify.explain import Explanation, verdict
from stream.verify.findings import Finding, compare
from stream.verify.report import days, gaps
from stream.verify.row_states import Card, InPostgres, SourceRow, TargetRow, columns_that_differ

LAYOUT = Layout(shards=2, bucket_days=1)
AT = 20_000 * DAY_US + 5  # 2024-10-04, shard 0
CARD, ROW = 0xA, 0xB
SAME = "0" * 16 * len(SCORE.all_columns)


def card(*, kind: int | None = None, conversation: str | None = None, at: int | None = AT, chat: bool = False) -> Card:
    place = place_of(customer_id="acme", scorecard_type=kind, process=conversation is None, event_time_us=at)
    return Card(place, kind, conversation, chat, AT, "template")


def target(**change: Any) -> TargetRow:
    key = Key(0, "score", "acme", CARD, ROW, AT)._replace(**change)
    return TargetRow(key, AT, True, 1, SAME)


def findings(states: InPostgres, *shown: TargetRow, **options: Any) -> list[tuple[str, str]]:
    found = compare(states, shown, LAYOUT, **{"highest": {}, "dead_letters": {}} | options)
    return [(each.what, each.reason) for each in found]


def in_postgres(of: Card | None = None, **row: str) -> InPostgres:
    states = InPostgres()
    if of is not None:
        states.cards[CARD] = of
        states.rows["score", ROW] = SourceRow(CARD, row.get("hashes", SAME), row.get("fault", ""))
    return states


def test_a_row_in_its_place_with_its_content_is_no_finding() -> None:
    assert findings(in_postgres(card()), target()) == []


def test_columns_that_differ_are_named() -> None:
    # given a row whose third column has another hash
    hashes = SAME[:32] + "1" * 16 + SAME[48:]
    # then that column is named
    assert columns_that_differ(SCORE, SAME, hashes) == ["event_time"]
    assert findings(in_postgres(card(), hashes=hashes), target()) == [("stale", "content differs in event_time")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shard": 1}, "wrong shard: on 1, belongs on 0"),
        (
            {"event_time_us": AT - 1},
            "ghost of another time: at 2024-10-04T00:00:00.000004+00:00, belongs at 2024-10-04T00:00:00.000005+00:00",
        ),
        ({"customer_id": "other"}, "wrong customer: under other, belongs to acme"),
    ],
)
def test_a_row_in_a_wrong_place_is_extra_and_says_where_it_belongs(change: dict[str, Any], words: str) -> None:
    # given the row in its place, and once more in another
    assert findings(in_postgres(card()), target(), target(**change)) == [("extra", words)]
    # and when it is in the other place only, it is missing in its own
    found = findings(in_postgres(card()), target(**change))
    assert ("extra", words) in found
    assert ("missing", f"shown in a wrong place only: {words}") in found


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (None, "scorecard gone in Postgres"),
        (card(kind=3), "appeal (scorecard_type 3, resolve"),
        (card(kind=8), "unknown scorecard_type 8"),
        (card(at=None), "no scorecard_time"),
        (card(conversation="c1", at=None), "conversation c1 is not in Postgres"),
        (card(conversation="c1", at=None, chat=True), "conversation c1 has no started_at"),
    ],
)
def test_rows_of_what_is_not_to_be_shown_are_extra(of: Card | None, words: str) -> None:
    ((what, reason),) = findings(in_postgres(of), target())
    assert what == "extra"
    assert words in reason


def test_a_missing_row_says_why() -> None:
    home = target().key
    row_id = "00000000-0000-0000-0000-00000000000b"
    assert findings(in_postgres(card())) == [("missing", "not in ClickHouse at all")]
    hidden = findings(in_postgres(card()), highest={home: (7, True)})
    assert hidden == [("missing", "hidden by a delete marker of version 7")]
    assert findings(in_postgres(card()), dead_letters={row_id: "dead letter t-0@5"}) == [
        ("missing", "dead letter t-0@5")
    ]
    assert findings(in_postgres(card(), fault="ai_value is not finite")) == [
        ("missing", "cannot be indexed: ai_value is not finite")
    ]


def test_a_score_that_is_gone_or_belongs_elsewhere_is_extra() -> None:
    states = in_postgres(card())
    assert ("extra", "score gone in Postgres") in findings(states, target(), target(row_id=0xC))
    states.cards[0xD] = card()
    assert ("extra", "belongs to another scorecard") in findings(states, target(), target(scorecard_id=0xD))


def test_cells_are_wanted_on_the_shard_of_their_day_only() -> None:
    # given a cell that both have, and one that stands on the other shard
    right, moved = Cell("score", "acme", 20_000, True), Cell("score", "acme", 20_001, True)
    content = Content(3, 99)
    # when they are compared
    found = differing({right: content, moved: content}, [{right: content, moved: content}, {}], LAYOUT)
    # then the second is extra on shard 0, and missing on shard 1
    assert [(each.cell, each.shard, each.postgres.rows, each.clickhouse.rows) for each in found] == [
        (moved, 0, 0, 3),
        (moved, 1, 3, 0),
    ]


def test_counts_by_day_mark_gaps() -> None:
    cells = {Cell("scorecard", "acme", day, True): Content(2, 1) for day in (20_000, 20_002)}
    assert [(day.scorecards, day.scorecards_shown, day.gap) for day in days(cells, [cells, {}])] == [
        (2, 2, False),
        (0, 0, True),
        (2, 2, False),
    ]
    assert gaps(cells) == {"acme": [day_text(20_001)]}
    assert days({}, []) == []


@pytest.mark.parametrize(
    ("text", "end", "day"),
    [
        ("2026-01-31", False, "2026-01-31"),
        ("2026-01-31", True, "2026-02-01"),
        ("2026-01-31T00:00", True, "2026-01-31"),
        ("2026-01-31T00:00:00+02:00", False, "2026-01-30"),
    ],
)
def test_times_of_a_window(text: str, end: bool, day: str) -> None:
    assert day_text(parse_time(text, end=end) // DAY_US) == day


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="neither a date"):
        parse_time("yesterday")


@given(
    customers=st.lists(st.text(), max_size=2),
    start=st.none() | st.integers(0, 10**15),
    kind=st.sampled_from(["all", "process", "conversation"]),
)
def test_a_scope_has_as_many_conditions_on_both_sides(customers: list[str], start: int | None, kind: Any) -> None:
    scope = Scope(customers=tuple(customers), start_us=start, kind=kind)
    conditions, values = scope.postgres(customer="a", time="b", process="c")
    assert len(conditions) == len(scope.clickhouse()[0])
    assert sum(condition.count("%s") for condition in conditions) == len(values)


def test_writes_are_cut_down_to_some_keys() -> None:
    # given two rows of one scorecard
    writes = Writes()
    place = place_of(customer_id="acme", scorecard_type=None, process=True, event_time_us=AT)
    columns: list[list[Any]] = [
        [ROW, ROW + 1] if column.name == "score_id" else [None, None] for column in SCORE.columns
    ]
    writes.add_placed(SCORE, LAYOUT, places=[place] * 2, scorecards=[CARD] * 2, columns=columns, versions=[5, 5])
    # when only one key is wanted, then one row is left
    assert only(writes, {target().key}).rows == 1
    assert only(writes, set()).rows == 0
    assert not only(writes, set())


def test_a_job_goes_on_where_it_was(tmp_path: Path) -> None:
    # given a job that noted its state
    job = JobFile(tmp_path / "state", "reindex", {"customers": ["a"]})
    assert job.load() is None
    job.save(JobState(total=9, after="x", done=4, failed=1))
    # then the same call finds it, another does not
    again = JobFile(tmp_path / "state", "reindex", {"customers": ["a"]}).load()
    assert again is not None
    assert (again.after, again.done, again.failed, again.total) == ("x", 4, 1, 9)
    assert JobFile(tmp_path / "state", "reindex", {"customers": ["b"]}).load() is None
    # and a file that was cut is as none, and one that ended is gone
    job.path.write_text("{")
    assert job.load() is None
    job.remove()
    assert not list((tmp_path / "state").iterdir())


def test_the_row_of_a_message_is_read_from_keys_of_all_kinds() -> None:
    assert row_of_key(b'{"score_id": "AB"}') == "ab"
    assert row_of_key(b'{"scorecard_id": "cd", "score_id": "ab"}') == "ab"
    assert row_of_key(b'{"schema": {}, "payload": {"scorecard_id": "cd"}}') == "cd"
    for nonsense in (None, b"", b"\xff", b"[1]", b"7", b'{"id": 1}'):
        assert row_of_key(nonsense) is None


def story(of: Card | None, *found: Finding, lag: str = "") -> tuple[str, str]:
    return verdict(Explanation("id", card=of, findings=list(found), lag=lag, shard=0, shown={"score": 2}))


def wrong(reason: str) -> Finding:
    return Finding("missing", SCORECARD.target, "id", "id", "acme", AT, True, 0, reason)


def test_the_sentence_of_explain() -> None:
    assert story(card()) == ("indexed", "Indexed: on shard 0 with 2 scores, equal to Postgres in all columns.")
    assert story(None)[0] == "not in postgres"
    word, sentence = story(card(kind=2))
    assert word == "appeal"
    assert "request), since 2024-10-04" in sentence
    assert story(card(kind=8))[0] == "unknown type"
    assert "Waiting: conversation c1 is not in Postgres" in story(card(conversation="c1", at=None))[1]
    word, sentence = story(card(), wrong("not in ClickHouse at all"))
    assert word == "wrong"
    assert sentence.endswith("`scorestream reindex --id id` repairs it.")
    assert story(card(), wrong("x"), lag="5 messages behind") == (
        "not yet",
        "Not yet: 5 messages behind; so far missing scorecard: x.",
    )
    assert story(card(), wrong("dead letter t-0@4"))[0] == "dead letter"


def test_progress_in_lines() -> None:
    # given a clock, and a stream that is no terminal
    now = [0.0]
    out = io.StringIO()
    with Progress("reindex", total=100, unit="scorecards", stream=out, clock=lambda: now[0]) as progress:
        # when some is done, with time between
        progress.start_at(20)
        now[0] = 5.0
        progress.add(20, failed=1)
        assert progress.rate == 4
        assert progress.eta_s == 15
    # then there is a line for each few seconds, and one at the end
    assert out.getvalue().splitlines() == [
        "reindex: 40/100 scorecards 40% failed 1 4/s eta 0:00:15",
        "reindex: 40/100 scorecards 40% failed 1 in 5.0 s 4/s",
    ]
    assert span(3_725) == "1:02:05"
