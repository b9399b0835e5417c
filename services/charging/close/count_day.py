"""The count for a close: settle within the cut, then count over exactly its batches, and answer once.

Everything is one transaction, so a crash leaves either no trace or the whole answer; to a repeated question the
stored answer is given again. An answer belongs to its question, and a settlement to its cut, by their SHA-256: no
earlier question about the day, even under the same attempt, can take their place.
"""

from collections import Counter
from datetime import date
from typing import Any, Final

import msgspec

from services.charging.close.count_workers import count_first_time, count_workers
from services.charging.close.settlement import settle_within
from services.charging.numbers.assessment import assess, count_assessed
from services.charging.numbers.gaps import judge_days
from services.charging.numbers.outside_declaration import count_outside
from services.charging.numbers.seen_ranges import Reach, account_numbers
from services.charging.rows.row_kinds import is_charge_sql, is_reversal_sql, outcome_of, reason_of
from services.charging.store.cut import Batches, fetch_counted, find_late, reached_sql, resolve
from services.charging.store.day_partitions import seal_partition
from services.charging.store.derived_rows import SETTLE_LOCK
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.pool import Connection, Pool
from shared.contracts.manifests import (
    AcceptancesByHour,
    DayClosing,
    DayCounted,
    PremiumsCharged,
    Total,
    cut_hash,
    question_hash,
)
from shared.contracts.topics import DAYS_COUNTED, MANIFESTS
from shared.domain.calendar import SHANGHAI, day_bounds, insured_day
from shared.domain.evidence.leaf import RowKind
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import Scheme

# For statements over a whole day: to sort and hash in memory, and to share the rows out among parallel workers, each of
# which hands on its groups. There are far fewer of these than the planner can know: by its usual price it would not.
_SETTINGS: Final = "set local work_mem = '128MB'; set local parallel_tuple_cost = 0.05"
_TOTALS: Final = f"""
    select accepted_in, e.uscc, province, industry, tariff_line, kind, reason, orders, premium
    from (
        select date_bin('1 hour', accepted_at, 'epoch') as accepted_in, enterprise, region / 10000 as province,
            industry, tariff_line, kind, reason, count(*) as orders, sum(premium)::bigint as premium
        from charging.entry where ({is_charge_sql("entry")} or {is_reversal_sql("entry")}) and {{scope}}
        group by 1, 2, 3, 4, 5, 6, 7) counted
    join charging.enterprise e on e.id = enterprise"""
_UNMATCHED: Final = f"""
    select count(*) from charging.unsettled u
    join charging.entry c on (c.accepted_at, c.enterprise, c.order_id, c.worker_key, c.kind)
        = (u.accepted_at, u.enterprise, u.order_id, u.worker_key, 3)
    where u.accepted_at < $2 and {reached_sql("u.batch")}
    and not exists (select 1 from charging.entry a where (a.accepted_at, a.enterprise, a.order_id, a.worker_key, a.kind)
        = (u.accepted_at, u.enterprise, u.order_id, u.worker_key, 1) and a.worker_rest = c.worker_rest)"""


async def count_day(pool: Pool, scheme: Scheme, closing: DayClosing, author: AuthorSigner, gap_days: int = 7) -> None:
    """Answer a `days.closing.v1` through the outbox; numbers that are missing for `gap_days` are presumed orders."""
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", SETTLE_LOCK)
            await connection.execute(_SETTINGS)
            payload = await _read_answer(connection, closing)
            if payload is None:
                payload = msgspec.json.encode(await _count(connection, scheme, closing, author, gap_days))
                await connection.execute(
                    "insert into charging.day_count (day, attempt, payload, question) values ($1, $2, $3, $4)",
                    closing.day, closing.attempt, payload, question_hash(closing),
                )  # fmt: skip
            await connection.execute(
                "insert into charging.outbox (topic, key, payload) values ($1, $2, $3)",
                DAYS_COUNTED, closing.day.isoformat(), payload,
            )  # fmt: skip
        await seal_partition(connection, closing.day)


async def _read_answer(connection: Connection, closing: DayClosing) -> bytes | None:
    """The stored answer to this question; to one from before answers named theirs, if it is over the same cut."""
    rows = await connection.fetch(
        "select question, payload from charging.day_count where (day, attempt) = ($1, $2) order by question desc",
        closing.day, closing.attempt,
    )  # fmt: skip
    question = question_hash(closing)
    for row in rows:
        if row["question"] == question or (not row["question"] and _answered(row["payload"]).cut == closing.cut):
            payload: bytes = row["payload"]
            return payload
    return None


def _answered(payload: bytes) -> DayCounted:
    return msgspec.json.decode(payload, type=DayCounted)


async def _count(
    connection: Connection, scheme: Scheme, closing: DayClosing, author: AuthorSigner, gap_days: int
) -> DayCounted:
    cut = await resolve(connection, closing.cut)
    previous = await resolve(connection, closing.previous_cut)
    settlement = await _settlement(connection, scheme, closing, cut, author)
    if settlement is not None:
        cut = cut.with_batch(settlement[0])
    # A day's rows fall into few groups, which the planner cannot know: it would sort all of them.
    await connection.execute("set local enable_sort = off")
    late = await find_late(connection, cut, previous, closing.day)
    reach = Reach(cut, previous, late)
    if await account_numbers(connection, closing.day, reach):
        await judge_days(connection, closing.day, reach, gap_days)
        await assess(connection, scheme, closing.day, reach, author)
    rows = await fetch_counted(connection, _TOTALS, closing.day, cut, late)
    workers = await count_workers(connection, closing.day, cut, late)
    outside = await count_outside(connection, closing.day, cut, previous)
    resends = "select count(*) from charging.resend where found_on = $1"
    return DayCounted(
        day=closing.day,
        attempt=closing.attempt,
        cut=closing.cut,
        settlement=None if settlement is None else settlement[1],
        totals=_totals(rows) + await count_assessed(connection, cut, previous),
        workers=workers,
        first_time=await count_first_time(connection, closing.day),
        resends=await connection.fetchval(resends, closing.day),
        unmatched_cancellations=await connection.fetchval(_UNMATCHED, cut.lasts, day_bounds(closing.day)[1]),
        hours=_hours(rows),
        deployment=author.author.identity,
        question=question_hash(closing),
        outside=outside or msgspec.UNSET,
    )


async def _settlement(
    connection: Connection, scheme: Scheme, closing: DayClosing, cut: Batches, author: AuthorSigner
) -> tuple[int, PremiumsCharged] | None:
    """The settlement of this day's close: written once for its cut, then found again by every attempt.

    Of a day with questions about several cuts, the ledger closes one. Its settlement travels in the answer; all
    are published as ordinary manifests, too, so that none is missing in the books.
    """
    day, name = closing.day, cut_hash(closing.cut)
    known = await connection.fetch(
        """select s.cut, s.batch, m.payload from charging.day_settlement s left join charging.manifest m using (batch)
        where s.day = $1 order by s.cut desc""",
        day,
    )
    for row in known:
        if row["cut"] == name or (not row["cut"] and await _is_counted_over(connection, closing)):
            return None if row["batch"] is None else (row["batch"], _manifest(row["payload"]))
    written = await settle_within(connection, scheme, day, cut, author)
    await connection.execute(
        "insert into charging.day_settlement (day, batch, cut) values ($1, $2, $3)",
        day, None if written is None else written[0], name,
    )  # fmt: skip
    if known:
        settlements = [row["payload"] for row in known if row["payload"] is not None]
        settlements += [msgspec.json.encode(written[1])] if written is not None else []
        await connection.executemany(
            "insert into charging.outbox (topic, key, payload) values ($1, $2, $3)",
            [(MANIFESTS, _manifest(payload).run, payload) for payload in settlements],
        )
    return written


async def _is_counted_over(connection: Connection, closing: DayClosing) -> bool:
    """Whether an answer from before questions were named is over this cut, and so is the day's settlement."""
    rows = await connection.fetch(
        "select payload from charging.day_count where day = $1 and question = ''", closing.day
    )
    return any(_answered(row["payload"]).cut == closing.cut for row in rows)


def _manifest(payload: bytes) -> PremiumsCharged:
    return msgspec.json.decode(payload, type=PremiumsCharged)


def _totals(rows: list[Any]) -> list[Total]:
    """The rows, which are by hour, summed by day."""
    orders: Counter[tuple[Any, ...]] = Counter()
    premium: Counter[tuple[Any, ...]] = Counter()
    for accepted_in, *place, kind, reason, count, amount in rows:
        key = (insured_day(accepted_in), *place, outcome_of(kind, reason), reason_of(kind, reason))
        orders[key] += count
        premium[key] += amount
    return [_total(key, orders[key], premium[key]) for key in sorted(orders, key=repr)]


def _total(key: tuple[Any, ...], orders: int, premium: int) -> Total:
    insured_on, uscc, province, industry, tariff_line, outcome, reason = key
    return Total(
        insured_on=insured_on,
        enterprise=uscc,
        province=f"{province:02}",
        industry=Industry.of_code(industry).value,
        outcome=outcome,
        reason=reason,
        tariff_line=tariff_line or None,
        orders=orders,
        premium=premium,
    )


def _hours(rows: list[Any]) -> list[AcceptancesByHour]:
    """Acceptances, charged and excluded, by the hour of their day."""
    hours: dict[tuple[date, str, int], list[int]] = {}
    for row in rows:
        if row["kind"] == RowKind.ACCEPTANCE:
            at = row["accepted_in"].astimezone(SHANGHAI)
            counts = hours.setdefault((at.date(), row["uscc"], row["province"]), [0] * 24)
            counts[at.hour] += row["orders"]
    return [
        AcceptancesByHour(insured_on=on, enterprise=uscc, province=f"{province:02}", orders=counts)
        for (on, uscc, province), counts in sorted(hours.items())
    ]
