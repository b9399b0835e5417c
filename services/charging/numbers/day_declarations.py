"""Enterprises' own manifests of a day (`day.declared.v1`) as a close sees them: which came, when, and which one holds.

Of signed ones the highest revision of a day holds, the first of it, and goes before any that is not signed; of unsigned
ones the last received. One that differs from an earlier one is a finding. Numbers are declared for the day on which
they were given, and an acceptance around midnight may be counted to the day before or after: comparing numbers needs
the neighbouring days' manifests, too.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import msgspec
from sqlalchemy import Date, Text, any_, bindparam, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY

from services.charging.cut import Batches
from services.charging.predicates import CUT, PREVIOUS, reached
from services.charging.tables import declaration as stored
from services.charging.tables import enterprise, manifest
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


_DECLARED: Final = query(
    select(
        stored.c.enterprise,
        enterprise.c.uscc,
        stored.c.declared_day,
        stored.c.body,
        stored.c.received,
        reached(stored, PREVIOUS).is_not(true()).label("is_new"),
        stored.c.revision,
    )
    .join_from(stored, enterprise, enterprise.c.id == stored.c.enterprise)
    .join(manifest, manifest.c.batch == stored.c.batch)
    .where(or_(_DAYS.is_(None), stored.c.declared_day == any_(_DAYS)))
    .where(or_(_USCC.is_(None), enterprise.c.uscc == _USCC), or_(CUT.is_(None), reached(stored)))
    .order_by(manifest.c.turn, stored.c.leaf_index),
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
    revision: int | None = None
    """Of a signed one; None: not signed, for the enterprise had no key on the day."""

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
    """Those that the cut reaches (None: all there are), of some days or of all, in the order of their receipt."""
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
        )
        for row in rows
    ]


def holding(declared: Iterable[Declared]) -> dict[tuple[int, date], Declared]:
    """The one that holds for each enterprise and day, of those in the order of their receipt."""
    held: dict[tuple[int, date], Declared] = {}
    for declaration in declared:
        key = (declaration.enterprise, declaration.day)
        if key not in held or replaces(declaration, held[key]):
            held[key] = declaration
    return held


def replaces(new: Declared, held: Declared) -> bool:
    """Whether one received later holds in the place of the one that held until then."""
    if new.revision is None:
        return held.revision is None
    return held.revision is None or new.revision > held.revision


def not_outdated(declared: Iterable[Declared]) -> list[Declared]:
    """Without those that a signed revision goes before."""
    received = list(declared)
    held = holding(received)
    return [
        declaration
        for declaration in received
        if _is_current(declaration, held[declaration.enterprise, declaration.day])
    ]


def _is_current(declaration: Declared, held: Declared) -> bool:
    return declaration is held or declaration.revision is None is held.revision


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
