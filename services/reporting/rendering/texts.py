"""Translate the portal's texts: texts.toml holds both languages side by side, and a page shows one.

A key is its section and its name: `t("state.open")`. Names that come from data (provinces, industries, enterprises)
have their own functions; an unknown code is shown as it is.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from shared.domain.books.delays import BOUNDS_SECONDS
from shared.domain.money import Amount, yuan
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.province import PROVINCES
from shared.domain.times import read_instant, shown_time

Language = Literal["zh", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("zh", "en")
LARGEST_CHANGE: Final = 10
"""More than so many times the period before is a comparison with a beginning, and means nothing."""
TEXTS: Final = Path(__file__).with_name("texts.toml")


def read_texts(file: Path = TEXTS) -> dict[str, tuple[str, str]]:
    """Key to Chinese and English."""
    sections = tomllib.loads(file.read_text(encoding="utf-8"))
    return {f"{section}.{name}": (zh, en) for section, texts in sections.items() for name, (zh, en) in texts.items()}


@dataclass(frozen=True, slots=True)
class Extent:
    """Which rows of a list a page shows, from 1, and how many there are; no rows where there are more than that."""

    first: int | None
    last: int | None
    count: int

    @classmethod
    def of(cls, before: int | None, shown: int, count: int) -> "Extent":
        """So many rows behind `before` others."""
        return cls(None, None, count) if before is None else cls(before + 1, before + shown, count)


class Translator:
    """The texts of one language."""

    def __init__(
        self, language: Language, texts: Mapping[str, tuple[str, str]], enterprises: Mapping[str, str]
    ) -> None:
        self.language, self._enterprises = language, enterprises
        self.html_lang = "zh-Hans" if language == "zh" else "en"
        self._texts = {key: both[LANGUAGES.index(language)] for key, both in texts.items()}

    def __call__(self, key: str, **values: Any) -> str:
        """A text that has to be there, with its values."""
        text = self._texts[key]
        return text.format(**values) if values else text

    def maybe(self, key: str, values: Mapping[str, str]) -> str | None:
        """A text with its values; None where there is no such text, or one of its values is not known."""
        try:
            return self._texts[key].format_map(values)
        except KeyError:
            return None

    def word(self, section: str, code: str | None) -> str:
        """A word for a code of a closed list; one that is not known is said as it is."""
        return self._texts.get(f"{section}.{code}", code or "")

    def province(self, code: str | None) -> str:
        known = PROVINCES.get(code or "")
        if known is None:
            return code or ""
        return known.chinese if self.language == "zh" else known.english

    def enterprise(self, uscc: str | None) -> str:
        return self._enterprises.get(uscc or "", uscc or "")

    def industry(self, name: str | None) -> str:
        if name not in set(Industry):
            return name or ""
        return Industry(name).chinese if self.language == "zh" else str(name).replace("_", " ").capitalize()

    def named(self, kind: str, code: str | None) -> str:
        """A province, an enterprise or an industry."""
        return {"province": self.province, "enterprise": self.enterprise, "industry": self.industry}[kind](code)

    def compared(self, now: int, before: int) -> str:
        """By how much a figure changed; empty where there is nothing to compare with."""
        change = change_text(now, before)
        return self("figure.compared", change=change) if change else ""

    def extent(self, extent: Extent) -> str:
        """ "1-50 of 1,834"."""
        key = "table.extent_more" if extent.first is None else "table.extent"
        return self(key, first=grouped(extent.first), last=grouped(extent.last), count=grouped(extent.count))

    def month(self, period: str) -> str:
        """ "2026-10" as it is read."""
        year, month = int(period[:4]), int(period[5:7])
        return f"{year}年{month}月" if self.language == "zh" else f"{date(year, month, 1):%B} {year}"

    def day(self, day: date | None) -> str:
        """A day in a heading; tables have it as ISO 8601."""
        if day is None:
            return ""
        return f"{day.year}年{day.month}月{day.day}日" if self.language == "zh" else f"{day.day} {day:%B %Y}"


def say_bound(t: Translator, place: int) -> str:
    """A bucket of shared.domain.books.delays in words."""
    said = [_seconds(t, bound) for bound in BOUNDS_SECONDS]
    if place == 0:
        return t("figure.below", bound=said[0])
    if place == len(said):
        return t("figure.from_on", bound=said[-1])
    return t("figure.between", from_bound=said[place - 1], to_bound=said[place])


def _seconds(t: Translator, seconds: int) -> str:
    for unit, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= unit and seconds % unit == 0:
            return t(f"figure.{name}", count=seconds // unit)
    return t("figure.seconds", count=seconds)


def grouped(number: int | str | Decimal | None) -> str:
    """A count or a decimal string with commas between thousands: "1234.50" is "1,234.50"; nothing for None."""
    if number is None:
        return ""
    whole, point, part = str(number).partition(".")
    sign, digits = ("−", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{point}{part}"


def shanghai_time(instant: datetime | str | None) -> str:
    """Date and time in Asia/Shanghai, to the second, with the offset; "" for none."""
    if isinstance(instant, str):
        instant = read_instant(instant) if instant else None
    return shown_time(instant) if instant else ""


def share_text(part: int, whole: int) -> str:
    """A share in per cent to one decimal; a dash of nothing."""
    return f"{Decimal(100 * part) / whole:.1f}%" if whole else "–"


def change_text(now: int, before: int | None) -> str:
    """By how much it changed against the period before; empty where that is nothing, or next to nothing."""
    if not before or now > LARGEST_CHANGE * before:
        return ""
    change = Decimal(100 * (now - before)) / before
    return f"{'+' if change >= 0 else '−'}{abs(change):.1f}%"


def yuan_text(amount: int) -> str:
    """0.0001 yuan as a decimal string, in fen where that is exact: what people read."""
    text = yuan(Amount(amount))
    whole, _, part = text.partition(".")
    return f"{whole}.{part.rstrip('0'):0<2}"


def percent(share: str | None) -> str:
    """A share as the answers have it ("0.9998") in per cent; a dash for none."""
    return "–" if share is None else f"{Decimal(share) * 100:.2f}%"
