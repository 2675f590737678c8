"""Without REPLICA IDENTITY FULL an update of a scorecard has no before-image, and a delete has one of the key alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stream.tables import SCORECARD
from tests.unit.pipeline.bench import CARD, FEBRUARY, Bench


def _update(**values: Any) -> Callable[[Bench], None]:
    return lambda bench: bench.postgres.update("scorecards", CARD, **values)


CHANGES: dict[str, list[Callable[[Bench], None]]] = {
    "another customer": [_update(customer_id="globex")],
    "another customer, as an appeal": [_update(customer_id="globex", scorecard_type=2)],
    "another customer, then deleted": [_update(customer_id="globex"), lambda b: b.postgres.delete("scorecards", CARD)],
    "two customers in a row": [_update(customer_id="globex"), _update(customer_id="third")],
    "another customer, then another text": [_update(customer_id="globex"), _update(comment="second")],
    "another time": [_update(scorecard_time=FEBRUARY)],
    "an appeal": [_update(scorecard_type=2)],
    "deleted": [lambda bench: bench.postgres.delete("scorecards", CARD)],
}


@pytest.mark.parametrize("name", list(CHANGES))
@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one after another"])
def test_no_row_stands_under_the_customer_that_the_message_does_not_name(
    bench: Bench, name: str, at_once: bool
) -> None:
    # given a table that gives no old rows
    bench.debezium.full["scorecards"] = False
    # when a scorecard changes, then its rows stand where Postgres has them, and nowhere else
    for change in CHANGES[name]:
        change(bench)
        if not at_once:
            bench.live()
    bench.check()


def test_a_whole_before_image_costs_no_look_under_all_customers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a table that gives old rows
    asked: list[Any] = []
    standing = bench.target.standing
    monkeypatch.setattr(
        bench.target, "standing", lambda ids, under, **more: asked.append(under) or standing(ids, under, **more)
    )
    # when a scorecard moves to another customer
    bench.postgres.update("scorecards", CARD, customer_id="globex")
    bench.check()
    # then only the customers that its images name are asked for
    assert asked
    assert None not in asked
    assert len(bench.target.visible(SCORECARD)) == 1


def test_a_refused_delete_names_no_customer(bench: Bench) -> None:
    # given a delete without the old row, which is refused for another reason: it has no key
    bench.debezium.full["scorecards"] = False
    bench.postgres.delete("scorecards", CARD)
    batch = bench.batch("scorecards")
    batch.messages = [replace(message, key=None) for message in batch.messages]
    # when it is processed, then nothing stands any more
    bench.process(batch)
    assert len(bench.dead_letters.letters) == 1
    bench.check()
