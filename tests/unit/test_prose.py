"""The prose of code and documents: the field's words, and sentences that can be read aloud."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_docs import documents, shown

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("stream", "testbed", "drills", "benchmarks", "demo", "devstack", "docs", "tests")
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
MOST_WORDS = 25
UNCLEAR = re.compile(
    r"\b(mend(s|ed|ing)?|anew|whom?ever|whatever|some(body|one)|(is|are|was|were) told|so (many|long)|he|his|him)"
    r"\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9`\"(])|\n(?=\s*[-*] )|\n(?=\w+:$)|\n(?=    [\w, ]+: )", re.MULTILINE)


def comments(text: str) -> Iterator[str]:
    """Each comment; lines that follow one another are one comment."""
    lines: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if lines and token.start[0] != last + 1:
                yield " ".join(lines)
                lines.clear()
            lines.append(token.string.lstrip("# "))
            last = token.start[0]
    yield " ".join(lines)


def docstrings(text: str) -> Iterator[str]:
    """Each docstring, without the indentation of its quotes."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said = ast.get_docstring(node, clean=False) or ""
            yield said.replace("\n" + " " * (node.body[0].col_offset if node.body else 0), "\n")


def sentences(docstring: str) -> Iterator[str]:
    """The sentences of a docstring, without tables, pictures and lines of code."""
    for paragraph in re.split(r"\n\s*\n", _CODE.sub("X", docstring)):
        if not (paragraph.startswith((" ", "\b")) or re.search(r"──|\S {3,}\S", paragraph)):
            yield from _END.split(paragraph)


def strings(text: str) -> Iterator[str]:
    """Each string that is not a docstring: log events, error messages, help, names of tests' waits."""
    tree = ast.parse(text)
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.value


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_docstrings_comments_and_strings_use_the_fields_words(path: Path) -> None:
    text = path.read_text("utf-8")
    own = strings(text) if path != Path(__file__) else ()  # the list of words itself
    for said in (*docstrings(text), *comments(text), *own):
        found = UNCLEAR.search(_CODE.sub("", re.sub(r"^ +\w+: ", "", said, flags=re.MULTILINE)))
        assert found is None, said


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_a_sentence_of_a_docstring_is_short(path: Path) -> None:
    for docstring in docstrings(path.read_text("utf-8")):
        for sentence in sentences(docstring):
            assert len(re.findall(r"\S*\w\S*", sentence)) <= MOST_WORDS, sentence


@pytest.mark.parametrize("document", [*documents(), ROOT / "CHANGELOG.md"], ids=shown)
def test_a_document_uses_the_fields_words(document: Path) -> None:
    found = UNCLEAR.search(_CODE.sub("", document.read_text("utf-8")))
    assert found is None, found
