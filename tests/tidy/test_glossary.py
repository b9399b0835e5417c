"""The glossary points at places that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_place_in_the_glossary_exists() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    places = set(re.findall(r"`((?:shared|services)/[a-z_/.]+)`", text))
    assert len(places) > 10
    assert [place for place in sorted(places) if not (ROOT / place).exists()] == []
