"""Draw the map of China by province: every reporting unit is a link, shaded by its figure.

The outlines were drawn by tools/draw_map.py. The Corps (66) has no outline and is listed in the table next to
the map; Taiwan, Hong Kong and Macau are no reporting units and are drawn without a figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from markupsafe import Markup
from msgspec import Struct

OUTLINES: Final = Path(__file__).parents[1] / "static" / "china.json"
CLASSES: Final = 5
_HATCH: Final = Markup(
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-ground" width="6" height="6"/><line class="hatch-line" x1="1" y1="0" x2="1" y2="6"/>'
    "</pattern></defs>"
)


@dataclass(frozen=True, slots=True)
class Shade:
    """One province as drawn: its value (None: not in the pilot), its label, its link."""

    value: int | None
    said: str
    href: str


class _Outlines(Struct, frozen=True):
    """The file of outlines: width and height, a path a province, and the sea's."""

    box: tuple[int, int]
    shapes: dict[str, str]
    sea: str


class ChinaMap:
    """The outlines, read once."""

    def __init__(self, file: Path = OUTLINES) -> None:
        self._map = msgspec.json.decode(file.read_bytes(), type=_Outlines)

    def draw(self, shades: Mapping[str, Shade], title: str) -> Markup:
        """The map; provinces without a shade are drawn plain."""
        width, height = self._map.box
        edges = class_edges([shade.value for shade in shades.values() if shade.value])
        shapes = [self._shape(path, shades.get(code), edges) for code, path in self._map.shapes.items()]
        return Markup(
            '<svg class="map" viewBox="0 0 {} {}" role="group" aria-label="{}">{}{}<path class="sea" d="{}"/></svg>'
        ).format(width, height, title, _HATCH, Markup("").join(shapes), self._map.sea)

    @staticmethod
    def _shape(path: str, shade: Shade | None, edges: Sequence[int]) -> Markup:
        if shade is None:
            return Markup('<path class="unreported" d="{}"/>').format(path)
        kind = "outside" if shade.value is None else f"q{class_of(shade.value, edges)}"
        return Markup(
            '<a href="{0}" aria-label="{1}" data-tip="{1}"><title>{1}</title><path class="{2}" d="{3}"/></a>'
        ).format(shade.href, shade.said, kind, path)


def class_edges(values: Sequence[int]) -> list[int]:
    """The highest value of each class but the last: provinces in as equal parts as there are."""
    ordered = sorted(set(values))
    if len(ordered) <= CLASSES:
        return ordered[:-1]
    return [ordered[len(ordered) * part // CLASSES - 1] for part in range(1, CLASSES)]


def class_of(value: int, edges: Sequence[int]) -> int:
    """0 for nothing, else 1 to CLASSES; few different values take the darker ones."""
    if value <= 0:
        return 0
    return CLASSES - len(edges) + sum(value > edge for edge in edges)
