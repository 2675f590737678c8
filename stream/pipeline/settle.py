"""Reindex scorecards until ClickHouse holds them where Postgres has them: write, look again, repeat what moved.

Enters: scorecard ids, each with the version to write at. Leaves: rows and delete markers, and the places they were
written to. A live batch uses it for changes of place, a reindex and a repair for everything. The caller decides which
scorecards need it. It refuses no message: a row that ClickHouse cannot hold is withheld, counted and logged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from stream.pipeline.aside import Aside
from stream.pipeline.dead_letter import DeadLetter
from stream.pipeline.ledger import Counts
from stream.pipeline.ordering import above
from stream.pipeline.placement import GONE, Place, State
from stream.pipeline.ports import Retrying, Source, Target, no_retry
from stream.pipeline.reindexer import CHUNK, Reindexer
from stream.pipeline.values import uuid_int
from stream.pipeline.writes import Layout, Writes


class Settler:
    """Makes ClickHouse equal to Postgres for some scorecards.

    Args:
        source: Postgres.
        target: ClickHouse.
        layout: how event times spread over the shards.
        retry: calls each step until it succeeds.
    """

    def __init__(self, *, source: Source, target: Target, layout: Layout, retry: Retrying = no_retry) -> None:
        self._source = source
        self._target = target
        self._layout = layout
        self._retry = retry
        self._reindexer = Reindexer(source=source, target=target, layout=layout, retry=retry)

    def reindex(
        self,
        versions: Mapping[str, int],
        customers: set[str],
        counts: Counts,
        *,
        beside: Writes | None = None,
        aside: dict[str, int] | None = None,
        gone: Collection[str] = (),
    ) -> dict[str, Place]:
        """Write these scorecards as Postgres has them now, and return the places used.

        Args:
            versions: scorecard id -> version to write at.
            customers: customers under which rows may stand, besides the present ones.
            beside: rows that go into the same inserts.
            aside: scorecards with very many scores are left out, and put there.
            gone: scorecards that a look has not found, which saw the changes of these versions. Postgres is not asked
                for them again. One that comes back is found by `confirm`, or has a row of a later version.
        """
        places = self._reindexer(versions, customers, counts, beside=beside, aside=aside, gone=gone)
        counts.reindexed += len(places)
        return places

    def reindex_ordered(
        self,
        versions: dict[str, int],
        customers: set[str],
        counts: Counts,
        *,
        unordered: Collection[str] = (),
        anywhere: Collection[str] = (),
        beside: Writes | None = None,
        aside: dict[str, int] | None = None,
        gone: Collection[str] = (),
    ) -> dict[str, Place]:
        """Reindex scorecards, some of whose messages do not tell the order or the customer.

        Of those ClickHouse is asked what stands. It is asked again afterwards: another batch may have written
        meanwhile, from an older look at Postgres and at a higher version.

        Args:
            versions: raised in place.
            unordered, anywhere: as of Plan.
            gone: as of `reindex`. Of unordered ones a version is met that the look may not have seen.
        """
        unordered, anywhere = set(unordered) & versions.keys(), set(anywhere) & versions.keys()
        if unordered or anywhere:
            self.raise_to_standing(versions, unordered, customers, anywhere=anywhere)
        gone = gone if not unordered else set(gone) - unordered
        used = self.reindex(versions, customers, counts, beside=beside, aside=aside, gone=gone)
        while unordered:
            before = dict(versions)
            self.raise_to_standing(versions, unordered, customers, anywhere=anywhere)
            higher = {i: version for i, version in versions.items() if version > before[i] and i not in (aside or ())}
            if not higher:
                break
            used |= self.reindex(higher, customers, counts, aside=aside)
        return used

    def finish(self, aside: Aside, counts: Counts, *, still_mine: Callable[[], bool]) -> list[DeadLetter]:
        """Reindex what a batch left aside, and confirm it; `still_mine` as of `Pipeline.process`.

        Returns:
            Dead letters that tell of it, to be sent before the offsets are committed.
        """
        versions, customers = aside.versions, aside.customers
        places = self.reindex_ordered(
            versions, customers, counts, unordered=aside.unordered, anywhere=aside.anywhere, gone=aside.gone
        )
        self.confirm(places, versions, customers, counts)
        if not still_mine():
            self.rewrite(versions, customers, counts)
        elif aside.again:
            self.undo(versions, customers, counts)
        return [later.tell(places, counts.withheld) for later in aside.letters]

    def raise_to_standing(
        self, versions: dict[str, int], ids: Collection[str], customers: set[str], *, anywhere: Collection[str] = ()
    ) -> None:
        """Raise the versions of these scorecards to the highest that stands of each, before they are reindexed.

        The change of that version was committed before it was processed, so a later snapshot holds it. Written just
        above that version, the snapshot wins over the rows that stand, and loses against every later change.

        Args:
            versions: scorecard id -> version to write at; raised in place.
            ids: scorecards whose message does not tell the order.
            customers: customers under which rows may stand; others that are met are added.
            anywhere: scorecards of which rows may stand under any other customer.
        """
        ids, anywhere = set(ids), set(anywhere)
        for wanted, far in ((sorted(ids - anywhere), False), (sorted(anywhere), True)):
            for start in range(0, len(wanted), CHUNK):
                chunk = wanted[start : start + CHUNK]
                places = self._retry(partial(self._source.places, chunk))
                customers |= {place.customer_id for place in places.values()}
                under = None if far else sorted(customers)
                by_int = {uuid_int(scorecard_id): scorecard_id for scorecard_id in chunk}
                for found in self._retry(partial(self._target.standing_places, chunk, under)):
                    scorecard_id = by_int[found.scorecard_id]
                    customers.add(found.customer_id)
                    if scorecard_id in ids and found.version > versions[scorecard_id]:
                        versions[scorecard_id] = above(found.version)

    def confirm(
        self,
        places: dict[str, Place],
        versions: Mapping[str, int],
        customers: set[str],
        counts: Counts,
        *,
        rounds: int | None = None,
    ) -> bool:
        """Look the places up again, and settle what moved since they were used.

        Args:
            places: the places that were used; a moved scorecard's place is replaced by its new one.
            rounds: the most rounds of `settle`; None: until nothing moves.

        Returns:
            False when `rounds` were not enough.
        """
        now = self._retry(partial(self._source.places, list(places)))
        moved = {i: versions[i] for i, place in places.items() if now.get(i, GONE) != place}
        return not moved or self.settle(moved, places, now, customers, counts, rounds=rounds)

    def settle(
        self,
        versions: Mapping[str, int],
        places: dict[str, Place],
        now: Mapping[str, Place],
        customers: set[str],
        counts: Counts,
        *,
        rounds: int | None = None,
    ) -> bool:
        """Reindex moved scorecards until nothing moves.

        Args:
            places: where these scorecards were written; replaced by where they are written now.
            now: where Postgres has them.
            customers: customers that are met on the way are added.

        Returns:
            False when a scorecard still moved after `rounds` rounds.
        """
        while versions:
            if rounds is not None and (rounds := rounds - 1) < 0:
                return False
            counts.moved += len(versions)
            customers |= {where.get(i, GONE).customer_id for where in (places, now) for i in versions}
            places |= self.reindex(versions, customers, counts)
            now = self._retry(partial(self._source.places, list(versions)))
            versions = {i: versions[i] for i in versions if now.get(i, GONE) != places[i]}
        return True

    def rewrite(self, versions: Mapping[str, int], customers: set[str], counts: Counts) -> None:
        """Reindex and confirm scorecards that a worker wrote while it no longer owned the partitions."""
        if versions:
            self.confirm(self.reindex(versions, customers, counts), versions, customers, counts)

    def undo(self, versions: Mapping[str, int], customers: set[str], counts: Counts) -> None:
        """Reindex those of these scorecards that have rows where they do not belong.

        A worker that crashed before it confirmed may have left such rows in a place that was retired meanwhile.
        """
        strays = self._strays(list(versions)) if versions else set()
        customers |= {customer_id for _, customer_id in strays}
        self.rewrite({scorecard_id: versions[scorecard_id] for scorecard_id, _ in strays}, customers, counts)

    def undo_left(self, versions: Collection[int], known: Collection[str], counts: Counts) -> None:
        """Reindex scorecards that a crashed worker wrote for these conversations, and that have left them since.

        No message of the conversation names a scorecard that was deleted or given to another conversation meanwhile.
        But a row written for a conversation's change has that change's version, and no other row has it.

        Args:
            versions: versions of the conversations' changes.
            known: scorecards that were reindexed already.
        """
        found: dict[str, int] = {}
        customers: set[str] = set()
        numbers = {uuid_int(scorecard_id) for scorecard_id in known}
        for scorecard_id, customer_id, version in self._retry(partial(self._target.written, versions)):
            if uuid_int(scorecard_id) not in numbers:
                found[scorecard_id] = max(version, found.get(scorecard_id, 0))
                customers.add(customer_id)
        if found:
            spelled = self._retry(partial(self._source.spelled, list(found)))
            self.rewrite(dict(zip(spelled, found.values(), strict=True)), customers, counts)

    def _strays(self, ids: Sequence[str]) -> set[tuple[str, str]]:
        """(scorecard id, customer id) of rows that stand where they do not belong, under any customer."""
        by_int = {uuid_int(scorecard_id): scorecard_id for scorecard_id in ids}
        stands = {
            (by_int[found.scorecard_id], found.customer_id, found.shard, found.event_time_us)
            for found in self._retry(partial(self._target.standing_places, ids, None))
        }
        # The look-up comes after the rows were read. A move in between is reindexed once too often, never too seldom.
        places = self._retry(partial(self._source.places, ids))
        for scorecard_id, place in places.items():
            if place.state == State.VISIBLE and place.event_time_us is not None:
                at = place.event_time_us
                stands.discard((scorecard_id, place.customer_id, self._layout.shard(at), at))
        return {(scorecard_id, customer_id) for scorecard_id, customer_id, *_ in stands}
