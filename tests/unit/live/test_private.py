"""The private attributes of aiokafka and Faust that live/ uses: an upgrade that moves one fails here."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from aiokafka.consumer import consumer, fetcher, group_coordinator, subscription_state
from faust.tables import manager
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from mode import worker

ROOT = Path(__file__).parents[3]
LIVE = ROOT / "stream" / "live"
STANDARD = {"_asdict", "_replace", "_current_frames", "_exit", "_fields"}  # named tuples, sys, os

# attribute -> the module that defines it
USED: dict[str, ModuleType] = {
    "_aborted_producers": fetcher,
    "_acked": faust_consumer,
    "_acked_index": faust_consumer,
    "_assignment": fetcher,
    "_assignor": driver,
    "_check_crcs": fetcher,
    "_clean_unacked_messages": faust_consumer,
    "_closed": fetcher,
    "_commit": faust_consumer,
    "_committed_offset": faust_consumer,
    "_consume_aborted_up_to": fetcher,
    "_consumer": driver,
    "_contains_abort_marker": fetcher,
    "_coordinator": consumer,
    "_create_fetch_waiter": fetcher,
    "_do_heartbeat": group_coordinator,
    "_ensure_consumer": driver,
    "_fetcher": consumer,
    "_get_active_partitions": faust_consumer,
    "_getmany": faust_consumer,
    "_isolation_level": fetcher,
    "_notify": fetcher,
    "_partition_records": fetcher,
    "_position": subscription_state,
    "_read_offset": faust_consumer,
    "_records": fetcher,
    "_records_iterator": fetcher,
    "_rejoin_needed_fut": group_coordinator,
    "_schedule_shutdown": worker,
    "_send_req": group_coordinator,
    "_subscription": subscription_state,
    "_subscriptions": fetcher,
    "_thread": faust_consumer,
    "_to_message": faust_consumer,
    "_tp": fetcher,
    "_unacked_messages": faust_consumer,
    "_update_channels": manager,
    "_update_position": fetcher,
    "_wait_consume_future": fetcher,
}


def used() -> set[str]:
    """Private attributes of other packages in live/: those that live/ does not define, and those in the list."""
    found: set[str] = set()
    own: set[str] = set()
    for path in LIVE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
                found.add(node.attr)
                if isinstance(node.ctx, ast.Store):
                    own.add(node.attr)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                own.add(node.name)
            elif isinstance(node, ast.AnnAssign):
                own.add(getattr(node.target, "attr", "") or getattr(node.target, "id", ""))
    return (found - own - STANDARD) | (found & set(USED))


def test_no_other_private_attribute_is_used() -> None:
    assert used() == set(USED)


@pytest.mark.parametrize("name", USED)
def test_each_is_still_there(name: str) -> None:
    assert re.search(rf"\b{name}\b", inspect.getsource(USED[name]))


def test_aiokafka_has_an_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (bound,) = [each for each in project["dependencies"] if re.match(r"aiokafka\b", each)]
    assert "<0.15" in bound
