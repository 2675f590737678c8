"""The document of an installation -> its row; and installations that answer for one another. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from stream.times import duration

SILENT: Final = "silent"
_RANK = {SILENT: 0, "stuck": 1, "unknown": 2, "late": 3, "busy": 4, "fresh": 5}
_UNFINISHED = ("running", "pausing", "paused", "stopped")
NEEDS_AN_OPERATOR: Final = frozenset({SILENT, "stuck", "unknown"})


@dataclass(frozen=True, slots=True)
class Row:
    """One installation.

    Attributes:
        level: of the headline, or `silent` when there is no answer.
        identity: cluster id, source, ClickHouse database: whose answer it is.
        told_by: URL of the monitor, or `this command`.
        told_as: the label `installation` of the monitor's metrics, where it is another than the name in the file.
    """

    name: str
    level: str
    sentence: str
    freshness_s: float | None = None
    messages: int | None = None
    workers: int | None = None
    replays: tuple[str, ...] = ()
    open_dead_letters: int | None = None
    verify: str = ""
    slot: str = ""
    identity: tuple[str | None, str | None, str | None] | None = None
    told_by: str = ""
    told_as: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def silent(name: str, why: str) -> Row:
    """The row of an installation that does not answer."""
    return Row(name, SILENT, why)


def row(name: str, document: Mapping[str, Any]) -> Row:
    """The row of an installation that answered."""
    label = document.get("told_as") or name
    letters, slot, own = document["dead_letters"], document["slot"], document["installation"]
    return Row(
        name,
        document["headline"]["level"],
        document["headline"]["sentence"],
        freshness_s=document["freshness"]["seconds"],
        messages=sum(each["messages"] for each in document["topics"]),
        workers=len(document["members"]["members"]),
        replays=tuple(_replay(each) for each in document["replays"] if each["state"] in _UNFINISHED),
        open_dead_letters=None if letters is None else letters.get("open", letters["total"]),
        verify=_verify(document["verify"], document["now"]),
        slot=slot["error"] or ("not there" if not slot["there"] else "active" if slot["active"] else "inactive"),
        identity=(own["cluster"], own["source"], own["clickhouse"]),
        told_by=document["from"],
        told_as="" if label == name else label,
    )


def in_order(rows: Iterable[Row]) -> list[Row]:
    """The worst first. Installations that are one and the same say so: the file names one of them wrongly."""
    rows = list(rows)
    same: defaultdict[Any, list[str]] = defaultdict(list)
    for each in rows:
        if each.identity is not None and each.identity[0] is not None:
            same[each.identity].append(each.name)
    marked = []
    for each in rows:
        others = [name for name in same.get(each.identity, ()) if name != each.name]
        if others:
            text = f"the same cluster and databases as {', '.join(others)}: correct the installations file"
            each = replace(each, level="unknown", sentence=text)  # noqa: PLW2901
        marked.append(each)
    return sorted(marked, key=lambda each: (_RANK.get(each.level, 2), -(each.freshness_s or 0.0), each.name))


def _replay(replay: Mapping[str, Any]) -> str:
    share = 100 * replay["done"] / replay["total"] if replay["total"] else 100
    return f"{replay['name']} {replay['state']} {share:.0f} %"


def _verify(verified: Mapping[str, Any] | None, now: float) -> str:
    if verified is None:
        return "not known"
    return f"clean {duration(now - verified['last_clean'])} ago" if verified["last_clean"] else "never clean"
