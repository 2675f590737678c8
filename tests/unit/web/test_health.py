"""Health: which checks make a process live and ready, and what a probe reads."""

from __future__ import annotations

import pytest

from stream.web.health import Health, HealthCheck, report

GOOD, BAD = HealthCheck("kafka", ok=True, reason="answers"), HealthCheck("group", ok=False, reason="no partitions yet")


@pytest.mark.parametrize(
    ("health", "live", "ready"),
    [
        (Health(), True, True),
        (Health(live=(GOOD,), ready=(GOOD, BAD)), True, False),
        (Health(live=(GOOD, BAD), ready=(GOOD,)), False, False),
    ],
)
def test_a_process_that_is_not_live_is_not_ready(health: Health, live: bool, ready: bool) -> None:
    assert (health.is_live, health.is_ready) == (live, ready)


def test_a_probe_names_every_check_with_its_reason() -> None:
    assert report((GOOD, BAD)) == {
        "ok": False,
        "checks": {"kafka": {"ok": True, "reason": "answers"}, "group": {"ok": False, "reason": "no partitions yet"}},
    }
