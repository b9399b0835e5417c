"""Read the facts of all checks: manifests, cuts and closed days, which grow with batches and days, not orders."""

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from services.audit.archived import read_archived
from services.audit.verdict import Check
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs
from shared.contracts.manifests import ALONE, DayClosed, PremiumsCharged
from shared.domain.scheme.rating import Scheme

RUN_SHIFT: Final = 32
"""A batch's number is its run's id and, in the low 32 bits, its manifest's number."""
PATIENCE: Final = timedelta(minutes=10)
"""How long one service may wait for another before the audit finds that something is missing."""
Cut = dict[str, int]


@dataclass(slots=True)
class Manifest:
    """A manifest as charging keeps it."""

    batch: int
    run: str
    purpose: str
    number: int
    events: int
    leaves: int
    root: str
    payload: bytes
    reported: PremiumsCharged
    is_old: bool

    @property
    def name(self) -> str:
        """Name of the manifest in findings."""
        return f"charging.manifest {self.run}/{self.number}"


@dataclass(slots=True)
class ClosedDay:
    """A closed day as the ledger keeps it."""

    day: date
    as_of: datetime
    attempt: int
    cut: Cut
    orders: int
    premium: int
    reported: DayClosed
    resends: int
    unmatched_cancellations: int


@dataclass(slots=True)
class Facts:
    """Read once, in one snapshot of the books and a later one (or the same) of one deployment of charging."""

    scheme: Scheme
    opened_on: date | None
    enterprises: dict[int, str]
    manifests: dict[int, Manifest]
    closed: list[ClosedDay]
    run_ids: dict[str, int]
    archived: Mapping[date, str] = field(default_factory=dict)
    patience: timedelta = PATIENCE
    deployment: str = ALONE
    billed: Collection[str] = ()
    _reached: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for index, closed in enumerate(self.closed):
            for run, number in closed.cut.items():
                if run in self.run_ids:
                    self._reached[self.run_ids[run]].append((number, index))

    def closing_of(self, batch: int) -> int | None:
        """Index in `closed` of the first day whose cut reaches the batch; None when none does yet."""
        reached = self._reached.get(batch >> RUN_SHIFT, [])
        place = bisect_left(reached, (batch & (1 << RUN_SHIFT) - 1, -1))
        return reached[place][1] if place < len(reached) else None

    def booked_while_open(self, batch: int) -> date | None:
        """The oldest open day when the manifest was booked: what decides its posting days (docs/decisions/0004)."""
        if self.opened_on is None:
            return None
        index = self.closing_of(batch)
        return self.closed[index].day if index is not None else self.opened_on + timedelta(days=len(self.closed))

    def closed_on(self, day: date) -> ClosedDay | None:
        """Return the closed day of that date."""
        if self.opened_on is None:
            return None
        index = (day - self.opened_on).days
        return self.closed[index] if 0 <= index < len(self.closed) else None


async def read_facts(
    books: Connection, scheme: Scheme, check: Check, patience: timedelta = PATIENCE, charging: Connection | None = None
) -> Facts:
    """Read the facts; a message that does not parse is a finding of `check` and counts as empty.

    `charging` None: its schema is in the database of the books. Else it is read after
    the books: it may know more, never less.
    """
    opened_on = await books.fetchval("select opened_on from ledger.books")
    days = await fetch_structs(books, _ClosedRow, "select * from ledger.day_closed order by day")
    closed = [_closed(row, check) for row in days]
    billed = {row["period"] for row in await books.fetch("select period from ledger.period_issued")}
    own = charging or books
    manifests = await fetch_structs(own, _ManifestRow, _MANIFESTS, patience)
    return Facts(
        scheme=scheme,
        opened_on=opened_on,
        enterprises={row["id"]: row["uscc"] for row in await own.fetch("select * from charging.enterprise")},
        manifests={row.batch: _manifest(row, check) for row in manifests},
        closed=closed,
        run_ids={row["run"]: row["id"] for row in await own.fetch("select id, run from charging.run")},
        archived=await read_archived(own),
        patience=patience,
        deployment=await own.fetchval("select name from charging.deployment") or ALONE,
        billed=billed,
    )


_MANIFESTS: Final = """
    select m.*, r.run, r.purpose, m.committed_at < now() - $1::interval as is_old
    from charging.manifest m join charging.run r on r.id = m.run_id order by m.batch"""


class _ManifestRow(Struct, frozen=True):
    """A row of `charging.manifest`, with its run."""

    batch: int
    run: str
    purpose: str
    number: int
    events: int
    leaves: int
    root: bytes
    payload: bytes
    is_old: bool


class _ClosedRow(Struct, frozen=True):
    """A row of `ledger.day_closed`, with the message as JSON."""

    day: date
    as_of: datetime
    attempt: int
    cut: str
    orders: int
    premium: int
    totals: str
    workers: str
    first_time: str
    hours: str
    resends: int
    unmatched_cancellations: int


def _manifest(row: _ManifestRow, check: Check) -> Manifest:
    run, number = row.run, row.number
    empty = PremiumsCharged(run=run, number=number, kind="orders", leaves=0, root="", totals=[])
    return Manifest(
        batch=row.batch,
        run=row.run,
        purpose=row.purpose,
        number=row.number,
        events=row.events,
        leaves=row.leaves,
        root=row.root.hex(),
        payload=row.payload,
        reported=check.read(f"charging.manifest {run}/{number}", row.payload, PremiumsCharged, empty),
        is_old=row.is_old,
    )


def _closed(row: _ClosedRow, check: Check) -> ClosedDay:
    parts = {name: json.loads(getattr(row, name)) for name in ("totals", "workers", "first_time", "hours")}
    try:
        message = msgspec.convert(parts | {"day": row.day, "as_of": row.as_of}, DayClosed)
    except msgspec.ValidationError as error:
        check.find(f"ledger.day_closed {row.day} does not read: {error}")
        message = DayClosed(day=row.day, as_of=row.as_of, totals=[], workers=[], first_time=[])
    return ClosedDay(
        day=row.day,
        as_of=row.as_of,
        attempt=row.attempt,
        cut=json.loads(row.cut),
        orders=row.orders,
        premium=row.premium,
        reported=message,
        resends=row.resends,
        unmatched_cancellations=row.unmatched_cancellations,
    )
