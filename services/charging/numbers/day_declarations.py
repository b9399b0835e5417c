"""Enterprises' own manifests of a day (`day.declared.v1`) as a close sees them: which came, when, and which one holds.

Of a day the highest revision holds, and a signed one goes before any that is not signed. Of equal revisions the first
of signed ones holds, for nobody may replace it, and the last of unsigned ones. First and last are by record time: two
declarations lie in different partitions, which are read in any order. One that differs from another is a finding.
Numbers are declared for the day on which they were given, and an acceptance around midnight may be counted to the day
before or after: comparing numbers needs the neighbouring days' manifests, too.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import Date, Text, any_, bindparam, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY

from services.charging.cut import Batches
from services.charging.predicates import CUT, PREVIOUS, reached
from services.charging.tables import declaration as stored
from services.charging.tables import enterprise
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import query
from shared.contracts.events import Declaration, DeclaredSeries
from shared.domain.books.number_ranges import Range, Ranges, united
from shared.intake.message_content import declared_content

_DAYS: Final = bindparam("days", type_=ARRAY(Date))
_USCC: Final = bindparam("uscc", type_=Text)


class _DeclaredRow(msgspec.Struct, frozen=True):
    enterprise: int
    uscc: str
    declared_day: date
    body: bytes
    received: bytes
    is_new: bool
    revision: int | None
    stated_revision: int
    recorded_at: datetime


_DECLARED: Final = query(
    select(
        stored.c.enterprise,
        enterprise.c.uscc,
        stored.c.declared_day,
        stored.c.body,
        stored.c.received,
        reached(stored, PREVIOUS).is_not(true()).label("is_new"),
        stored.c.revision,
        stored.c.stated_revision,
        stored.c.recorded_at,
    )
    .join_from(stored, enterprise, enterprise.c.id == stored.c.enterprise)
    .where(or_(_DAYS.is_(None), stored.c.declared_day == any_(_DAYS)))
    .where(or_(_USCC.is_(None), enterprise.c.uscc == _USCC), or_(CUT.is_(None), reached(stored)))
    .order_by(stored.c.recorded_at, stored.c.declaration_id),
    _DeclaredRow,
)


@dataclass(frozen=True, slots=True)
class Declared:
    """One manifest of an enterprise; `is_new`: no earlier close had it. `received` is SHA-256 of its bytes."""

    enterprise: int
    uscc: str
    day: date
    reported: Declaration
    received: bytes
    is_new: bool
    revision: int | None
    """Of a signed one; None: not signed, for the enterprise had no key on the day."""
    stated_revision: int
    recorded_at: datetime

    @property
    def content(self) -> tuple[object, ...]:
        """What it says, without its id, however it is spelled."""
        return declared_content(self.reported)


async def read_declared(
    connection: Connection,
    cut: Batches | None,
    previous: Batches,
    days: Sequence[date] | None = None,
    uscc: str | None = None,
) -> list[Declared]:
    """Those that the cut reaches (None: all there are), of some days or of all, in the order of their record times."""
    rows = await _DECLARED.fetch(
        connection, cut=None if cut is None else cut.lasts, previous=previous.lasts, days=days, uscc=uscc
    )
    return [
        Declared(
            row.enterprise,
            row.uscc,
            row.declared_day,
            msgspec.json.decode(row.body, type=Declaration),
            row.received,
            row.is_new,
            row.revision,
            row.stated_revision,
            row.recorded_at,
        )
        for row in rows
    ]


def holding(declared: Iterable[Declared]) -> dict[tuple[int, date], Declared]:
    """The one that holds for each enterprise and day, in any order of them."""
    held: dict[tuple[int, date], Declared] = {}
    for declaration in declared:
        key = (declaration.enterprise, declaration.day)
        if key not in held or replaces(declaration, held[key]):
            held[key] = declaration
    return held


def replaces(new: Declared, held: Declared) -> bool:
    """Whether one of a day holds in the place of another: a rule of their content and record times alone."""
    is_signed = new.revision is not None
    if is_signed != (held.revision is not None):
        return is_signed
    if new.stated_revision != held.stated_revision:
        return new.stated_revision > held.stated_revision
    is_later = (new.recorded_at, new.reported.declaration_id) > (held.recorded_at, held.reported.declaration_id)
    return is_later != is_signed


def not_outdated(declared: Iterable[Declared]) -> list[Declared]:
    """Those that hold."""
    return list(holding(declared).values())


def around(day: date) -> list[date]:
    """The day with its neighbours."""
    return [day + timedelta(days=n) for n in (-1, 0, 1)]


@dataclass(frozen=True, slots=True)
class DeclaredNumbers:
    """Of one series: used on the day itself, used around it, unused around it."""

    used: Ranges
    used_around: Ranges
    unused: Ranges


def declared_numbers(held: Iterable[Declared], day: date) -> dict[tuple[int, str], DeclaredNumbers]:
    """By enterprise and series, from manifests that hold; those of other days but the neighbours do not count."""
    used: dict[tuple[int, str], list[Range]] = defaultdict(list)
    used_around: dict[tuple[int, str], list[Range]] = defaultdict(list)
    unused: dict[tuple[int, str], list[Range]] = defaultdict(list)
    for declaration in held:
        if declaration.day not in around(day):
            continue
        for series in declaration.reported.series:
            key = (declaration.enterprise, series.series)
            used_around[key] += _pairs(series, "used")
            unused[key] += _pairs(series, "unused")
            used[key] += _pairs(series, "used") if declaration.day == day else []
    keys = used_around.keys() | unused.keys()
    return {key: DeclaredNumbers(united(used[key]), united(used_around[key]), united(unused[key])) for key in keys}


def _pairs(series: DeclaredSeries, what: str) -> list[Range]:
    """The declared ranges; one whose last number is below its first is ignored."""
    return [(part.first, part.last) for part in getattr(series, what) if part.first <= part.last]
