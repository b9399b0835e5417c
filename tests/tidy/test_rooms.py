"""Where things are: packages of a dozen modules, one name a module in its service, paths that exist."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.tidy.source import CODE, ROOT, sources

MOST_MODULES = 12
SHARED_NAMES = {"__init__", "__main__", "env"}
"""Names that Python and alembic give."""
NOT_OURS = {".venv", "var", "node_modules"}
"""Folders of the checkout that others fill."""
DOCUMENTS = [path for path in sorted(ROOT.rglob("*.md")) if not NOT_OURS & set(path.relative_to(ROOT).parts)]
HISTORY = {"CHANGELOG.md"}
"""Documents that name what was there once."""
PATH = re.compile(r"`((?:services|shared|deploy|tests|docs|tools|benchmarks|requirements)/[\w./*-]+|\.ci/run)")
DANGLING = re.compile(r"\b(?:design|decision|Design) D\d+\b|\(D\d+\)|sum of D10")
RECORD = re.compile(r"\bdecisions?[/ ](\d{4})\b")


def test_a_package_holds_a_dozen_modules_at_the_most() -> None:
    modules = Counter(
        str(Path(source.path).parent)
        for source in sources("services", "shared")
        if not source.path.endswith("__init__.py")
    )
    assert {package: count for package, count in modules.items() if count > MOST_MODULES} == {}


def test_a_modules_name_is_unique_in_its_service() -> None:
    places: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for source in sources("services"):
        path = Path(source.path)
        if path.stem not in SHARED_NAMES and "versions" not in path.parts:
            places[path.parts[1], path.stem].append(source.path)
    assert [paths for paths in places.values() if len(paths) > 1] == []


def test_modules_of_an_api_end_in_routes() -> None:
    modules = [Path(source.path) for source in sources("services")]
    assert [
        str(path)
        for path in modules
        if path.parent.name == "api" and path.stem != "__init__" and not path.stem.endswith("_routes")
    ] == []


@pytest.mark.parametrize("page", [page for page in DOCUMENTS if page.name not in HISTORY], ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    named = {match[1].rstrip(".") for match in PATH.finditer(page.read_text(encoding="utf-8"))}
    assert sorted(name for name in named if not any(ROOT.glob(f"{name.rstrip('/')}*"))) == []


def test_no_citation_points_at_a_page_that_is_not_here() -> None:
    numbers = {path.name[:4] for path in (ROOT / "docs" / "decisions").glob("*.md")}
    texts = {source.path: source.text for source in sources(*CODE, "benchmarks", "tools")}
    texts |= {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in DOCUMENTS}
    dangling = [f"{path}: {match[0]}" for path, text in texts.items() for match in DANGLING.finditer(text)]
    unknown = [
        f"{path}: {match[0]}"
        for path, text in texts.items()
        for match in RECORD.finditer(text)
        if match[1] not in numbers
    ]
    assert dangling + unknown == []
