"""The screen of `scorestream lag`, from made-up situations."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from stream.monitor.customers import CustomerLag, Customers
from stream.monitor.diagnosis import findings, freshness, headline
from stream.monitor.document import state
from stream.monitor.screen import page
from tests.unit.monitor.situations import NOW, situations

SITUATIONS = situations()


def document(name: str) -> dict[str, Any]:
    readings = SITUATIONS[name]
    found, how = findings(readings), freshness(readings)
    return state(readings, found, headline(readings, found, how), how) | {"from": "this command"}


def shown(name: str, *, everything: bool = False) -> str:
    return printed(document(name), everything=everything)


def printed(found: dict[str, Any], *, everything: bool = False) -> str:
    out = StringIO()
    Console(file=out, width=160, force_terminal=False).print(page(found, everything=everything))
    return out.getvalue()


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_situation_can_be_shown(name: str) -> None:
    text = shown(name)
    assert document(name)["headline"]["title"].upper() in text
    assert "answered by this command" in text


def test_partitions_without_lag_are_counted_and_shown_on_demand() -> None:
    assert "all 48 partitions: nothing waits" in shown("fresh")
    assert shown("fresh", everything=True).count("scores-") >= 16


def test_a_stalled_partition_stands_first_with_its_holder() -> None:
    lines = [line for line in shown("stall").splitlines() if line.startswith("scores-7")]
    assert "STALL" in lines[-1]
    assert "10.0.0.7" in lines[-1]


def test_customers_are_shown_when_they_are_asked_for() -> None:
    asked = {"customers_asked": True}
    late = Customers(NOW, (CustomerLag("acme", 300.0, 12),), 40.0)
    assert "acme" not in printed(document("fresh") | {"customers": late.as_json()})
    text = printed(document("fresh") | asked | {"customers": late.as_json()})
    assert "acme" in text
    assert "1 customers; complete for those later than 40 s" in text
    assert "no later than 40 s" in printed(document("fresh") | asked | {"customers": late.of(["globex"]).as_json()})
    assert "nobody is seen to be later than 1 s" in printed(
        document("fresh") | asked | {"customers": Customers(NOW).as_json()}
    )
