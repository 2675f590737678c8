"""`scorestream replay start --dry-run`: how much a replay would read, for how long, and how much of it matches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stream.commands.console import print_json, print_table
from stream.times import time_text

if TYPE_CHECKING:
    from stream.commands.identity import Identity
    from stream.replay.make_plan import Sample
    from stream.replay.plan import ReplayPlan


def show(made: ReplayPlan, found: Sample, per_s_before: float | None, *, of: Identity, as_json: bool) -> None:
    """Print how much the replay would read, and how long that takes at the rate of the last one."""
    from stream.replay.make_plan import ASSUMED_PER_S  # noqa: PLC0415  Kafka's clients take a while to import

    per_s = per_s_before or ASSUMED_PER_S
    if made.rate:
        per_s = min(per_s, made.rate)
    total = made.main.messages
    share = found.matched / found.messages if found.messages else 0.0
    if as_json:
        print_json(
            {
                "name": made.name,
                "start": made.start,
                "created_at": time_text(made.created_ms),
                "partitions": [
                    {
                        "topic": s.topic,
                        "partition": s.partition,
                        "first": s.start,
                        "last": s.end - 1,
                        "messages": s.messages,
                        "bytes": round(s.messages * found.bytes_each.get(s.topic, 0)),
                    }
                    for s in made.main.spans
                ],
                "messages": total,
                "bytes": round(sum(s.messages * found.bytes_each.get(s.topic, 0) for s in made.main.spans)),
                "per_s": round(per_s),
                "per_s_measured": per_s_before is not None,
                "seconds": round(total / per_s, 1),
                "installation": of.as_json(),
                "sample": {"messages": found.messages, "matched": found.matched, "share": round(share, 4)},
            }
        )
        return
    print_table(
        ["topic", "partition", "first", "last", "messages", "MB"],
        [
            (s.topic, s.partition, s.start, s.end - 1, s.messages,
             f"{s.messages * found.bytes_each.get(s.topic, 0) / 1e6:.1f}")
            for s in made.main.spans
            if s.messages
        ],
    )  # fmt: skip
    size = sum(s.messages * found.bytes_each.get(s.topic, 0) for s in made.main.spans) / 1e6
    how = "the last replay's rate" if per_s_before else "an assumed rate"
    click.echo(f"{total:,} messages at most, about {size:,.0f} MB; {total / per_s:,.0f} s at {per_s:,.0f}/s ({how})")
    click.echo(
        f"matches the filter: {share:.1%} of a sample of {found.messages:,} messages, so about {round(total * share):,}"
    )
    click.echo(of.line)
    click.echo("dry run: nothing was started")
