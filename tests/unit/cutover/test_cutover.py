"""In which order an exchange goes."""

from types import SimpleNamespace

import pytest

from stream.cutover.cutover import Cut, _catch_up, _exchange
from stream.errors import ClickHouseUnavailable, ScorestreamError


class Lock:
    """The lock on the live tables, held or lost."""

    def __init__(self, *, lost=False):
        self._lost = lost

    def check(self):
        return {0} if self._lost else set()


class Steps:
    """Tables and follower in one, which record the calls."""

    def __init__(self, *, fails_at=""):
        self.done = []
        self.positions = {}
        self._fails_at = fails_at

    def __getattr__(self, name):
        def step(*arguments, **_options):
            self.done.append((name, *(a for a in arguments if isinstance(a, str))))
            if name == self._fails_at:
                raise ClickHouseUnavailable("away")
            return 0

        return step


def test_the_replaced_tables_are_followed_from_where_live_was_before_the_exchange():
    # given tables that live has filled up to what it has committed, and no further
    steps = Steps()
    _exchange(steps, steps, Cut("r", "live", "green", back=False), {}, Lock())
    # then the group begins there next, and that is settled before names change: a crash in between loses nothing
    assert steps.done == [
        ("hold", "live"),
        ("ends",),
        ("to",),
        ("begin_next_at_live",),
        ("exchange",),
        ("let_go", "live", "green"),
    ]


@pytest.mark.parametrize("step", ["to", "begin_next_at_live", "exchange"])
def test_whatever_fails_live_is_let_go(step):
    steps = Steps(fails_at=step)
    with pytest.raises(ClickHouseUnavailable):
        _exchange(steps, steps, Cut("r", "live", "green", back=False), {}, Lock())
    assert steps.done[-1] == ("let_go", "live", "green")


def test_a_cutover_that_lost_its_lock_exchanges_nothing_and_lets_live_go():
    steps = Steps()
    with pytest.raises(ScorestreamError, match="nothing was exchanged"):
        _exchange(steps, steps, Cut("r", "live", "green", back=False), {}, Lock(lost=True))
    assert "exchange" not in {each[0] for each in steps.done}
    assert steps.done[-1] == ("let_go", "live", "green")


class Rounds:
    """A follower whose rounds take these times, by a clock of its own; the last one again and again."""

    def __init__(self, monkeypatch, *took_s, rests_s=0.0):
        self._left, self.now = list(took_s), 0.0
        self._rests_s, self.rested_s = rests_s, 0.0  # in each round, for live's sake
        self.done = 0
        self.rested: list[float] = []
        monkeypatch.setattr(
            "stream.cutover.cutover.time", SimpleNamespace(monotonic=lambda: self.now, sleep=self._rest)
        )

    def _rest(self, seconds):
        self.rested.append(seconds)
        self.now += seconds

    def ends(self):
        return {}

    def to(self, _):
        self.now += self._left.pop(0) if len(self._left) > 1 else self._left[0]
        self.now += self._rests_s
        self.rested_s += self._rests_s
        self.done += 1
        return 10


def test_catching_up_ends_with_the_first_round_that_is_short(monkeypatch):
    rounds, cut = Rounds(monkeypatch, 12.0, 3.0, 0.5, 0.1, 9.0), Cut("r", "live", "green", back=False)
    _catch_up(rounds, cut)
    assert (rounds.done, cut.caught_up) == (4, 40)


def test_rounds_that_get_no_shorter_will_do_when_live_can_wait_for_one(monkeypatch):
    rounds = Rounds(monkeypatch, 9.0, 2.0, 1.2, 1.1, 0.1)
    _catch_up(rounds, Cut("r", "live", "green", back=False))
    assert (rounds.done, rounds.rested) == (4, [])


def test_long_rounds_that_get_no_shorter_leave_live_its_time(monkeypatch):
    rounds = Rounds(monkeypatch, 5.0, 4.5, 3.0, 2.5, 1.0, 0.9)
    _catch_up(rounds, Cut("r", "live", "green", back=False))
    assert (rounds.done, rounds.rested) == (6, [4.5, 2.5])


def test_what_a_round_rests_for_lives_sake_is_not_its_length(monkeypatch):
    # given rounds that rest for longer than live can be held back, which they will not do then
    rounds = Rounds(monkeypatch, 3.0, 0.2, rests_s=5.0)
    _catch_up(rounds, Cut("r", "live", "green", back=False))
    assert rounds.done == 2


def test_a_shadow_that_does_not_catch_up_is_refused_with_the_way_out(monkeypatch):
    rounds = Rounds(monkeypatch, 6.0)
    with pytest.raises(
        ScorestreamError, match=r"still takes 6.0 s; nothing was exchanged. Run `scorestream cutover r`"
    ):
        _catch_up(rounds, Cut("r", "live", "green", back=False))
