"""Draw the portal's map of China from the files of the npm package echarts 4.9.0 (Apache-2.0).

    npm pack echarts@4.9.0 && tar xzf echarts-4.9.0.tgz && python tools/draw_map.py package

writes services/reporting/static/china.json: outlines as SVG paths in a box of WIDTH units, by two-digit code, in
Albers' projection with the parallels that maps of China use; `sea` is the inset of the South China Sea as that package
draws it. Outlines are thinned to what can be seen at this size.
"""

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

Point = tuple[float, float]
WIDTH: Final = 640.0
TOLERANCE: Final = 0.7
"""Units of the box, which is about as wide on a screen as it has units."""
MARGIN: Final = 4.0
SOUTH, NORTH, MIDDLE, ORIGIN = (math.radians(degrees) for degrees in (25.0, 47.0, 105.0, 36.0))
TARGET: Final = Path(__file__).parents[1] / "services" / "reporting" / "static" / "china.json"


def project(longitude: float, latitude: float) -> Point:
    """Albers equal-area conic on a sphere of radius 1; y grows downwards."""
    n = (math.sin(SOUTH) + math.sin(NORTH)) / 2
    c = math.cos(SOUTH) ** 2 + 2 * n * math.sin(SOUTH)
    rho, rho0 = (math.sqrt(c - 2 * n * math.sin(phi)) / n for phi in (math.radians(latitude), ORIGIN))
    theta = n * (math.radians(longitude) - MIDDLE)
    return rho * math.sin(theta), rho * math.cos(theta) - rho0


def decode(text: str, offset: list[int]) -> list[Point]:
    """A ring as echarts writes it: zigzag differences to the point before, 1/1024 of a degree."""
    x, y = offset
    ring = []
    for place in range(0, len(text), 2):
        dx, dy = (((ord(letter) - 64) >> 1) ^ -((ord(letter) - 64) & 1) for letter in text[place : place + 2])
        x, y = x + dx, y + dy
        ring.append(project(x / 1024, y / 1024))
    return ring


def rings(geometry: dict[str, Any]) -> Iterator[list[Point]]:
    """Every ring of a feature."""
    polygons, offsets = geometry["coordinates"], geometry["encodeOffsets"]
    parts = zip(polygons, offsets, strict=True) if geometry["type"] == "MultiPolygon" else [(polygons, offsets)]
    for texts, starts in parts:
        for text, start in zip(texts, starts, strict=True):
            yield decode(text, start)


def thin(line: list[Point], tolerance: float) -> list[Point]:
    """Douglas and Peucker's: leave out what lies nearer than `tolerance` to the line without it."""
    if len(line) < 3:
        return line
    (ax, ay), (bx, by) = line[0], line[-1]
    length = math.hypot(bx - ax, by - ay)

    def distance(point: Point) -> float:
        x, y = point
        if length == 0:
            return math.hypot(x - ax, y - ay)
        return abs((bx - ax) * (ay - y) - (ax - x) * (by - ay)) / length

    far = max(range(1, len(line) - 1), key=lambda place: distance(line[place]))
    if distance(line[far]) <= tolerance:
        return [line[0], line[-1]]
    return thin(line[: far + 1], tolerance)[:-1] + thin(line[far:], tolerance)


def path_of(ring: list[Point]) -> str:
    """SVG path data, relative, one decimal."""
    whole = [(round(x * 10), round(y * 10)) for x, y in ring]
    (x0, y0), *rest = whole
    reported, (x, y) = [f"M{x0 / 10:g} {y0 / 10:g}l"], (x0, y0)
    for nx, ny in rest:
        if (nx, ny) != (x, y):
            reported.append(f"{(nx - x) / 10:g} {(ny - y) / 10:g}")
            x, y = nx, ny
    return reported[0] + " ".join(reported[1:]) + "z"


def sea_of(package: Path, width: float, height: float) -> str:
    """The inset, in the lower right corner."""
    source = (package / "lib" / "coord" / "geo" / "fix" / "nanhai.js").read_text(encoding="utf-8")
    match = re.search(r"var points = (\[\[\[.*?\]\]\]);", source, re.DOTALL)
    assert match is not None
    scale = 1.06
    left, top = width - 64 * scale - MARGIN, height - 93.1 * scale - MARGIN
    return "".join(path_of([(left + x * scale, top + y * scale) for x, y in ring]) for ring in json.loads(match[1]))


def island_of(package: Path) -> list[Point]:
    """The island that the package adds to Taiwan."""
    source = (package / "lib" / "coord" / "geo" / "fix" / "diaoyuIsland.js").read_text(encoding="utf-8")
    match = re.search(r"var points = (\[\[\[.*?\]\]\]);", source, re.DOTALL)
    assert match is not None
    return [project(*point) for point in json.loads(match[1])[0]]


def draw(package: Path) -> dict[str, Any]:
    """The map: box, paths and middle points by code, the inset."""
    features = json.loads((package / "map" / "json" / "china.json").read_text(encoding="utf-8"))["features"]
    shapes = {feature["properties"]["id"][:2]: list(rings(feature["geometry"])) for feature in features}
    shapes["71"].append(island_of(package))
    every = [point for shape in shapes.values() for ring in shape for point in ring]
    west, east = min(x for x, _ in every), max(x for x, _ in every)
    top, bottom = min(y for _, y in every), max(y for _, y in every)
    scale = (WIDTH - 2 * MARGIN) / (east - west)
    height = (bottom - top) * scale + 2 * MARGIN + 34

    def placed(point: Point) -> Point:
        return (point[0] - west) * scale + MARGIN, (point[1] - top) * scale + MARGIN

    def shape_path(shape: list[list[Point]]) -> str:
        drawn = [[placed(point) for point in ring] for ring in shape]
        kept = [ring for ring in drawn if _size(ring) > 1.2] or drawn[:1]
        return "".join(path_of(_thinned(ring)) for ring in kept)

    middles = {feature["properties"]["id"][:2]: placed(project(*feature["properties"]["cp"])) for feature in features}
    return {
        "box": [round(WIDTH), round(height)],
        "shapes": {code: shape_path(shape) for code, shape in sorted(shapes.items())},
        "middles": {code: [round(x, 1), round(y, 1)] for code, (x, y) in sorted(middles.items())},
        "sea": sea_of(package, WIDTH, height),
    }


def _thinned(ring: list[Point]) -> list[Point]:
    """A ring is cut at its farthest point, for a line that ends where it begins has no direction."""
    far = max(range(len(ring)), key=lambda place: math.dist(ring[0], ring[place]))
    return thin(ring[: far + 1], TOLERANCE)[:-1] + thin([*ring[far:], ring[0]], TOLERANCE)[:-1]


def _size(ring: list[Point]) -> float:
    return max(max(x for x, _ in ring) - min(x for x, _ in ring), max(y for _, y in ring) - min(y for _, y in ring))


if __name__ == "__main__":
    TARGET.write_text(json.dumps(draw(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
