"""The screen of `scorestream status`: a standing -> text. It asks no source itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group
from rich.text import Text

from stream.doctor.finding import HINT
from stream.monitor.screen import answered_by, lines
from stream.status.look import Situation
from stream.status.steps import NOW, SOON, Step
from stream.times import duration

_COLOURS = {"act now": "red", "act soon": "yellow", "well": "green", NOW: "bold red", SOON: "yellow"}


def screen(standing: Situation) -> None:
    """Print the screen once."""
    Console(soft_wrap=True).print(page(standing))


def page(standing: Situation) -> Group:
    """The verdict, what runs, and what to do next."""
    verdict, found = standing.verdict, standing.document
    sentence = found["headline"]["sentence"] if found is not None else standing.silent
    parts: list[Any] = [Text.assemble((f"{verdict.upper()}  ", f"bold {_COLOURS[verdict]}"), sentence)]
    if found is not None:
        parts += [Text(answered_by(found), style="dim"), Text(""), Text("what runs", style="bold")]
        parts += [Text(f"  {line}") for line in _runs(found)]
    parts += [Text(""), Text("what to do next", style="bold")]
    for number, step in enumerate(standing.steps, start=1):
        parts += _step(number, step)
    if not standing.steps:
        parts.append(Text("  nothing"))
    if hints := sum(each.severity == HINT for each in standing.checked):
        parts.append(Text(f"  {hints} hints: scorestream doctor", style="dim"))
    return Group(*parts)


def _runs(found: dict[str, Any]) -> Iterator[str]:
    waiting = sum(each["messages"] for each in found["topics"])
    age_s = found["freshness"]["seconds"]
    yield f"live       {waiting:,} messages wait, " + (
        "their age is not known" if age_s is None else f"the oldest change that is not visible is {duration(age_s)} old"
        if age_s else "every committed change is visible"
    )  # fmt: skip
    yield from lines(found)
    verified = found["verify"]
    if verified is None:
        yield "verify     not known"
    else:
        yield f"verify     last run {duration(found['now'] - verified['last_run'])} ago, " + (
            f"clean {duration(found['now'] - verified['last_clean'])} ago" if verified["last_clean"] else "never clean"
        )


def _step(number: int, step: Step) -> Iterator[Text]:
    yield Text.assemble(
        f"  {number}. ", (f"{step.when:<5} ", _COLOURS.get(step.when, "dim")), f"{step.what} [{step.id}]"
    )
    if step.stays:
        yield Text(f"           {step.stays}", style="dim")
    if step.act:
        yield Text(f"           {step.act}")
    for line in step.run:  # whole, so that it can be pasted
        yield Text(f"             {line}", style="bold", no_wrap=True, overflow="ignore")
