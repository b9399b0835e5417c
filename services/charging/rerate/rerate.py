"""Re-rating (重新计费): booked orders are compared with the scheme as it is now, and what differs is booked again.

Needed when a tariff decision comes in with a back date, or an enrolment was entered wrongly; the scheme files are
corrected first. Rows are only added (docs/decisions/0005): a reversal of what was charged, and a charge of the next
generation. Works day part by day part, set-wise; only orders that differ reach this process, a chunk at a time.

If the process dies here: whole chunks are written, each with its manifest; the same command finds what is left.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from services.charging.rerate.differing import (
    CHARGED,
    CHUNK,
    PLACES,
    RATES,
    STEP,
    SUMS,
    UNSETTLE,
    DifferingCharge,
    DifferingSum,
    NewlyCharged,
    OrderKey,
    name_key,
)
from services.charging.rerate.rate_table import NO_LINE, Rate, rates_of
from services.charging.rows.batch import Batch
from services.charging.rows.row_kinds import EXCLUSION_REASONS, RERATED
from services.charging.store.archived_days import refuse_archived
from services.charging.store.derived_rows import (
    DerivedRow,
    add_derived_rows,
    lock_settling,
    reversal_row,
    write_derived_rows,
)
from services.charging.store.manifests import Run, read_last_number, start_run
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.decisions import Decision
from shared.adapters.postgres.pool import Connection, Pool
from shared.contracts.parking import ParkReason
from shared.contracts.topics import MANIFESTS
from shared.domain.calendar import day_bounds
from shared.domain.errors import Refused
from shared.domain.evidence.leaf import next_charge
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import Scheme

CHUNK_ROWS: Final = 20_000
"""Rows read, so orders corrected, in one transaction: what it holds in memory, and how long settling waits."""
LONGEST_WINDOW: Final = timedelta(days=400)
_UNCOVERED: Final = ParkReason.NO_TARIFF_LINE.value


@dataclass(frozen=True, slots=True)
class Window:
    """Insured days, both included; of one enterprise (USCC) or province (two digits) where it is named."""

    first_on: date
    last_on: date
    enterprise: str | None = None
    province: str | None = None

    def days(self) -> list[date]:
        """The days, ascending; raises Refused for a window that is a mistake."""
        span = self.last_on - self.first_on
        if not timedelta(0) <= span <= LONGEST_WINDOW:
            raise Refused(f"{self.first_on} to {self.last_on} is not a window of up to {LONGEST_WINDOW.days} days")
        return [self.first_on + timedelta(days=n) for n in range(span.days + 1)]


@dataclass(frozen=True, slots=True)
class Difference:
    """Orders of one day and place that were rated one way and are rated another way now; 0.0001 yuan."""

    insured_on: date
    enterprise: str
    province: str
    industry: str
    old_line: int | None
    old_reason: str | None
    new_line: int | None
    new_reason: str | None
    orders: int
    old_premium: int
    new_premium: int


async def find_differences(pool: Pool, scheme: Scheme, window: Window) -> list[Difference]:
    """Find what a re-rating of the window would change, by day; writes nothing. `Archived` where rows have left."""
    differences: list[Difference] = []
    days = window.days()
    async with pool.acquire() as connection:
        await refuse_archived(connection, days[0], days[-1])
        for day in days:
            begin, end = day_bounds(day)
            rates = RATES.parameters(await _read_rates(connection, scheme, window, day))
            differences += [
                _difference(day, row) for row in await SUMS.fetch(connection, begin=begin, end=end, **rates)
            ]
    return differences


async def book_differences(
    pool: Pool,
    scheme: Scheme,
    window: Window,
    author: AuthorSigner,
    decision: Decision,
    chunk_rows: int = CHUNK_ROWS,
) -> AsyncGenerator[int, None]:
    """Correct every order of the window that differs; yields how many after each chunk that was committed.

    The run of the correction refers to the decision. A second call finds no difference and changes nothing. Raises
    Refused, having written nothing, where the scheme has no tariff line for an order.
    """
    _refuse_uncovered(await find_differences(pool, scheme, window))
    async with pool.acquire() as connection:
        run = _CorrectionRun(connection, author, decision)
        for day in window.days():
            rates = await _read_rates(connection, scheme, window, day)
            begin, end = day_bounds(day)
            after, last = _before(begin), _before(end)
            while rates and after != last:
                step = await STEP.fetch_first(connection, end=end, rows=chunk_rows - 1, **name_key("after", after))
                until = step or last
                if count := await run.book_chunk(rates, (begin, end), after, until):
                    yield count
                after = until


def _before(instant: datetime) -> OrderKey:
    """A key that none of the instant's orders comes before."""
    return OrderKey(instant, -(2**15), "", -(2**63))


def _refuse_uncovered(differences: list[Difference]) -> None:
    for difference in differences:
        if difference.new_reason == _UNCOVERED:
            place = f"{difference.industry} of {difference.enterprise} in province {difference.province}"
            raise Refused(f"no tariff line holds for {place} on {difference.insured_on}: complete the tariff first")


class _CorrectionRun:
    """The run of one correction; it begins with the first chunk that has something to correct."""

    def __init__(self, connection: Connection, author: AuthorSigner, decision: Decision) -> None:
        self._connection = connection
        self._author = author
        self._decision = decision
        self._run: Run | None = None

    async def book_chunk(
        self, rates: list[Rate], bounds: tuple[datetime, datetime], after: OrderKey, until: OrderKey
    ) -> int:
        """Correct the orders behind a key and up to another in one transaction; returns how many."""
        async with self._connection.transaction():
            # Under the lock they are read again: a cancellation may have been settled since the last chunk.
            await lock_settling(self._connection)
            rows = await CHUNK.fetch(
                self._connection, begin=bounds[0], end=bounds[1], **RATES.parameters(rates), **name_key("after", after),
                **name_key("until", until),
            )  # fmt: skip
            if rows:
                if self._run is None:
                    self._run = await start_run(self._connection, "correction", self._author, decision=self._decision)
                await read_last_number(self._connection, self._run)
                await _book_chunk(self._connection, self._run, rows, bounds)
        return len(rows)


async def _book_chunk(
    connection: Connection, run: Run, rows: list[DifferingCharge], bounds: tuple[datetime, datetime]
) -> None:
    batch = Batch()
    derived: list[DerivedRow] = []
    for row in rows:
        if row.premium:
            derived.append(reversal_row(row, RERATED))
        derived.append(DerivedRow(row, next_charge(row.kind), row.new_premium, row.new_line, row.new_reason))
    add_derived_rows(batch, run, derived)
    await write_derived_rows(connection, run, batch, "correction", MANIFESTS)
    newly = [
        NewlyCharged(row.accepted_at, row.enterprise, row.order_id, row.worker_key, row.worker_rest)
        for row in rows
        if row.new_premium and not row.premium
    ]
    await UNSETTLE.execute(connection, begin=bounds[0], end=bounds[1], **CHARGED.parameters(newly))


async def _read_rates(connection: Connection, scheme: Scheme, window: Window, day: date) -> list[Rate]:
    begin, end = day_bounds(day)
    wanted = None if window.province is None else int(window.province)
    places = await PLACES.fetch(connection, begin=begin, end=end, uscc=window.enterprise, province=wanted)
    return rates_of(scheme, places, begin, end)


def _difference(day: date, row: DifferingSum) -> Difference:
    return Difference(
        insured_on=day,
        enterprise=row.uscc,
        province=f"{row.province:02}",
        industry=Industry.of_code(row.industry).value,
        old_line=row.old_line or None,
        old_reason=_reason(row.old_reason),
        new_line=row.new_line or None,
        new_reason=_reason(row.new_reason),
        orders=row.orders,
        old_premium=row.old_premium,
        new_premium=row.new_premium,
    )


def _reason(code: int) -> str | None:
    return _UNCOVERED if code == NO_LINE else EXCLUSION_REASONS[code] or None
