"""docs/threats.md names the test that holds each answer to an attack: every one of them exists."""

import re

import pytest

from tests.tidy.source import ROOT, sources

PAGE = ROOT / "docs" / "threats.md"
NAMED = sorted(set(re.findall(r"`([a-z_/]+/test_\w+\.py)(?:::(test_\w+))?`", PAGE.read_text(encoding="utf-8"))))
ALONE = re.compile(r"`(?:::)?test_\w+`|`test_\w+\.py[^`]*`")


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_test_that_the_page_names_exists(path: str, name: str) -> None:
    (source,) = (source for source in sources("tests") if source.path == f"tests/{path}")
    assert not name or re.search(rf"^\s*(async )?def {name}\(", source.text, re.MULTILINE), name


def test_a_test_is_named_with_its_folder() -> None:
    assert len(NAMED) > 20
    assert ALONE.findall(PAGE.read_text(encoding="utf-8")) == []
