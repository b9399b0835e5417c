"""The portal's pictures: each is shown somewhere, none is missing, and all together stay small."""

import re
from pathlib import Path

HOUSE = Path(__file__).parents[2]
FOLDER = HOUSE / "docs" / "portal"
LARGEST_BYTES = 200_000
SHOWN = re.compile(r"\]\((?:docs/portal/)?([\w-]+\.webp)\)")


def test_pictures_are_shown_and_small() -> None:
    there = {path.name: path.stat().st_size for path in FOLDER.glob("*.*") if path.suffix != ".md"}
    assert {name: size for name, size in there.items() if size > LARGEST_BYTES} == {}
    shown = set(SHOWN.findall((FOLDER / "README.md").read_text(encoding="utf-8")))
    assert shown == set(there)
    front = SHOWN.findall((HOUSE / "README.md").read_text(encoding="utf-8"))
    assert len(front) == 2
    assert set(front) <= shown
