"""What a cutover would do: `scorestream cutover --dry-run`.

Enters: the replay's name. Leaves: what would be exchanged or dropped, or the refusal that the cutover itself would
meet. Reads only, and takes no lock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from stream.clickhouse.schema.look import check_marks
from stream.cutover.checks import check, old_database
from stream.replay.state import ReplayTopic
from stream.stores import Stores

Act = Literal["exchange", "exchange back", "drop"]


@dataclass(frozen=True, slots=True)
class Outlook:
    """`database` stands under the live name, `other` is the shadow, or holds the replaced tables."""

    name: str
    act: Act
    database: str
    other: str
    shards: int
    behind: int  # messages that would be caught up before the exchange

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        if self.act == "drop":
            return f"the old tables, database {self.other} on {self.shards} shards, would be dropped"
        compare = "" if self.act == "exchange back" else "compare the shadow with Postgres, "
        return (
            f"would catch up {self.behind:,} messages, {compare}and exchange the tables of {self.database} and "
            f"{self.other} on {self.shards} shards"
        )


def outlook(stores: Stores, name: str, *, back: bool = False, drop: bool = False) -> Outlook:
    """What the cutover would do now.

    Raises:
        UsageError: it would be refused; the text names the way out.
    """
    with ReplayTopic(stores.broker) as topic:
        replay = topic.get(name)
    other = old_database(replay) if drop else check(replay, back=back)
    shards, broker = stores.shards, stores.broker
    behind = 0
    if not drop:
        check_marks(shards)
        check_marks(shards.of(other))
        tps = broker.source_partitions()
        reached = broker.committed(replay.plan.group, tps)
        behind = sum(max(0, end - reached.get(tp, end)) for tp, end in broker.ends(tps).items())
    return Outlook(
        name, "drop" if drop else "exchange back" if back else "exchange", shards.database, other, shards.count, behind
    )
