"""Plain English: words for which the field has a clearer one are in no code, comment, message, template or page."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.tidy.source import ROOT, sources

VAGUE = re.compile(
    r"\b(told|tells?|telling|anew|whoever|whatever|wherever|whichever|comes? to|came to|stands?(?!-)|stood|bears?|bore"
    r"|borne|lays?|laid|turn about|of (?:its|their|our|his|her) own|beside|asks?|asked|asking)\b"
    r"|(?:\"\"\"|# |-- )(?-i:The same)\b",
    re.IGNORECASE,
)
KINDS = {".py", ".sql", ".toml", ".html", ".js", ".css", ".yml", ".sh", ".conf", ".properties", ".md"}
ROOMS = ("services", "shared", "deploy", "tools", "benchmarks", "tests", "docs")
SINGLE = ("Makefile", "README.md", "CONTRIBUTING.md", "docker-compose.yml", "pyproject.toml", ".ci/run")
VAGUE_NAMES = {"each", "found"}
OTHERS = ("tests/e2e/axe/", "services/reporting/templates/receipt/noble-", "docs/contracts/samples/", "tests/corpus/")
"""Texts that others wrote, and input that is kept as it is."""
MEANT = {
    "services/reporting/access/password_rules.py": "whatever",  # a password that everybody tries
    "services/reporting/rendering/finding_text.py": "told",  # keys of texts
    "services/reporting/rendering/texts.toml": "told",
    "tests/integration/portal/test_portal_words.py": "told",
    "tests/tidy/test_words.py": "",
    "tests/tidy/test_pages.py": "",
}
"""Files that may say one of the words (empty: any), with the reason."""


def _texts() -> Iterator[tuple[str, str]]:
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.suffix in KINDS]
    for path in [*paths, *(ROOT / name for name in SINGLE)]:
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(OTHERS):
            yield name, path.read_text(encoding="utf-8")


def _is_meant(name: str, word: str) -> bool:
    return name in MEANT and MEANT[name] in {"", word.lower()}


def test_no_vague_word_is_written() -> None:
    vague = [
        f"{name}:{number}: {match[0]}"
        for name, text in _texts()
        for number, line in enumerate(text.splitlines(), start=1)
        for match in VAGUE.finditer(line)
        if not _is_meant(name, match[0])
    ]
    assert vague == []


@pytest.mark.parametrize("room", ["services", "shared", "deploy", "tools", "benchmarks", "tests"])
def test_a_variable_is_named_by_what_it_holds(room: str) -> None:
    named = [
        f"{source.path}:{node.lineno}: {node.id}"
        for source in sources(room)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in VAGUE_NAMES
    ]
    assert named == []


def test_the_search_finds_the_words() -> None:
    assert VAGUE.search("what it was told")
    assert VAGUE.search('"""The same again."""')
    assert not VAGUE.search("a stand-in, a standard, a task")
