"""Whether a cutover, the way back or the drop of the old tables makes sense, by what is known of the replay. Pure."""

from __future__ import annotations

from stream.errors import UsageError
from stream.replay.state import Replay


def check(replay: Replay, *, back: bool) -> str:
    """The shadow database, when an exchange makes sense.

    Raises:
        UsageError: the exchange makes no sense; the text names the way out.
    """
    plan, name, state = replay.plan, replay.name, _state(replay)
    if plan.into is None:
        raise UsageError(f"replay {name} wrote to the live tables: only one with --into DATABASE can be cut over")
    if state == "dropped":
        raise UsageError(f"replay {name} was cut over, and its old tables were dropped: start another replay")
    if back:
        if state != "done" and not (state == "begun" and replay.notes["cutover"].get("back")):
            raise UsageError(f"replay {name} was not cut over (cutover: {state}), so there is no way back to take")
        return plan.into
    if state == "done":
        raise UsageError(f"replay {name} is cut over already; `scorestream cutover {name} --back` takes it back")
    if replay.state != "done":
        raise UsageError(
            f"replay {name} is {replay.state}, not done: `scorestream replay status {name}` says how far it is"
        )
    if not plan.whole:
        raise UsageError(
            f"replay {name} has only a part ({plan.start}, filtered or limited): readers would lose the rest. Replay "
            "all of it, from --to-earliest, without filter and --until, into another database"
        )
    return plan.into


def old_database(replay: Replay) -> str:
    """The database of the tables that a cutover replaced.

    Raises:
        UsageError: there was no cutover, or it was taken back.
    """
    state = _state(replay)
    if state != "done" or replay.plan.into is None:
        raise UsageError(
            f"replay {replay.name} has no old tables to drop (cutover: {state}): they are there after `scorestream "
            f"cutover {replay.name}`"
        )
    return replay.plan.into


def _state(replay: Replay) -> str:
    return str(replay.notes.get("cutover", {}).get("state", "none"))
