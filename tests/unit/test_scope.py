"""The scope of a verify, a reindex or a purge: the same conditions in both stores."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream.scope import Scope
from stream.tables import TARGETS
from stream.times import moment, parse_time

JANUARY = parse_time("2026-01-01")
FEBRUARY = parse_time("2026-02-01")


def test_nothing_given_is_everything() -> None:
    assert Scope().postgres(customer="c", time="t", process="p") == ([], [])
    assert Scope().clickhouse() == ([], {})
    assert Scope().targets == TARGETS
    assert Scope().is_empty


def test_both_stores_get_the_same_conditions() -> None:
    # given a customer's process scorecards of January
    scope = Scope(customers=("acme",), start_us=JANUARY, end_us=FEBRUARY, kind="process")
    # when asked in Postgres
    sql, values = scope.postgres(customer="s.customer_id", time="s.at", process="s.process")
    assert sql == ["s.customer_id = ANY(%s::text[])", "s.at >= %s::timestamptz", "s.at < %s::timestamptz", "s.process"]
    assert values == [["acme"], moment(JANUARY), moment(FEBRUARY)]
    # and in ClickHouse
    conditions, parameters = scope.clickhouse()
    assert conditions[0] == "customer_id IN %(customers)s"
    assert str(JANUARY) in conditions[1]
    assert str(FEBRUARY) in conditions[2]
    assert conditions[3] == "is_process"
    assert parameters == {"customers": ("acme",)}


def test_conversations_are_those_that_are_no_process() -> None:
    assert Scope(kind="conversation").postgres(customer="c", time="t", process="p")[0] == ["NOT p"]
    assert Scope(kind="conversation").clickhouse()[0] == ["NOT is_process"]


def test_the_document_of_a_scope_has_its_times_in_words() -> None:
    assert Scope(start_us=JANUARY, tables=("score",)).as_json() == {
        "customers": [],
        "from": "2026-01-01T00:00:00+00:00",
        "to": None,
        "kind": "all",
        "tables": ["score"],
    }


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
