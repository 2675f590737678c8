"""Live first: when a replay slows down, and how it comes back."""

from collections import deque

import pytest

from stream.kafka.topic_partition import TP
from stream.replay.live_watch import Looked, lag_s
from stream.replay.throttle import Throttle, ThrottleLimits, reason

LIMITS = ThrottleLimits(live_lag_s=3, parts=100, errors_per_minute=3, least_per_s=500)


def test_nothing_above_its_limit_is_no_reason():
    assert reason(Looked(live_lag_s=3, parts=100, errors=2), LIMITS) == ""


def test_each_reason_names_what_is_above_and_the_limit():
    assert reason(Looked(live_lag_s=4.2), LIMITS) == "live is 4.2 s behind (limit 3 s)"
    assert "101 active parts" in reason(Looked(parts=101), LIMITS)
    assert "3 errors" in reason(Looked(errors=3), LIMITS)


def test_it_shrinks_at_each_look_down_to_the_least_and_comes_back():
    throttle = Throttle(LIMITS)
    throttle.look(Looked(live=False), present_per_s=0)
    assert throttle.allowed_per_s is None
    throttle.look(Looked(live_lag_s=9), present_per_s=30_000)
    assert throttle.allowed_per_s == 20_000
    for _ in range(20):
        throttle.look(Looked(live_lag_s=9), present_per_s=20_000)
    assert throttle.allowed_per_s == 500
    assert throttle.why
    throttle.look(Looked(), present_per_s=500)
    assert throttle.allowed_per_s == pytest.approx(550)
    assert throttle.why == ""


@pytest.mark.parametrize(
    ("allowed", "batch"),
    [(10, 100), (300, 600), (500, 1_000), (2_000, 1_000), (10_000, 5_000), (100_000, 20_000), (None, 20_000)],
)
def test_a_batch_is_half_a_second_of_what_is_allowed_but_not_few_rows(allowed, batch):
    throttle = Throttle(LIMITS, ceiling_per_s=allowed)
    throttle.look(Looked(live=False), present_per_s=0, ceiling_per_s=allowed)
    assert throttle.allowed_per_s == allowed
    assert throttle.batch(20_000) == batch


def test_a_ceiling_holds_and_changes():
    now = [0.0]
    throttle = Throttle(LIMITS, ceiling_per_s=1000, clock=lambda: now[0])
    assert throttle.room(10_000) == 0
    now[0] = 0.1
    assert throttle.room(10_000) == 100
    throttle.took(100)
    assert throttle.room(10_000) == 0
    now[0] = 10
    assert throttle.room(10_000) == 200  # a fifth of a second's worth, however long nothing was taken
    throttle.look(Looked(live_lag_s=9), present_per_s=900, ceiling_per_s=1000)
    throttle.look(Looked(), present_per_s=450, ceiling_per_s=None)
    assert throttle.allowed_per_s == pytest.approx(660)


def test_beside_a_live_worker_it_begins_slowly_and_grows():
    throttle = Throttle(LIMITS)
    for expected in (2_500, 3_125, 3_906.25):
        throttle.look(Looked(), present_per_s=100)
        assert throttle.allowed_per_s == expected
    for _ in range(20):
        throttle.look(Looked(), present_per_s=60_000)
    assert throttle.allowed_per_s is None
    # from then on it speeds up step by step
    throttle.look(Looked(live_lag_s=9), present_per_s=60_000)
    throttle.look(Looked(), present_per_s=30_000)
    assert throttle.allowed_per_s == pytest.approx(44_000)


def test_what_is_too_fast_ends_the_beginning():
    throttle = Throttle(LIMITS)
    throttle.look(Looked(), present_per_s=0)
    throttle.look(Looked(live_lag_s=9), present_per_s=2_000)
    throttle.look(Looked(), present_per_s=1_000)
    assert throttle.allowed_per_s == pytest.approx(2_000 / 1.5 * 1.1)


def test_a_ceiling_holds_from_the_beginning():
    throttle = Throttle(LIMITS, ceiling_per_s=5_000)
    assert throttle.allowed_per_s == 2_000
    for _ in range(6):
        throttle.look(Looked(), present_per_s=0, ceiling_per_s=5_000)
    assert throttle.allowed_per_s == 5_000


def test_lag_is_the_age_of_the_oldest_end_that_is_not_committed():
    a, b = TP("t", 0), TP("t", 1)
    looks = deque([(10.0, {a: 5, b: 0}), (11.0, {a: 8, b: 0}), (12.0, {a: 9, b: 4})])
    assert lag_s(looks, {a: 9, b: 4}, 12.5) == 0.0
    assert lag_s(looks, {a: 5, b: 4}, 12.5) == 1.5
    assert lag_s(looks, {a: 9, b: 0}, 12.5) == 0.5
    assert lag_s(looks, {b: 4}, 12.5) == 0.0  # a partition without a committed offset
