"""The documents say what the code does: paths, commands, make targets, links, words, and the pages made from code."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs import write
from stream.cli import COMMANDS, cli

ROOT = Path(__file__).parent.parent.parent
_ROOMS = "stream|connectors|docs|tests|testbed|benchmarks|demo|drills|devstack|monitoring|deploy|docker"
_PATH = re.compile(rf"(?<![\w./<-])((?:{_ROOMS})/[\w./@-]*\w/?)")
_BLOCK = re.compile(r"^ *```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def documents() -> list[Path]:
    named = ["README.md", "CONTRIBUTING.md", "connectors/README.md", "benchmarks/README.md"]
    named.append("deploy/helm/scorestream/README.md")
    return [*(ROOT / name for name in named), *sorted((ROOT / "docs").rglob("*.md"))]


def shown(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SCORESTREAM_")]:
        monkeypatch.delenv(name)


_MADE = ["settings.md", "metrics.md", "commands.md", "runbooks.md", "connector.md", "doctor.md", "topics.md"]


@pytest.mark.parametrize("name", _MADE)
def test_a_reference_page_is_that_of_the_code(name: str) -> None:
    assert (write.REFERENCE / name).read_text("utf-8") == write.pages()[name], "run: make docs"


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert not [name for name in COMMANDS if f"scorestream {name}" not in text]
    assert text.count("\n") < 120


@pytest.mark.parametrize("document", documents(), ids=shown)
def test_every_path_that_a_document_names_exists(document: Path) -> None:
    text = re.sub(r"https?://\S+", "", document.read_text("utf-8"))
    missing = [name for name in _PATH.findall(text) if not (ROOT / name).exists()]
    assert not missing


def test_every_document_that_the_code_names_exists() -> None:
    sources = [each for room in _ROOMS.split("|") if room != "docs" for each in (ROOT / room).rglob("*.*")]
    named = {
        (name, each.relative_to(ROOT))
        for each in sources
        if each.suffix in {".py", ".sql", ".yml", ".yaml", ".md", ".js", ".html"}
        for name in re.findall(r"(?<![\w/])docs/[\w/-]+\.md", each.read_text("utf-8"))
    }
    assert named
    assert not [(name, str(source)) for name, source in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("document", documents(), ids=shown)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in _LINK.findall(re.sub(r"`[^`]*`", "", document.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = document.parent / name if name else document
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).strip().replace(" ", "-") for each in headings}


def test_every_make_target_exists() -> None:
    targets = set()
    for line in re.findall(r"^([a-z][a-z -]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE):
        targets |= set(line.split())
    for document in documents():
        for target in re.findall(r"(?:`|\$ )make ([a-z-]+)", document.read_text("utf-8")):
            assert target in targets, f"{shown(document)}: make {target}"


def calls() -> Iterator[tuple[str, list[str]]]:
    """Document, words of each `scorestream ...` line in its console blocks and between backticks."""
    for document in documents():
        text = document.read_text("utf-8")
        for block in _BLOCK.findall(text):
            for line in re.findall(r"^ *\$ (.*scorestream .*)$", block, re.MULTILINE):
                _, _, rest = line.partition("scorestream ")
                rest = re.sub(r"\$\(date [^)]*\)", "2026-03-01T12:00", rest)
                if not re.search(r"\b(docker|kubectl|helm)\b", line):
                    yield (
                        shown(document),
                        ["0" if each == "OFFSET" else each for each in shlex.split(rest.rstrip("&. "), comments=True)],
                    )


def test_every_command_line_of_a_console_block_parses() -> None:
    checked = 0
    for document, words in calls():
        parsed(document, words)
        checked += 1
    assert checked > 50


def parsed(document: str, words: list[str]) -> None:
    """Click takes the words apart as it would when they are typed; nothing runs."""
    context, command, rest = click.Context(cli, info_name="scorestream"), cli, list(words)
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None, f"{document}: scorestream {' '.join(words)}: no {name}"
        command = found
        context = click.Context(command, info_name=name, parent=context)
    try:
        command.make_parser(context).parse_args(list(rest))
        command.make_context(words[-1], list(rest), parent=context.parent, resilient_parsing=False)
    except click.exceptions.Exit:
        pass  # --help
    except click.UsageError as error:
        raise AssertionError(f"{document}: scorestream {' '.join(words)}: {error.format_message()}") from error


def test_every_command_named_between_backticks_exists() -> None:
    for document in documents():
        for text in re.findall(r"`scorestream ([a-z][a-z -]*)", document.read_text("utf-8")):
            context, command = click.Context(cli, info_name="scorestream"), cli
            for word in text.split():
                if not isinstance(command, click.Group) or word.startswith("-"):
                    break
                found = command.get_command(context, word)
                assert found is not None, f"{shown(document)}: scorestream {text}"
                command = found  # type: ignore[assignment]


def test_every_option_named_with_a_command_exists() -> None:
    for document in documents():
        for text in re.findall(r"`scorestream ([a-z][^`]*)`", document.read_text("utf-8")):
            context, command, options = click.Context(cli, info_name="scorestream"), cli, set()
            for word in text.split():
                if isinstance(command, click.Group) and (found := command.get_command(context, word)):
                    command = found  # type: ignore[assignment]
                    options |= {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
                elif re.fullmatch(r"--[a-z-]+", word) and word != "--help":
                    assert word in options or word == "--log-level", f"{shown(document)}: scorestream {text}"


def test_every_setting_that_a_document_names_exists() -> None:
    known = set(re.findall(r"SCORESTREAM_[A-Z_]+", write.settings())) | {"SCORESTREAM_CONFIG"}
    for document in documents():
        for name in re.findall(r"\bSCORESTREAM_[A-Z_]*[A-Z]\b", document.read_text("utf-8")):
            if not name.startswith("SCORESTREAM_CDC_"):  # Connect's own
                assert name in known, f"{shown(document)}: {name}"


def words() -> list[tuple[str, str]]:
    return re.findall(
        r"^\| ([a-z ]+) \| .* \| `(.+?)` \|$", (ROOT / "docs/glossary.md").read_text("utf-8"), re.MULTILINE
    )


@pytest.mark.parametrize(("word", "file"), words())
def test_the_file_that_owns_a_word_names_it(word: str, file: str) -> None:
    text = re.sub(r"[\W_]+", " ", (ROOT / file).read_text("utf-8").lower())
    assert word in text


def test_every_decision_says_what_why_and_what_was_rejected() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(each.name[:3]) for each in decisions]
    assert numbers == sorted(set(numbers))  # one may be missing: it is taken by a change under way
    for each in decisions:
        text = each.read_text("utf-8")
        assert text.startswith(f"# {each.name[:3]}: ")
        for part in ("**What", "**Why.**", "**Rejected.**", "that decided.**"):
            assert part in text, f"{each.name}: {part}"


def test_every_explanation_has_a_picture() -> None:
    for each in (ROOT / "docs" / "explanation").glob("*.md"):
        assert each.read_text("utf-8").count("```mermaid") == 1, each.name


def groups(command: click.Command, path: str) -> Iterator[tuple[str, click.Group]]:
    if isinstance(command, click.Group):
        yield path, command
        context = click.Context(command)
        for name in command.list_commands(context):
            verb = command.get_command(context, name)
            assert verb is not None
            yield from groups(verb, f"{path} {name}")


def test_no_line_of_help_is_cut_off() -> None:
    for path, group in groups(cli, "scorestream"):
        text = group.get_help(click.Context(group, info_name=path, terminal_width=80))
        assert not [line for line in text.splitlines() if line.endswith("...") and "ARGS" not in line], path
