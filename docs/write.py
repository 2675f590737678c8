"""The pages of docs/reference/, made from the code: `make docs` writes them, and a test fails while they differ.

It also writes the Helm chart's README.md and values.schema.json (docs/chart.py).

Enters: the declarations of settings, metrics, commands, runbooks, and the connector's JSON. Leaves: Markdown. It asks
no outside system, and imports nothing that opens one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from docs import chart, topics
from stream import metrics
from stream.cli import COMMANDS, cli
from stream.config import PREFIX, Settings
from stream.connect import connector
from stream.doctor.all_checks import ALL
from stream.doctor.finding import SYSTEMS, Check
from stream.pipeline import types
from stream.web import runbook_page

REFERENCE = Path(__file__).parent / "reference"
_MADE = "<!-- Made by `make docs` from {source}: change it there. -->\n"


def pages() -> dict[str, str]:
    """File name in docs/reference/ -> its whole text."""
    made: dict[str, tuple[str, Callable[[], str]]] = {
        "settings.md": ("stream/config.py and stream/settings_sections.py", settings),
        "metrics.md": ("stream/metrics.py", metric_tables),
        "commands.md": ("stream/cli.py and stream/commands/", commands),
        "runbooks.md": ("stream/web/runbooks.py", runbook_page.markdown),
        "doctor.md": ("the checks of stream/doctor/", doctor),
        "topics.md": ("docs/topics.py and stream/topic_names.py", topics.markdown),
        "types.md": ("stream/pipeline/types.py", types.table),
        "connector.md": ("stream/connect/scorestream-source.json and stream/connect/connector.py", connector_config),
    }
    return {name: _MADE.format(source=source) + text() for name, (source, text) in made.items()}


# --- settings ---------------------------------------------------------------------------------------------------------

_SETTINGS = """# Settings

A setting is an environment variable, or the same name in a TOML file that `SCORESTREAM_CONFIG` names: `[kafka]` and
`bootstrap_servers = ".."` stand for `SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS`. The environment wins. Each secret can also
come from a file: `<NAME>_FILE`. A command that starts reports all faults at once, and a misspelt name is one of them.
"""


def settings() -> str:
    """Every setting with its default, one table for each section."""
    plain, sections = [], []
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            lines = [_setting(f"{section}_{name}", each) for name, each in model.model_fields.items()]
            sections.append(f"## [{section}]\n\n{_table(('variable', 'default', 'meaning'), lines)}")
        else:
            plain.append(_setting(section, field))
    return "\n".join([_SETTINGS, _table(("variable", "default", "meaning"), plain), *sections])


def _setting(name: str, field: FieldInfo) -> tuple[str, str, str]:
    default = field.default
    if default is None or isinstance(default, SecretStr) or default in ("", []):
        shown = ""
    elif isinstance(default, list):
        shown = f"`{','.join(map(str, default))}`"
    else:
        shown = f"`{default}`"
    return f"`{(PREFIX + name).upper()}`", shown, _text(field.description or "")


# --- metrics ----------------------------------------------------------------------------------------------------------

_METRICS = """# Metrics

Every long-running process serves its own metrics at `/metrics`. The second table is served by `scorestream monitor`
alone. A worker's dashboard shows the same figures, but a worker does not export them: with one copy from each worker,
sums over the group's lag would be wrong.

Every metric, also those of the Python process, carries the label `installation`: `SCORESTREAM_INSTALLATION_NAME`, or
else the topic prefix. Where Prometheus gives a target a label of that name, set `honor_labels: true`.

## How to read them

- **Is the data fresh?** `scorestream_freshness_seconds`: 0 when every committed change is visible. It has no saw-tooth,
  and no NaN while the system is idle.
- **Where does a change wait?** `scorestream_consumer_lag_seconds` by topic and partition: the age of the next message
  that no worker has indexed, taken from that message when the monitor last asked Kafka. A rewind or a replay does not
  raise it. It includes up to 0.25 s, the time between two commits of a worker.
- **Does the lag shrink?** `scorestream_consumer_lag_velocity` below 0; `scorestream_consumer_drain_seconds` says when
  it will be gone.
- **Does the partition move at all?** `scorestream_consumer_verdict`: 3 (STALL) and 4 (STOP) need an operator.
- **How long does a change take?** `scorestream_end_to_end_seconds`, and by hop `scorestream_hop_seconds`.
- **Is anything lost?** `scorestream_messages_consumed_total` equals the sum of `scorestream_messages_outcome_total`.
- **Nothing changes; is the path alive?** `scorestream_canary_late_seconds` and `scorestream_canary_age_seconds`.
- A figure that the monitor does not know is absent; an absent series is not 0. Lag counts committed offsets: `mode`
  live and `mode` replay never mix.
"""


def metric_tables() -> str:
    """Every metric of a process, and every figure of the monitor."""
    own = []
    for each in _declared():
        name = each._name + ("_total" if each._type == "counter" else "")
        own.append((f"`{name}`", each._type, ", ".join(each._labelnames), _text(each._documentation)))
    seen = [(f"`{each.name}`", ", ".join(each.labels), _text(each.help)) for each in metrics.MONITORED]
    rows = [(f"`{each.name}`", _text(each.help)) for each in metrics.OF_A_FLEET]
    return "\n".join(
        [
            _METRICS,
            "## Of every process\n",
            _table(("metric", "kind", "labels", "meaning"), own),
            "## Of the monitor\n",
            _table(("metric", "labels", "meaning"), seen),
            "## Of a monitor of many installations\n",
            _table(("metric", "meaning"), rows),
        ]
    )


def series() -> set[str]:
    """Every series name that a PromQL expression may use."""
    found = {each.name for each in (*metrics.MONITORED, *metrics.OF_A_FLEET)}
    for each in _declared():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(each._type, [""])
        found |= {each._name + suffix for suffix in suffixes}
    return found | {"up", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"}


def _declared() -> Iterator[Any]:
    for name in sorted(vars(metrics)):
        each = vars(metrics)[name]
        if hasattr(each, "_documentation") and hasattr(each, "_labelnames"):
            yield each


# --- commands ---------------------------------------------------------------------------------------------------------

_COMMANDS = """# Commands

Results go to stdout, logs to stderr. Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 differences found,
130 interrupted. Every command takes `--help`; `scorestream --log-level debug COMMAND` shows more.
"""


def commands() -> str:
    """Every command with its options, in the order of `scorestream --help`."""
    root = click.Context(cli, info_name="scorestream")
    texts = [_COMMANDS]
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        texts += _command(command, f"scorestream {name}", root)
    return "\n".join(texts)


def _command(command: click.Command, path: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=path.rsplit(" ", 1)[-1], parent=parent)
    arguments = [each.make_metavar(context) for each in command.params if isinstance(each, click.Argument)]
    depth = "#" * path.count(" ") + "#"
    yield f"{depth} `{' '.join([path, *arguments])}`\n\n{_paragraphs(command.help or '')}"
    options = [record for each in command.params if (record := each.get_help_record(context))]
    if options:
        yield _table(("option", "meaning"), [(f"`{_cell(name)}`", _cell(_text(text))) for name, text in options])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            verb = command.get_command(context, name)
            assert verb is not None
            if verb.hidden:
                continue
            yield from _command(verb, f"{path} {name}", context)


def _paragraphs(text: str) -> str:
    """Click's help as Markdown. A paragraph that starts with click's mark is kept line by line."""
    parts = []
    for part in cleandoc(text.replace("\f", "")).split("\n\n"):
        parts.append("```text\n" + part.lstrip("\b\n").rstrip() + "\n```" if part.startswith("\b") else part.strip())
    return "\n\n".join(parts) + "\n"


# --- doctor -----------------------------------------------------------------------------------------------------------

_DOCTOR = """# What `scorestream doctor` looks at

Each finding has a severity, what is wrong, what happens if it stays, and the statement or command that corrects it.

- **error**: changes are lost, late or wrong now, or after the next restart.
- **warning**: all works, and fails or costs rows under a condition that comes one day.
- **hint**: all works; another way is safer.

Exit codes: 0 without an error, 1 with one, 2 for usage or a configuration that cannot be read. `--json` prints the
findings with their ids. Where the last column is empty, the correction depends on the finding, which prints it.
`connectors apply` asks the checks of the source, the topics and the config before it starts the connector.
"""


def doctor() -> str:
    """Every check, one table for each system."""
    parts = [_DOCTOR]
    for system in SYSTEMS:
        rows = [
            (f"`{each.id}`", each.severity, _looks(each), _cell(each.then), _cell(each.way_out))
            for each in ALL
            if each.system == system
        ]
        parts.append(
            f"## {system}\n\n{_table(('check', 'severity', 'what is wrong', 'if it stays', 'correct it'), rows)}"
        )
    return "\n".join(parts)


def _looks(check: Check) -> str:
    only = f" (only with `--for {'`, `'.join(check.purposes)}`)" if check.purposes else ""
    return _cell(check.looks + only)


# --- connector --------------------------------------------------------------------------------------------------------

_CONNECTOR = """# Connector config

`scorestream connectors apply` sends this config to Kafka Connect: the JSON that the package carries, or the file that
`SCORESTREAM_CONNECT_CONFIG` names. Keys marked *settings* are filled in from the settings; the values below are those
of the default settings. `connectors/README.md` explains the choices.
"""


def connector_config() -> str:
    """Every key of the connector's config, and whether the settings determine it."""
    plain = Settings()
    determined = connector.overrides(plain.kafka, plain.postgres, plain.topics)
    rows = [
        (f"`{key}`", f"`{_cell(value)}`", "settings" if key in determined else "")
        for key, value in connector.config(plain.kafka, plain.postgres, plain.topics).items()
    ]
    return "\n".join([_CONNECTOR, _table(("key", "value", "from"), rows)])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines) + "\n"


def _text(text: str) -> str:
    """Words between angle brackets are no HTML."""
    return text.replace("<", "&lt;")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for variable in [each for each in os.environ if each.startswith(PREFIX)]:
        del os.environ[variable]  # the pages show defaults, in any shell's environment
    REFERENCE.mkdir(exist_ok=True)
    for path, text in ({REFERENCE / name: page for name, page in pages().items()} | chart.files()).items():
        path.write_text(text, "utf-8")
