"""How far a replay is: as values for `--json`, as bars on a terminal, as plain lines otherwise.

Enters: a replay as its topic has it, and its group's committed offsets. Leaves: text. Any host can ask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from stream.kafka.topic_partition import TP
from stream.replay.plan import MemberReport, Pass
from stream.replay.state import Replay
from stream.times import span, time_text


def present_pass(replay: Replay) -> Pass:
    """The pass under way, or the last one."""
    return [replay.plan.main, *replay.passes][-1]


def summary(replay: Replay, committed: Mapping[TP, int]) -> dict[str, Any]:
    """The values of `replay status --json`."""
    now = present_pass(replay)
    members = list(replay.members.values())
    alive = replay.alive()
    outcomes: Counter[str] = Counter()
    for report in members:
        outcomes.update(report.outcomes)
    total, done = now.messages, now.done(committed)
    if replay.state == "done":
        done = total
    per_s = sum(report.per_s for report in alive)
    failed = sum(report.failed for report in members)
    return {
        "name": replay.name,
        "state": replay.state,
        "error": (replay.result.error if replay.result else "") or next((b.error for b in members if b.error), ""),
        "pass": now.kind,
        "passes": [each.kind for each in (replay.plan.main, *replay.passes)],
        "total": total,
        "done": done,
        "reindexed": sum(report.reindexed for report in members),
        "failed": failed,
        "matched": sum(report.matched for report in members),
        "dropped": outcomes["dropped"],
        "dead_letters": failed,
        "outcomes": dict(outcomes),
        "rows": sum(report.rows for report in members),
        "seconds": round(_seconds(members), 2),
        "rss_mb_max": round(max((report.rss_mb for report in members), default=0.0), 1),
        "per_s": round(per_s, 1),
        "eta_s": round((total - done) / per_s, 1) if per_s and replay.state == "running" else None,
        "throttled_by": "; ".join(sorted({report.throttled_by for report in alive if report.throttled_by})),
        "into": replay.plan.into,
        "start": replay.plan.start,
        "customers": list(replay.plan.scope.customers),
        "tables": list(replay.plan.tables),
        "group": replay.plan.group,
        "created_at": time_text(replay.plan.created_ms),
        "processes": [
            {
                "member": report.member,
                "host": report.host,
                "pid": report.pid,
                "lanes": report.lanes,
                "per_s": report.per_s,
                "rss_mb": round(report.rss_mb, 1),
                "throttled_by": report.throttled_by,
            }
            for report in alive
        ],
        "partitions": [
            {
                "topic": s.topic,
                "partition": s.partition,
                "start": s.start,
                "end": s.end,
                "committed": min(max(committed.get(s.tp, s.start), s.start), s.end),
            }
            for s in now.spans
        ],
    }


def last_rate(replays: Iterable[Replay]) -> float | None:
    """Messages/s of the newest replay that was long enough to have a rate, all its processes together."""
    rates = [
        (max(report.at_ms for report in members), sum(report.reindexed for report in members) / seconds)
        for members in (list(replay.members.values()) for replay in replays)
        if (seconds := _seconds(members)) > 1 and sum(report.reindexed for report in members) > 10_000
    ]
    return max(rates)[1] if rates else None


def _seconds(members: list[MemberReport]) -> float:
    if not members:
        return 0.0
    return (max(report.at_ms for report in members) - min(report.began_ms for report in members)) / 1000


def line(facts: Mapping[str, Any]) -> str:
    """`main 1,200,000/2,222,222 54% 101,000/s eta 0:00:10 matched .. dropped .. dead letters ..`."""
    total, done, per_s = facts["total"], facts["done"], facts["per_s"]
    parts = [facts["pass"], f"{done:,}/{total:,}"]
    if total:
        parts.append(f"{100 * done // total}%")
    if per_s:
        parts.append(f"{per_s:,.0f}/s")
        if total > done:
            parts.append(f"eta {span((total - done) / per_s)}")
    return " ".join([*parts, note(facts)])


def note(facts: Mapping[str, Any]) -> str:
    """`matched .. dropped .. dead letters .. throttled: ..`."""
    parts = [f"matched {facts['matched']:,}", f"dropped {facts['dropped']:,}"]
    if facts["dead_letters"]:
        parts.append(f"dead letters {facts['dead_letters']:,}")
    if facts["throttled_by"]:
        parts.append(f"throttled: {facts['throttled_by']}")
    return " ".join(parts)
