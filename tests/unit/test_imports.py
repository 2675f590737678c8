"""One rule for every file of `stream/`: which folders it may import, and which library belongs to which folder."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STREAM = ROOT / "stream"

# From the ground up. A folder may import itself, `GROUND`, and the folders that stand in its line. A test fails
# once an entry is not used. Files beside cli.py are rooms of their own.
GROUND = {
    "config", "epochs", "errors", "installations", "interpreter", "logs", "metrics", "progress", "retry", "scope",
    "secret_file", "settings_origins", "settings_sections", "supervise", "tables", "times", "topic_names",
}  # fmt: skip
ALLOWED: dict[str, set[str]] = {
    "pipeline": set(),
    "connect": set(),
    "web": set(),
    "kafka": {"pipeline"},
    "postgres": {"pipeline"},
    "clickhouse": {"pipeline"},
    "stores": {"kafka", "postgres", "clickhouse"},
    "wiring": {"pipeline", "connect", "kafka", "postgres", "clickhouse", "stores"},
    "reindex": {"pipeline", "kafka", "postgres", "clickhouse"},
    "backfill": {"pipeline", "connect", "kafka", "postgres"},
    "replay": {"pipeline", "kafka", "postgres", "clickhouse", "stores", "wiring", "web"},
    "verify": {"pipeline", "kafka", "postgres", "clickhouse", "stores", "web", "reindex"},
    "recover": {"pipeline", "connect", "kafka", "postgres", "clickhouse", "stores"},
    "cutover": {"kafka", "postgres", "clickhouse", "stores", "replay", "verify"},
    "monitor": {"pipeline", "connect", "kafka", "postgres", "clickhouse", "web", "replay", "backfill"},
    "doctor": {"pipeline", "connect", "kafka", "postgres", "clickhouse", "web", "cutover", "monitor"},
    "status": {"web", "monitor", "doctor"},
    "fleet": {"monitor"},
    "live": {"pipeline", "kafka", "postgres", "clickhouse", "wiring", "web", "reindex", "verify", "monitor"},
    "commands": {
        "pipeline", "connect", "kafka", "postgres", "clickhouse", "stores", "wiring", "web", "reindex", "backfill",
        "replay", "verify", "recover", "cutover", "monitor", "doctor", "status", "fleet", "live",
    },
    "cli": {"commands"},
}  # fmt: skip

# Who alone may import a library of the outside.
LIBRARIES: dict[str, set[str]] = {
    "faust": {"live"},
    "aiokafka": {"live"},
    "psycopg": {"postgres"},
    "clickhouse_connect": {"clickhouse"},
    "confluent_kafka": {"kafka"},
    "urllib3": {"clickhouse", "connect", "live", "web"},
    "click": {"commands", "cli"},
    "rich": {"commands", "fleet", "progress", "monitor", "status"},
    "pydantic": {"config", "secret_file", "settings_origins", "settings_sections"},
    "pydantic_settings": {"config", "settings_sections"},
    "tenacity": {"retry"},
    "prometheus_client": {"metrics", "web"},
}

LEVELS = 10  # of imports between files, as Python loads them
LEVELS_WITH_DEFERRED = 12  # and with the imports inside functions, by which a command loads only what it runs

# Who alone may read the settings; every other file takes stores, sections of settings_sections.py, or plain values.
SETTINGS = {
    "stream/installations.py",
    "stream/settings_origins.py",
    "stream/wiring.py",
    "stream/live/worker.py",
    "stream/monitor/wiring.py",
    "stream/replay/processes.py",
}


def _room(module: str) -> str:
    """The folder of a dotted name below `stream`, or the name of a file that stands beside cli.py."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def _modules() -> frozenset[str]:
    return frozenset(_module(path) for path in STREAM.rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield f"{node.module}.{alias.name}" if node.module == "stream" else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _room_of(path: Path) -> str:
    return _room(".".join(path.relative_to(ROOT).with_suffix("").parts))


def _files() -> list[Path]:
    return sorted(path for path in STREAM.rglob("*.py") if path != STREAM / "__init__.py")


def _breaches(path: Path) -> set[tuple[str, str]]:
    name = path.relative_to(ROOT).as_posix()
    room = _room_of(path)
    may = GROUND if room in GROUND else GROUND | ALLOWED[room] | {room}
    found = set()
    for module in _imports(path):
        top = module.split(".")[0]
        if top == "stream":
            target = _room(module)
            if target not in may and target not in {"", "__version__"}:
                found.add((name, target))
        elif room not in LIBRARIES.get(top, {room}):
            found.add((name, top))
    return found


@pytest.mark.parametrize("path", _files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_only_what_its_folder_may(path: Path) -> None:
    room = _room_of(path)
    assert room in GROUND or room in ALLOWED, f"{path}: its folder is in no line of the table"
    assert not _breaches(path)


def test_the_table_permits_nothing_that_no_file_uses() -> None:
    used: dict[str, set[str]] = defaultdict(set)
    for path in _files():
        for module in _imports(path):
            top = module.split(".")[0]
            used[_room_of(path)].add(_room(module) if top == "stream" else top)
    assert {room: unused for room, may in ALLOWED.items() if (unused := may - used[room])} == {}
    assert {lib: unused for lib, may in LIBRARIES.items() if (unused := {r for r in may if lib not in used[r]})} == {}


def _reads_settings(path: Path) -> bool:
    return "stream.config" in {name.removesuffix(".Settings") for name in _imports(path)}


def test_only_the_edge_reads_the_settings() -> None:
    readers = {path.relative_to(ROOT).as_posix() for path in _files() if _reads_settings(path)}
    assert {name for name in readers if not name.startswith("stream/commands/")} == SETTINGS


def test_the_settings_enter_at_most_six_files_of_the_worker() -> None:
    graph = {_module(path): _edges(path) for path in STREAM.rglob("*.py")}
    reached, left = {"stream.live.worker"}, ["stream.live.worker"]
    while left:
        more = graph[left.pop()] - reached
        reached |= more
        left += more
    readers = {_module(path) for path in _files() if _reads_settings(path)}
    assert len(reached & readers) <= 6, sorted(reached & readers)


def test_no_file_is_a_room_that_the_table_has_and_the_tree_has_not() -> None:
    rooms = {path.stem if path.is_file() else path.name for path in STREAM.iterdir()}
    assert {*ALLOWED} <= rooms


def _module(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _edges(path: Path, *, deferred: bool = False) -> set[str]:
    """Modules of `stream` that a file imports when it is loaded, and with `deferred` those that functions import."""
    known, tree = _modules(), _tree(path)
    found = set()
    for node in ast.walk(tree) if deferred else tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "stream":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known
    return found - {_module(path)}


@pytest.mark.parametrize(("deferred", "most"), [(False, LEVELS), (True, LEVELS_WITH_DEFERRED)])
def test_no_import_cycle_and_few_levels(deferred: bool, most: int) -> None:
    graph = {_module(path): _edges(path, deferred=deferred) for path in STREAM.rglob("*.py")}
    levels: dict[str, int] = {}
    while len(levels) < len(graph):
        ready = {name: edges for name, edges in graph.items() if name not in levels and edges <= levels.keys()}
        assert ready, f"a cycle among {sorted(graph.keys() - levels.keys())}"
        levels |= {name: 1 + max((levels[edge] for edge in edges), default=0) for name, edges in ready.items()}
    highest = max(levels.values())
    assert highest <= most, sorted(name for name, level in levels.items() if level == highest)


@pytest.mark.parametrize("folder", sorted({path.parent for path in _files()} - {STREAM}), ids=lambda path: path.name)
def test_every_folder_says_what_enters_what_leaves_and_what_it_never_does(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    assert "Enters:" in text
    assert "Leaves:" in text
    assert re.search(r"\b(never|no|nothing)\b", text.partition("Leaves:")[2]), (
        f"{folder.name} says nothing it never does"
    )


def test_no_product_file_is_longer_than_350_lines_and_no_test_file_than_500() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for folder, most in (("stream", 350), ("tests", 500), ("testbed", 350))
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text("utf-8").splitlines())) > most
    }
    assert not long
