"""The screen of `scorestream lag`: the monitor's document -> text. It asks no source itself."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from stream.times import duration, size

_COLOURS = {"fresh": "green", "busy": "yellow", "late": "yellow", "stuck": "red", "unknown": "magenta"}
_VERDICTS = {"OK": "green", "WARN": "yellow", "STALL": "red", "STOP": "red", "REWIND": "cyan", "AHEAD": "red"}
_HOT = 15


def screen(found: dict[str, Any], *, everything: bool) -> None:
    """Print the screen once."""
    Console(soft_wrap=True).print(page(found, everything=everything))


def page(found: dict[str, Any], *, everything: bool) -> Group:
    """The document as text: the headline, findings, partitions and parts."""
    head = found["headline"]
    colour = _COLOURS[head["level"]]
    parts: list[Any] = [
        Text.assemble((f"{head['title'].upper()}  ", f"bold {colour}"), head["sentence"]),
    ]
    for each in found["findings"]:
        if each["id"] != head["id"] or each["sentence"] != head["sentence"]:
            mark = f"  because of {each['because']}: " if each["because"] else f"{each['level']}: "
            parts.append(Text(mark + each["sentence"], style="dim" if each["because"] else ""))
    parts += [Text(""), _topics(found), Text(""), _partitions(found, everything=everything), Text("")]
    parts += [Text(line) for line in lines(found)]
    if found.get("customers_asked"):
        parts += [Text(""), *customers(found["customers"]), Text("")]
    parts.append(Text(answered_by(found), style="dim"))
    parts += [Text(why, style="yellow") for why in found.get("not_believed", ()) if "does not answer" not in why]
    return Group(*parts)


def answered_by(found: dict[str, Any]) -> str:
    """The installation of the figures, and the process that answered."""
    own = found["installation"]
    return (
        f"installation {found['name']}: cluster {own['cluster'] or 'not known'}, source {own['source']}, "
        f"ClickHouse database {own['clickhouse']}; answered by {found['from']}"
    )


def _table(*columns: str, numbers: int = 0) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if 0 < index <= numbers else "left", no_wrap=True)
    return table


def _topics(found: dict[str, Any]) -> Table:
    table = _table("topic", "messages", "seconds", "in/s", "done/s", "drained in", "verdict", numbers=5)
    for each in found["topics"]:
        verdict = Text(each["verdict"], style=_VERDICTS[each["verdict"]])
        table.add_row(
            each["short"],
            f"{each['messages']:,}",
            _seconds(each["seconds"]),
            _rate(each["produced_per_s"]),
            _rate(each["consumed_per_s"]),
            _drain(each),
            verdict,
        )
    return table


def _partitions(found: dict[str, Any], *, everything: bool) -> Table | Text:
    rows = found["partitions"]
    shown = rows if everything else [r for r in rows if r["messages"] or r["rewound"] or r["verdict"] != "OK"]
    shown = sorted(shown, key=lambda r: (r["verdict"] == "OK", -(r["seconds"] or 0), -r["messages"]))
    if not shown:
        return Text(f"all {len(rows)} partitions: nothing waits", style="dim")
    table = _table(
        "partition", "messages", "seconds", "committed", "end", "change/s", "verdict", "for", "held by", numbers=5
    )
    for r in shown if everything else shown[:_HOT]:
        table.add_row(
            f"{r['short']}-{r['partition']}",
            f"{r['messages']:,}",
            _seconds(r["seconds"]),
            "none" if r["committed"] is None else f"{r['committed']:,}",
            f"{r['end']:,}",
            "" if r["velocity"] is None else f"{r['velocity']:+,.0f}",
            Text(r["verdict"], style=_VERDICTS[r["verdict"]]),
            duration(max(0.0, found["now"] - r["since"])),
            "not known" if r["holder"] is None else r["holder"] or "nobody",
        )
    return table


def lines(found: dict[str, Any]) -> list[str]:
    """A line for each part: connector, slot, shards, canary, group, replays, dead letters."""
    connect, slot, canary, letters = found["connect"], found["slot"], found["canary"], found["dead_letters"]
    tasks = ", ".join(f"task {task['id']} {task['state']}" for task in connect.get("tasks", [])) or "no tasks"
    said = [
        f"connector  {connect['name']}: "
        + (connect["error"] or (f"{connect['state']} ({tasks})" if connect["there"] else "not there")),
        f"slot       {slot['name']}: "
        + (
            slot["error"]
            or (
                f"{'active' if slot['active'] else 'inactive'}, {size(slot['lag_bytes'])} behind, "
                f"{size(slot['retained_bytes'])} of WAL kept, {slot['wal_status']}"
                if slot["there"]
                else "not there"
            )
        ),
    ]
    said += [f"shard {number}    " + (shard["error"] or "answers") for number, shard in enumerate(found["shards"])]
    trip = canary["round_trip_s"]
    said.append(f"canary     {canary['state']}" + (f", the way took {trip:.2f} s" if trip is not None else ""))
    members = found["members"]
    said.append(f"group      {found['group']}: {members['state'] or 'not known'}, {len(members['members'])} workers")
    for each in found["replays"]:
        share = 100 * each["done"] / each["total"] if each["total"] else 100
        left = f", {duration(each['eta_s'])} left" if each["eta_s"] else ""
        said.append(f"replay     {each['name']}: {each['state']}, {share:.0f} %, {each['per_s']:,.0f}/s{left}")
    if letters is not None:
        said.append(
            f"dead letters  {letters['open']:,} open of {letters['total']:,}, "
            f"{letters['last_hour']:,} seen to come in the last hour"
        )
    return said


def customers(found: dict[str, Any]) -> list[Table | Text]:
    """Whose changes wait, the longest wait first; and from which age on the list is complete."""
    limit = duration(found["complete_above_s"])
    if not found["rows"]:
        return [Text(f"customers  nobody is seen to be later than {limit}", style="dim")]
    table = _table("customer", "oldest change", "messages", numbers=2)
    for each in found["rows"][:_HOT] if found["late"] > _HOT else found["rows"]:
        late = _seconds(each["seconds"]) if each["messages"] else f"no later than {limit}"
        table.add_row(each["customer"], late, f"{each['messages']:,}")
    return [table, Text(f"{found['late']} customers; complete for those later than {limit}", style="dim")]


def _seconds(value: float | None) -> str:
    return "?" if value is None else "0" if value == 0 else duration(value)


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _drain(topic: dict[str, Any]) -> str:
    if not topic["messages"] and not topic["rewound"]:
        return ""
    return "never" if topic["drain_s"] is None else duration(topic["drain_s"])
