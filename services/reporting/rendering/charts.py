"""Draw charts as SVG on the server: they work without a script, print, and scale with their place.

Places along x are per cent and along y pixels, so letters keep their size on a phone and on a desk screen. Nothing is
inline style: the content policy allows none. Each mark has a <title>, which a screen reader says and a mouse shows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

HEIGHT: Final = 190
TOP, BOTTOM = 14, 26
STEPS: Final = 4
"""Lines of the grid, at most, above nothing."""
ROUND: Final = (10, 15, 20, 25, 30, 40, 50, 60, 80)
"""What a step of the grid may begin with, in tenths."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One place along x: its label, its value and what is said of it; `before` is the value of the period before."""

    label: str
    value: int | None
    said: str
    before: int | None = None
    href: str | None = None
    is_peak: bool = False


def line_of_days(marks: Sequence[Mark], *, every: int) -> Markup:
    """A line over an area, the period before dashed behind it; every so many labels are written."""
    most = _ceiling([mark.value or 0 for mark in marks] + [mark.before or 0 for mark in marks])
    count = max(len(marks) - 1, 1)
    line = _points((100 * place / count, mark.value) for place, mark in enumerate(marks))
    before = _points((100 * place / count, mark.before) for place, mark in enumerate(marks))
    drawn = [_scaled(line, before, most), *_labels(marks, every, lambda place: 100 * place / count)]
    width = 100 / count
    for place, mark in enumerate(marks):
        x = max(0.0, 100 * place / count - width / 2)
        drawn.append(_hit(mark, x, min(width, 100 - x)))
    return _chart(most, drawn)


def bars(marks: Sequence[Mark], *, every: int = 1) -> Markup:
    """One bar per mark; peaks are highlighted."""
    most = _ceiling([mark.value or 0 for mark in marks])
    slot = 100 / max(len(marks), 1)
    drawn: list[Markup] = []
    for place, mark in enumerate(marks):
        high = _pixels(mark.value or 0, most)
        kind = "bar peak" if mark.is_peak else "bar rest"
        drawn.append(
            Markup('<rect class="{}" x="{:.2f}%" y="{:.1f}" width="{:.2f}%" height="{:.1f}" rx="1.5"/>').format(
                kind, slot * (place + 0.16), HEIGHT - BOTTOM - high, slot * 0.68, high
            )
        )
    drawn += _labels(marks, every, lambda place: slot * (place + 0.5))
    drawn += [_hit(mark, slot * place, slot) for place, mark in enumerate(marks)]
    return _chart(most, drawn)


def meter(share: float) -> Markup:
    """A share of one as a thin bar; it only repeats the figure next to it."""
    width = min(100.0, max(0.0, share * 100))
    return Markup(
        '<svg aria-hidden="true" focusable="false"><rect class="meter-ground" width="100%" height="100%" rx="2"/>'
        '<rect class="meter" width="{:.1f}%" height="100%" rx="2"/></svg>'
    ).format(width)


def spark(values: Sequence[int]) -> Markup:
    """A small line without letters, drawn next to a written figure."""
    most, count = max([*values, 1]), max(len(values) - 1, 1)
    points = " ".join(f"{100 * place / count:.1f},{30 - 28 * value / most:.1f}" for place, value in enumerate(values))
    return Markup(
        '<svg class="spark" viewBox="0 0 100 31" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<polyline points="{}"/></svg>'
    ).format(points)


def _chart(most: int, drawn: Iterable[Markup]) -> Markup:
    grid = [Markup('<line class="axis" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(HEIGHT - BOTTOM)]
    step, said = _step(most), []
    for value in range(step, most + 1, step):
        y = HEIGHT - BOTTOM - _pixels(value, most)
        grid.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>').format(y))
        said.append(Markup('<text x="0" y="{:.1f}">{:,}</text>').format(y - 3, value))
    return Markup('<svg class="chart" height="{}" role="group">{}</svg>').format(
        HEIGHT, Markup("").join([*grid, *drawn, *said])
    )


def _scaled(line: str, before: str, most: int) -> Markup:
    """The lines in a separate box, stretched to the chart's place."""
    high = HEIGHT - TOP - BOTTOM
    first, last = (
        (
            line.split(" ", maxsplit=1)[0].split(",", maxsplit=1)[0],
            line.rsplit(" ", maxsplit=1)[-1].split(",", maxsplit=1)[0],
        )
        if line
        else ("0", "0")
    )
    parts = [
        Markup('<svg y="{}" width="100%" height="{}" viewBox="0 0 100 {}" preserveAspectRatio="none">').format(
            TOP, high, most
        )
    ]
    flip = Markup('<g transform="translate(0 {}) scale(1 -1)">').format(most)
    area = Markup('<polygon class="area" points="{},0 {} {},0"/>').format(first, line, last) if line else Markup("")
    parts += [flip, area, Markup('<polyline class="before" points="{}"/>').format(before)]
    parts += [Markup('<polyline class="line" points="{}"/>').format(line), Markup("</g></svg>")]
    return Markup("").join(parts)


def _points(places: Iterable[tuple[float, int | None]]) -> str:
    return " ".join(f"{x:.2f},{value}" for x, value in places if value is not None)


def _labels(marks: Sequence[Mark], every: int, x_of: Callable[[int], float]) -> list[Markup]:
    drawn = []
    for place, mark in enumerate(marks):
        if place % every == 0:
            x = x_of(place)
            anchor = "start" if x < 2 else "end" if x > 98 else "middle"
            drawn.append(
                Markup('<text x="{:.2f}%" y="{}" text-anchor="{}">{}</text>').format(x, HEIGHT - 8, anchor, mark.label)
            )
    return drawn


def _hit(mark: Mark, x: float, width: float) -> Markup:
    """The area in which a pointer or the keyboard finds the mark."""
    area = Markup('<rect class="hit" x="{:.2f}%" y="{}" width="{:.2f}%" height="{}"/>').format(
        x, TOP, width, HEIGHT - TOP - BOTTOM
    )
    if mark.href is None:
        return Markup('<g class="spot" role="img" aria-label="{0}" data-tip="{0}"><title>{0}</title>{1}</g>').format(
            mark.said, area
        )
    return Markup('<a href="{0}" aria-label="{1}" data-tip="{1}"><title>{1}</title>{2}</a>').format(
        mark.href, mark.said, area
    )


def _pixels(value: int, most: int) -> float:
    return (HEIGHT - TOP - BOTTOM) * value / most


def _step(most: int) -> int:
    return max(1, most // STEPS)


def _ceiling(values: Sequence[int]) -> int:
    """The least round number at or above all, which the steps of the grid part evenly."""
    highest, unit = max([*values, 1]), 1
    while True:
        for tenths in ROUND:
            most = STEPS * unit * tenths // 10
            if most >= highest and unit * tenths % 10 == 0:
                return most
        unit *= 10
