"""Pages stay short, name commands that exist, and show tables and trees that match the code."""

import re
from pathlib import Path

import pytest

from services.charging.ingest.topics_watch import Alarm
from services.ledger.operations.alarms import NAMES
from tests.tidy.source import ROOT
from tests.tidy.test_rooms import DOCUMENTS, HISTORY
from tools.command_table import commands, with_table

MOST_LINES = {
    "README.md": 130,
    "CONTRIBUTING.md": 120,
    "docs/architecture.md": 150,
    "docs/performance.md": 120,
    **{str(path.relative_to(ROOT)): 60 for path in ROOT.glob("services/*/README.md")},
}
CODE = re.compile(r"^```\w*\n(.*?)^```$|^ {4}(?=\S)(.*?)$|`([^`]+)`", re.MULTILINE | re.DOTALL)
DANBAO = re.compile(r"\bdanbao ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")
SIGNED = re.compile(r"\bdanbao [a-z ]+/v\d")
"""First lines of signed texts, such as `danbao log entry/v2`."""
MAKE = re.compile(r"^(?:\w+=\S+ )*make ([a-z][a-z-]*)", re.MULTILINE)
TREE = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
UNLISTED = {"__init__.py", "__pycache__", "README.md"}
PAGES = [page for page in DOCUMENTS if page.name not in HISTORY]


def _code(page: Path) -> str:
    """Code spans and code blocks of the page, a line each."""
    spans = CODE.finditer(page.read_text(encoding="utf-8"))
    return "\n".join(" ".join(next(group for group in match.groups() if group).split(" ")) for match in spans)


@pytest.mark.parametrize("path", MOST_LINES)
def test_a_page_stays_short(path: str) -> None:
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= MOST_LINES[path]


def test_the_table_of_commands_is_up_to_date() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(page) == page, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    known = commands()
    named = [match.groups() for match in DANBAO.finditer(SIGNED.sub("", _code(page)))]
    unknown = [
        f"danbao {command} {subcommand or ''}".strip()
        for command, subcommand in named
        if command not in known or (subcommand and known[command][0] and subcommand not in known[command][0])
    ]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_verb_of_make_that_a_page_names_exists(page: Path) -> None:
    verbs = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert [verb for verb in MAKE.findall(_code(page)) if verb not in verbs] == []


def test_every_alarm_has_a_row_among_the_incidents() -> None:
    text = (ROOT / "docs" / "incidents.md").read_text(encoding="utf-8")
    assert [name for name in (*NAMES, *Alarm) if f"`{name}`" not in text] == []


def test_every_decision_is_in_the_list() -> None:
    folder = ROOT / "docs" / "decisions"
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in folder.glob("0*.md") if f"({path.name})" not in text] == []


@pytest.mark.parametrize("readme", sorted(ROOT.glob("services/*/README.md")), ids=lambda path: path.parent.name)
def test_the_tree_of_a_service_is_its_folder(readme: Path) -> None:
    (tree,) = TREE.findall(readme.read_text(encoding="utf-8"))
    shown = {line.split()[0].rstrip("/") for line in tree.splitlines() if not line.startswith(" ")}
    assert shown == {path.name for path in readme.parent.iterdir()} - UNLISTED


def test_the_published_schemas_cite_files_that_exist() -> None:
    schemas = [path.read_text(encoding="utf-8") for path in ROOT.glob("docs/contracts/**/*.json")]
    cited = {path for schema in schemas for path in re.findall(r"docs/[\w/.-]*\w", schema)}
    assert [path for path in sorted(cited) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
