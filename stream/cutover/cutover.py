"""Cutover: a replay's shadow tables take the place of the live ones, without a hole for readers; and back.

    catch up -> verify -> catch up -> hold live's writes -> catch up to the end -> exchange -> let go -> tail

The shadow must have all that live has shown at the moment of the exchange, or readers would see rows vanish. So live's
inserts are refused for that moment (as "too many parts", which live retries). Live's earlier rows came from messages
before the log's end, which is read then. The shadow is brought to that end. docs/guides/replay.md lists the faults in
between.

Both databases keep their names; the tables change theirs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from stream.clickhouse.schema.look import check_marks
from stream.clickhouse.shards import Shards
from stream.cutover.checks import check, old_database
from stream.cutover.follower import Follower, ShadowCaughtUp
from stream.cutover.shadow_tables import Chosen, ShadowTables
from stream.errors import ScorestreamError, UsageError
from stream.kafka.topic_partition import TP
from stream.postgres.lock import LockSpace
from stream.replay.state import Replay, ReplayTopic
from stream.scope import Scope
from stream.stores import Stores
from stream.verify.verified import Verified
from stream.verify.verifier import Verifier

log = logging.getLogger(__name__)

_LIVE = 0  # the lock's number
_SHORT_S = 0.3  # a round of catching up that is this short is the last before writes are held back
_LONGEST_S = 2.0  # so is a round of up to this length when rounds get no shorter; live then waits this long
_SHORTER = 0.8  # share of the round before; a longer round did not get shorter
_REST_S = 1.0  # the least rest before longer rounds are tried again
_PATIENCE_S = 90.0
_LET_GO_S = 60.0  # how long an unreachable shard is retried until it lets inserts through again
Say = Callable[[str], None]
Follow = Callable[..., Follower]  # of a plan; stream/cutover/follower.py has the options


@dataclass(slots=True)
class Cut:
    """The result of a cutover."""

    name: str
    database: str
    old: str  # the database that holds the replaced tables
    back: bool
    caught_up: int = 0  # messages
    verified: Verified | None = None
    held_s: float = 0.0  # how long live's writes were held back
    exchange_s: float = 0.0
    tail: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "database": self.database,
            "old": self.old,
            "back": self.back,
            "caught_up": self.caught_up,
            "verified": None if self.verified is None else self.verified.clean,
            "rows": None if self.verified is None else self.verified.rows,
            "held_s": round(self.held_s, 3),
            "exchange_s": round(self.exchange_s, 3),
            "tail": self.tail,
        }


def cutover(
    stores: Stores,
    follow: Follow,
    name: str,
    *,
    back: bool = False,
    wait: bool = True,
    say: Say = lambda _: None,
) -> Cut:
    """Exchange the live tables and the shadow's.

    Args:
        stores: shards with the live database.
        follow: makes a follower over these stores.
        back: exchange them back, without verify: the old tables catch up and take their place again.
        wait: wait for the connector before verify: Kafka must have all that Postgres had.

    Raises:
        UsageError: the exchange is impossible; the text names the way out. Nothing was exchanged.
    """
    with ReplayTopic(stores.broker) as topic, _alone(stores) as lock:
        replay = topic.get(name)
        shadow = check(replay, back=back)
        tables = _tables(stores.shards, shadow)
        with follow(replay.plan, database=shadow) as follower:
            cut = Cut(name, stores.shards.database, shadow, back)
            tables.remember(_chosen_before(topic))
            tables.let_go(cut.database, shadow)  # tables of a cutover that died
            if _end_the_exchange(follow, tables, replay, cut, since=dict(follower.positions)):
                _keep(topic, cut)
                return cut
            before = tables.uuids(cut.database)
            chosen = tables.chosen(cut.database)
            tables.remember(chosen)
            topic.put({f"{name}/note/cutover": {"state": "begun", "back": back, "before": before, "chosen": chosen}})
            say("catching up to live")
            _catch_up(follower, cut)
            if not back:
                say("comparing the shadow with Postgres")
                cut.verified = _verify(stores, shadow, follower, wait=wait)
                _refuse_differences(cut.verified, name, shadow)
                _catch_up(follower, cut)
            say("exchanging the tables")
            reached = _exchange(tables, follower, cut, before, lock)
            _keep(topic, cut)
        say("applying what came meanwhile")
        _tail(follow, replay, reached, cut)
    return cut


def drop_old(stores: Stores, name: str) -> str:
    """Drop the tables that a cutover replaced; returns their database.

    Raises:
        UsageError: there was no cutover, or it was taken back: the shadow's name would not hold the old tables.
    """
    with ReplayTopic(stores.broker) as topic, _alone(stores):
        old = old_database(topic.get(name))
        _tables(stores.shards, old).drop(old)
        topic.put({f"{name}/note/cutover": {"state": "dropped", "at_ms": int(time.time() * 1000)}})
        return old


def _chosen_before(topic: ReplayTopic) -> Chosen:
    """What operators had set before the holds of cutovers that died."""
    notes = [replay.notes.get("cutover", {}) for replay in topic.refresh().values()]
    return {uuid: chosen for note in notes for uuid, chosen in note.get("chosen", {}).items()}


def _keep(topic: ReplayTopic, cut: Cut) -> None:
    note = {"state": "back" if cut.back else "done", "at_ms": int(time.time() * 1000), "cut": cut.as_json()}
    topic.put({f"{cut.name}/note/cutover": note})


def _catch_up(follower: Follower, cut: Cut) -> None:
    """Catch up round after round, until rounds get no shorter. The last one, with writes held back, takes as long.

    Each round processes the messages that came in the one before. Rounds take CPU from live, which is then late. So the
    rounds end soon, or rest for as long as they took.

    Raises:
        ScorestreamError: the rounds stay long, since messages come as fast as they are processed.
    """
    give_up_at, before_s = time.monotonic() + _PATIENCE_S, float("inf")
    while True:
        began, rested_s = time.monotonic(), follower.rested_s
        cut.caught_up += follower.to(follower.ends())
        took_s = time.monotonic() - began - (follower.rested_s - rested_s)  # with live held back it does not rest
        log.info("caught up", extra={"took_s": took_s})
        shortest = took_s > _SHORTER * before_s
        if took_s <= _SHORT_S or (shortest and took_s <= _LONGEST_S):
            return
        if time.monotonic() > give_up_at:
            raise ScorestreamError(
                f"the shadow does not catch up: after {_PATIENCE_S:.0f} s what comes in a round still takes "
                f"{took_s:.1f} s; nothing was exchanged. Run `scorestream cutover {cut.name}` again when less is "
                "written"
            )
        if shortest:
            time.sleep(max(_REST_S, took_s))
        before_s = took_s


def _verify(stores: Stores, shadow: str, follower: Follower, *, wait: bool) -> Verified:
    with Shards(stores.shards.settings, database=shadow, patient=True) as shards:
        caught_up = ShadowCaughtUp(stores.broker, stores.postgres, follower, wait=wait)
        return Verifier(replace(stores, shards=shards), caught_up=caught_up).run(Scope())


def _refuse_differences(found: Verified, name: str, shadow: str) -> None:
    if found.clean:
        return
    if found.lagging:
        raise UsageError(f"the shadow {shadow} cannot be verified: {found.lagging}; nothing was exchanged")
    raise UsageError(
        f"the shadow {shadow} differs from Postgres in {found.wrong:,} rows ({found.not_comparable:,} scorecards not "
        f"comparable yet); nothing was exchanged. See `scorestream verify --database {shadow}`, repair it there "
        f"(--repair), then `scorestream cutover {name}` again"
    )


def _exchange(
    tables: ShadowTables, follower: Follower, cut: Cut, before: dict[str, str], lock: LockSpace
) -> dict[TP, int]:
    """Hold back, catch up, exchange, let go; returns the positions up to which the new tables are complete."""
    held_at = time.monotonic()
    tables.hold(cut.database)
    try:
        # The ends are read after live's writes are refused. So live's rows, written or still to come, are from before
        # them.
        refused_s = time.monotonic() - held_at
        cut.caught_up += follower.to(follower.ends(), at_once=True)
        caught_up_s = time.monotonic() - held_at - refused_s
        # Commit before the exchange: to begin too early is harmless, to begin too late leaves rows out.
        follower.begin_next_at_live()
        if lock.check():
            raise ScorestreamError(
                "the lock on the live tables was lost with its connection to Postgres, and another cutover may be "
                f"under way; nothing was exchanged. Run `scorestream cutover {cut.name}` again"
            )
        began = time.monotonic()
        tables.exchange(before)
        cut.exchange_s = time.monotonic() - began
    finally:
        # The name of the held tables now depends on whether the exchange happened.
        tables.let_go(cut.database, cut.old, patience_s=_LET_GO_S)
        cut.held_s = time.monotonic() - held_at
    # The rest of the time goes to the commit of the next start, and to letting go.
    took = {"held_s": cut.held_s, "refused_s": refused_s, "caught_up_s": caught_up_s, "exchange_s": cut.exchange_s}
    log.info("exchanged", extra=took)
    return dict(follower.positions)


def _tail(follow: Follow, replay: Replay, reached: dict[TP, int], cut: Cut) -> None:
    """Apply deletes and changes of place that live processed across the exchange: it may have read the old tables."""
    with follow(replay.plan, database=cut.database, kind="tail", since=reached) as tail:
        cut.tail = tail.to(tail.ends())


def _end_the_exchange(follow: Follow, tables: ShadowTables, replay: Replay, cut: Cut, *, since: dict[TP, int]) -> bool:
    """Complete a cutover that died between two shards: exchange the rest, then give the new tables all they may lack.

    Args:
        since: the group's committed offsets.
    """
    note = replay.notes.get("cutover", {})
    if note.get("state") != "begun" or note.get("back") != cut.back:
        return False
    before = dict(note["before"])
    # This cutover exchanged the tables when the former live ones stand under the shadow's name. Other live tables prove
    # nothing: another replay may have been cut over since.
    if not tables.exchanged(before):
        return False
    began = time.monotonic()
    tables.exchange(before)
    cut.exchange_s = time.monotonic() - began
    # The group's offsets are those of the replaced tables already, and stay. The new tables lack no more than those.
    with follow(replay.plan, database=cut.database, since=since) as follower:
        cut.caught_up += follower.to(follower.ends())
    return True


@contextmanager
def _alone(stores: Stores) -> Iterator[LockSpace]:
    """Hold the lock of these live tables: cutovers of different replays would release each other's hold."""
    name = f"scorestream cutover {stores.broker.topics.prefix}/{stores.shards.database}"
    with LockSpace(stores.postgres, name, what="lock of the cutover") as lock:
        if not lock.claim(_LIVE):
            raise UsageError(
                f"a cutover of the live tables in {stores.shards.database} is under way already; wait for its end"
            )
        yield lock


def _tables(shards: Shards, shadow: str) -> ShadowTables:
    check_marks(shards)
    check_marks(shards.of(shadow))
    return ShadowTables(shards, live=shards.database, shadow=shadow, cluster=shards.settings.cluster)
