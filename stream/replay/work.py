"""One batch of a replay: select -> pipeline. Each thread has clients of its own.

Enters: stretches of one topic, and which pass it is. Leaves: the counts of the batch, when all of it is in ClickHouse
and confirmed. Commits nothing.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate, chain
from typing import Protocol

from stream import metrics
from stream.kafka.log_reader import Stretch
from stream.kafka.topic_partition import TP
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.pipeline.late import Newest
from stream.pipeline.ledger import Outcome
from stream.pipeline.pipeline import Pipeline
from stream.pipeline.placement import Place
from stream.pipeline.ports import Retrying
from stream.pipeline.record import record
from stream.replay.choose import PlaceSource, by_filter, by_key, by_place, chooser, keep
from stream.replay.plan import PassKind, ReplayPlan
from stream.replay.tally import Worked
from stream.scope import Scope
from stream.tables import SCORE


class ThreadStores(Protocol):
    """Stores of one thread, as stream/wiring.py opens them."""

    @property
    def source(self) -> PlaceSource: ...
    @property
    def retry(self) -> Retrying: ...
    def pipeline(
        self,
        table: str,
        *,
        keep: Callable[[Place], bool] | None,
        in_order: bool,
        guard: DeadLetterGuard | None,
        newest: Newest,
        letters: bool,
    ) -> Pipeline: ...
    def close(self) -> None: ...


# Opens the clients of one thread. The event ends their retries; the database is another than the live one, or None.
OpenClients = Callable[[threading.Event, str | None], ThreadStores]


class Work:
    """Processes batches, from several threads at once; `close` it when none is under way.

    Args:
        clients: opens the clients of one thread, which `close` closes.
        in_order: as in Pipeline.
        still_mine: asked at the end of each batch (see Pipeline.process).
        guard: makes a guard of the dead letters for each thread; it is asked before a batch's letters are produced.
    """

    def __init__(
        self,
        clients: Callable[[], ThreadStores],
        plan: ReplayPlan,
        *,
        still_mine: Callable[[Sequence[Stretch]], bool] = lambda _: True,
        in_order: bool = False,
        guard: Callable[[], DeadLetterGuard | None] = lambda: None,
    ) -> None:
        self._open = clients
        self._plan = plan
        self._still_mine = still_mine
        self._in_order = in_order
        self._guard = guard
        self._newest = Newest()  # of all threads
        self._own = threading.local()
        self._all: list[ThreadStores] = []
        self._lock = threading.Lock()

    def __call__(self, table: str, stretches: Sequence[Stretch], kind: PassKind) -> Worked:
        """Process messages of one table. On return their offsets may be committed."""
        clients = self._clients()
        whole = sum(len(stretch) for stretch in stretches)
        worked = Worked(whole)
        chosen = self._select(clients, table, stretches, kind)
        worked.matched = sum(len(stretch) for stretch in chosen)
        if worked.matched:
            done = self._pipeline(clients, table, kind).process(
                chosen, still_mine=partial(self._still_mine, stretches), old=self._plan.into is None
            )
            record(done, mode="replay")
            worked.dead_letters = sum(done.refused.values())
            worked.rows = done.rows
            worked.outcomes = {outcome.value: count for outcome, count in done.ledger.totals().items()}
            worked.stages = done.stages
        if whole > worked.matched:
            ignored = Outcome.IGNORED.value
            worked.outcomes[ignored] = worked.outcomes.get(ignored, 0) + whole - worked.matched
            topic = stretches[0].topic
            metrics.CONSUMED.labels("replay", topic).inc(whole - worked.matched)
            metrics.OUTCOME.labels("replay", topic, ignored).inc(whole - worked.matched)
        return worked

    def begin(self, offsets: Mapping[TP, int], reached: Mapping[TP, int]) -> None:
        """Partitions are read from these offsets on. `reached`: the highest version before each, where it is known."""
        for tp, offset in offsets.items():
            self._newest.start(tp, offset, reached.get(tp, 0))

    def close(self) -> None:
        for clients in self._all:
            clients.close()

    def _select(
        self, clients: ThreadStores, table: str, stretches: Sequence[Stretch], kind: PassKind
    ) -> Sequence[Stretch]:
        wanted = self._plan.scope
        if kind == "tail":
            values = list(chain.from_iterable(stretch.values for stretch in stretches))
            return subset(stretches, by_place(table, values, wanted.customers))
        if (choose := chooser(wanted, clients.source)) is None:
            return stretches

        def chosen(ids: Sequence[str]) -> set[str]:
            return clients.retry(lambda: choose(ids))

        if table == SCORE.source:
            keys = list(chain.from_iterable(stretch.keys for stretch in stretches))
            if (indexes := by_key(keys, chosen)) is not None:
                return subset(stretches, indexes)
        values = list(chain.from_iterable(stretch.values for stretch in stretches))
        return subset(stretches, by_filter(table, values, wanted, chosen))

    def _pipeline(self, clients: ThreadStores, table: str, kind: PassKind) -> Pipeline:
        pipelines: dict[tuple[str, bool], Pipeline] = self._own.pipelines
        key = table, kind == "tail"
        if key not in pipelines:
            wanted = self._plan.scope
            if kind == "tail":
                # The filter chose scorecards and chats by the customer that they name. One that left the filter must
                # leave its old place, too. Scores name no customer.
                wanted = wanted.of_customers() if table == SCORE.source else Scope()
            pipelines[key] = clients.pipeline(
                table,
                keep=keep(wanted),
                in_order=self._in_order,
                guard=self._own.guard,
                newest=self._newest,
                letters=kind != "tail",  # the pass before it, or live, refuses the same messages
            )
        return pipelines[key]

    def _clients(self) -> ThreadStores:
        if not hasattr(self._own, "clients"):
            self._own.clients = self._open()
            self._own.pipelines = {}
            self._own.guard = self._guard()
            with self._lock:
                self._all.append(self._own.clients)
        clients: ThreadStores = self._own.clients
        return clients


def subset(stretches: Sequence[Stretch], indexes: Sequence[int]) -> list[Stretch]:
    """The chosen messages, counted over all stretches; stretches without any are left out."""
    starts = [0, *accumulate(len(stretch) for stretch in stretches)]
    chosen: dict[int, list[int]] = {}
    for index in indexes:
        at = bisect_right(starts, index) - 1
        chosen.setdefault(at, []).append(index - starts[at])
    return [stretches[at].only(wanted) for at, wanted in chosen.items()]
