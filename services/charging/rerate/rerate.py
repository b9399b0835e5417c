"""Re-rating (重新计费): orders that stand are held against the scheme as it is now, and what differs is booked anew.

Needed when a tariff decision comes in with a back date, or an enrolment was entered wrongly; the scheme files are
corrected first. Rows are only added (docs/decisions/0005): a reversal of what was charged, and a charge of the next
generation. Works day part by day part, set-wise; only orders that differ come to this process, a chunk at a time.

If the process dies here: whole chunks are written, each with its manifest; the same command finds what is left.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from services.charging.rerate.rate_table import NO_LINE, Rules, rules_of
from services.charging.rows.batch import Batch
from services.charging.rows.row_kinds import EXCLUSION_REASONS, RERATED, is_charge_sql, is_superseded_sql
from services.charging.store.archived_days import refuse_archived
from services.charging.store.derived_rows import (
    SETTLE_LOCK,
    ChargeRow,
    DerivedRow,
    add_derived_rows,
    charge_sql,
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
"""Rows looked at, so orders corrected, in one transaction: what it holds in memory, and how long settling waits."""
LONGEST_WINDOW: Final = timedelta(days=400)
_PLACES: Final = """
    select distinct n.enterprise, e.uscc, n.region / 10000 as province, n.industry
    from charging.entry n join charging.enterprise e on e.id = n.enterprise
    where n.kind = 1 and n.accepted_at >= $1 and n.accepted_at < $2
        and ($3::text is null or e.uscc = $3) and ($4::int is null or n.region / 10000 = $4)"""
# The last charges of a day's orders that are not what the rule of their place says. Left alone are orders whose
# charge was taken back (cancelled or sent again) and those that were found sent again: they owe nothing.
_DIFFERING: Final = f"""
    from charging.entry c
    join unnest($1::smallint[], $2::smallint[], $3::smallint[], $4::boolean[], $5::timestamptz[], $6::timestamptz[],
            $7::int[], $8::smallint[], $9::smallint[])
        as r (enterprise, province, industry, is_employee, valid_from, valid_to, premium, tariff_line, reason)
        on (r.enterprise, r.province, r.industry, r.is_employee)
            = (c.enterprise, c.region / 10000, c.industry, c.employer_insurance_no is not null)
        and c.accepted_at >= r.valid_from and c.accepted_at < r.valid_to
    join charging.enterprise e on e.id = c.enterprise
    where c.accepted_at >= $10 and c.accepted_at < $11 and {is_charge_sql("c")}
        and (c.premium, c.tariff_line, c.reason) <> (r.premium, r.tariff_line, r.reason)
        and not {is_superseded_sql("c", "n.accepted_at >= $10 and n.accepted_at < $11")}
        and not exists (select from charging.resend s where (s.enterprise, s.order_id, s.worker_key, s.accepted_at)
            = (c.enterprise, c.order_id, c.worker_key, c.accepted_at))"""
_SUMS: Final = f"""
    select e.uscc, c.region / 10000 as province, c.industry, c.tariff_line as old_line, c.reason as old_reason,
        r.tariff_line as new_line, r.reason as new_reason, count(*) as orders,
        sum(c.premium)::bigint as old_premium, sum(r.premium)::bigint as new_premium {_DIFFERING}
    group by 1, 2, 3, 4, 5, 6, 7 order by 1, 2, 3, 4, 5, 6, 7"""
_CHUNK: Final = f"""
    select {charge_sql("c", "e", cause="c")},
        r.premium as new_premium, r.tariff_line as new_line, r.reason as new_reason {_DIFFERING}
        and c.accepted_at >= $12::timestamptz and c.accepted_at <= $16::timestamptz
        and (c.accepted_at, c.enterprise, c.order_id, c.worker_key)
            > ($12::timestamptz, $13::smallint, $14::text, $15::bigint)
        and (c.accepted_at, c.enterprise, c.order_id, c.worker_key)
            <= ($16::timestamptz, $17::smallint, $18::text, $19::bigint)
    order by c.accepted_at, c.enterprise, c.order_id, c.worker_key"""
# Where the next rows of the day end, by key: a walk along the index, so that no chunk looks at the rest of the day.
_STEP: Final = """
    select accepted_at, enterprise, order_id, worker_key from charging.entry
    where accepted_at >= $1 and accepted_at < $5
        and (accepted_at, enterprise, order_id, worker_key) > ($1, $2::smallint, $3::text, $4::bigint)
    order by 1, 2, 3, 4 offset $6 limit 1"""
# A cancellation that was settled while its order cost nothing is settled again, now that the order is charged.
_UNSETTLE: Final = """
    insert into charging.unsettled (accepted_at, enterprise, order_id, worker_key, batch)
    select x.accepted_at, x.enterprise, x.order_id, x.worker_key, x.batch
    from unnest($1::timestamptz[], $2::smallint[], $3::text[], $4::bigint[], $5::bytea[])
        as o (accepted_at, enterprise, order_id, worker_key, worker_rest)
    join charging.entry x using (accepted_at, enterprise, order_id, worker_key, worker_rest)
    where x.kind = 3 and x.accepted_at >= $6 and x.accepted_at < $7 on conflict do nothing"""
_UNCOVERED: Final = ParkReason.NO_TARIFF_LINE.value
Key = tuple[datetime, int, str, int]


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
    """What a re-rating of the window would change, by day; writes nothing. `Archived` where rows have left."""
    found: list[Difference] = []
    days = window.days()
    async with pool.acquire() as connection:
        await refuse_archived(connection, days[0], days[-1])
        for day in days:
            rules = await _rules(connection, scheme, window, day)
            found += [_difference(day, row) for row in await connection.fetch(_SUMS, *rules.columns, *day_bounds(day))]
    return found


async def book_differences(
    pool: Pool,
    scheme: Scheme,
    window: Window,
    author: AuthorSigner,
    decision: Decision,
    chunk_rows: int = CHUNK_ROWS,
) -> AsyncGenerator[int, None]:
    """Correct every order of the window that differs; tells how many after each chunk that was committed.

    The run of the correction refers to the decision. Again it finds none and changes nothing. Raises Refused, having
    written nothing, where the scheme has no tariff line for an order.
    """
    _refuse_uncovered(await find_differences(pool, scheme, window))
    async with pool.acquire() as connection:
        run = _CorrectionRun(connection, author, decision)
        for day in window.days():
            rules = await _rules(connection, scheme, window, day)
            bounds = day_bounds(day)
            after, last = _before(bounds[0]), _before(bounds[1])
            while rules and after != last:
                step = await connection.fetchrow(_STEP, *after, bounds[1], chunk_rows - 1)
                until = last if step is None else tuple(step)
                if count := await run.book_chunk(rules, bounds, after, until):
                    yield count
                after = until


def _before(instant: datetime) -> Key:
    """A key that none of the instant's orders comes before."""
    return instant, -(2**15), "", -(2**63)


def _refuse_uncovered(differences: list[Difference]) -> None:
    for each in differences:
        if each.new_reason == _UNCOVERED:
            where = f"{each.industry} of {each.enterprise} in province {each.province} on {each.insured_on}"
            raise Refused(f"no tariff line holds for {where}: complete the tariff first")


class _CorrectionRun:
    """The run of one correction; it begins with the first chunk that has something to correct."""

    def __init__(self, connection: Connection, author: AuthorSigner, decision: Decision) -> None:
        self._connection, self._author, self._decision = connection, author, decision
        self._run: Run | None = None

    async def book_chunk(self, rules: Rules, bounds: tuple[datetime, datetime], after: Key, until: Key) -> int:
        """One transaction: the orders behind a key and up to another, corrected; returns how many."""
        async with self._connection.transaction():
            # Under the lock they are looked for anew: a cancellation may have been settled since the last chunk.
            await self._connection.execute("select pg_advisory_xact_lock($1)", SETTLE_LOCK)
            rows = await self._connection.fetch(_CHUNK, *rules.columns, *bounds, *after, *until)
            if rows:
                if self._run is None:
                    self._run = await start_run(self._connection, "correction", self._author, decision=self._decision)
                await read_last_number(self._connection, self._run)
                await _book_chunk(self._connection, self._run, rows, bounds)
        return len(rows)


async def _book_chunk(connection: Connection, run: Run, rows: list[Any], bounds: tuple[datetime, datetime]) -> None:
    batch, derived = Batch(), []
    for row in rows:
        charge, new = ChargeRow.of(row), (row["new_premium"], row["new_line"], row["new_reason"])
        if charge.premium:
            derived.append(reversal_row(charge, RERATED))
        derived.append(DerivedRow(charge, next_charge(charge.kind), *new))
    add_derived_rows(batch, run, derived)
    await write_derived_rows(connection, run, batch, "correction", MANIFESTS)
    newly = [row for row in rows if row["new_premium"] and not row["premium"]]
    names = ("accepted_at", "enterprise", "order_id", "worker_key", "worker_rest")
    await connection.execute(_UNSETTLE, *([row[name] for row in newly] for name in names), *bounds)


async def _rules(connection: Connection, scheme: Scheme, window: Window, day: date) -> Rules:
    begin, end = day_bounds(day)
    province = None if window.province is None else int(window.province)
    places = await connection.fetch(_PLACES, begin, end, window.enterprise, province)
    return rules_of(scheme, places, begin, end)


def _difference(day: date, row: Any) -> Difference:
    return Difference(
        insured_on=day,
        enterprise=row["uscc"],
        province=f"{row['province']:02}",
        industry=Industry.of_code(row["industry"]).value,
        old_line=row["old_line"] or None,
        old_reason=_reason(row["old_reason"]),
        new_line=row["new_line"] or None,
        new_reason=_reason(row["new_reason"]),
        orders=row["orders"],
        old_premium=row["old_premium"],
        new_premium=row["new_premium"],
    )


def _reason(code: int) -> str | None:
    return _UNCOVERED if code == NO_LINE else EXCLUSION_REASONS[code] or None
