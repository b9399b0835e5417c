"""Settling: what turns into a reversal (冲销), set-wise and in any order of arrival (docs/decisions/0004).

A cancellation that met its acceptance is settled by the rule in force when the order was accepted; an order sent again
under another acceptance time is reversed at the close. Either takes back the last charge of the order, which is a
re-rated one where `rerate.py` wrote one. Settling twice changes nothing: a reversal has a key, and a settled
cancellation leaves the queue in the same transaction.
"""

from datetime import date, datetime, timedelta
from typing import Any, Final

from services.charging.rows.batch import Batch
from services.charging.rows.row_kinds import KIND, is_last_charge_sql
from services.charging.store.cut import Batches, planning_without, reached_sql
from services.charging.store.derived_rows import (
    SETTLE_LOCK,
    ChargeRow,
    add_derived_rows,
    charge_sql,
    reversal_row,
    write_derived_rows,
)
from services.charging.store.manifests import Run, limit_transaction, read_last_number, start_run
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.pool import Connection, Pool
from shared.contracts.manifests import PremiumsCharged
from shared.contracts.topics import MANIFESTS
from shared.domain.calendar import day_bounds, since_epoch_us
from shared.domain.scheme.cancellation import reverses
from shared.domain.scheme.rating import Scheme

STEP_ROWS: Final = 20_000
"""Cancellations settled in one step; more wait for the next."""
_ORDER: Final = "a.accepted_at, a.enterprise, a.order_id, a.worker_key"
_KEY: Final = "accepted_at, enterprise, order_id, worker_key"
_REVERSAL: Final = """left join charging.entry r on (r.accepted_at, r.enterprise, r.order_id, r.worker_key, r.kind)
        = (a.accepted_at, a.enterprise, a.order_id, a.worker_key, case a.kind when 1 then 4 else a.kind + 1 end)"""

_WAITING: Final = f"""
    select {charge_sql("a", "e", cause="c")}, r.kind is not null as is_reversed
    from (select {_KEY} from charging.unsettled u where $1::bigint[] is null or {reached_sql("u.batch")}) u
    join charging.entry a using ({_KEY})
    join charging.entry c using ({_KEY})
    join charging.enterprise e on e.id = a.enterprise
    {_REVERSAL}
    where {is_last_charge_sql("a")} and c.kind = 3 and a.worker_rest = c.worker_rest
        and ($1::bigint[] is null or {reached_sql("a.batch")})
    order by {_ORDER} limit {STEP_ROWS}"""

_HASH: Final = "hashint8extended(worker_key, hashtextextended(order_id, enterprise))"
"""64 bits of an order's key but its time: what is compared first. That two differ says that the orders do."""
_BETWEEN: Final = "{0}.accepted_at >= $1 and {0}.accepted_at < $2"
"""Said of every row, also where it follows, so that only the parts of these days are planned for."""
_TWICE: Final = f"""
    select hash from (select {_HASH} as hash from charging.entry e where kind = 1 and {_BETWEEN.format("e")}) accepted
    group by hash having count(*) > 1"""
_RESENT: Final = f"""
    with alike as materialized (
        select {_KEY} from charging.entry e
        where kind = 1 and {_BETWEEN.format("e")} and {_HASH} = any($3::bigint[])),
    received as (
        select {_ORDER}, first_value(a.accepted_at) over (
            partition by a.enterprise, a.order_id, a.worker_key, a.worker_rest
            order by m.turn, a.leaf_index) as kept_accepted_at
        from alike join charging.entry a using ({_KEY})
        join charging.manifest m on m.batch = a.batch
        where a.kind = 1 and {_BETWEEN.format("a")} and {reached_sql("a.batch", parameter=4)})
    select {charge_sql("a", "e", cause="a")}, x.kept_accepted_at, r.kind is not null as is_reversed
    from received x
    join charging.entry a using (accepted_at, enterprise, order_id, worker_key)
    join charging.enterprise e on e.id = a.enterprise
    left join charging.resend s on (s.enterprise, s.order_id, s.worker_key, s.accepted_at)
        = (a.enterprise, a.order_id, a.worker_key, a.accepted_at)
    {_REVERSAL} and {_BETWEEN.format("r")}
    where a.accepted_at <> x.kept_accepted_at and {_BETWEEN.format("a")} and s.order_id is null
        and {is_last_charge_sql("a", _BETWEEN.format("n"))}
    order by {_ORDER}"""


async def settle(pool: Pool, scheme: Scheme, run: Run) -> int | None:
    """One settling step over everything that waits; returns how many orders were reversed.

    None when another settles or counts a day, or a correction is booked: nothing was read.
    """
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval("select pg_try_advisory_xact_lock($1)", SETTLE_LOCK):
            return None
        await limit_transaction(connection, run)
        await read_last_number(connection, run)
        batch = Batch()
        await _settle_cancellations(connection, scheme, run, batch, None)
        if batch.rows:
            await write_derived_rows(connection, run, batch, "settlement", MANIFESTS)
    return len(batch.rows)


async def settle_within(
    connection: Connection, scheme: Scheme, day: date, cut: Batches, author: AuthorSigner
) -> tuple[int, PremiumsCharged] | None:
    """The settlement that belongs to a close, in the caller's transaction: its batch and manifest, None if empty.

    Searches for re-sends in the day before, the day and the day after, and on the last day of a month in all of it.
    """
    run = await start_run(connection, "close", author)
    batch = Batch()
    while await _settle_cancellations(connection, scheme, run, batch, cut) == STEP_ROWS:
        continue
    await _reverse_resends(connection, run, batch, day, cut)
    if not batch.rows:
        return None
    number = run.next_batch()
    return number, await write_derived_rows(connection, run, batch, "settlement", None)


async def _settle_cancellations(
    connection: Connection, scheme: Scheme, run: Run, batch: Batch, cut: Batches | None
) -> int:
    """Reverse what the dated rule reverses; returns how many cancellations were settled."""
    lasts = None if cut is None else cut.lasts
    waiting = await connection.fetch(_WAITING, lasts)
    due = []
    for row in waiting:
        rule = scheme.cancellation_rule(row["accepted_at"])
        is_due = row["premium"] > 0 and not row["is_reversed"]
        if is_due and reverses(rule, row["accepted_at"], row["ended_at"], row["departed"]):
            due.append(reversal_row(ChargeRow.of(row), "cancelled"))
    add_derived_rows(batch, run, due)
    await connection.executemany(
        "delete from charging.unsettled where (accepted_at, enterprise, order_id, worker_key) = ($1, $2, $3, $4)",
        [tuple(row[:4]) for row in waiting],
    )
    return len(waiting)


async def _reverse_resends(connection: Connection, run: Run, batch: Batch, day: date, cut: Batches) -> None:
    """The first received holds; the others are findings, and reversed where they were charged."""
    is_month_end = (day + timedelta(days=1)).month != day.month
    first = day.replace(day=1) if is_month_end else day - timedelta(days=1)
    begin, end = day_bounds(first)[0], day_bounds(day + timedelta(days=1))[1]
    already = {row[:KIND] for row in batch.rows}
    rows = await _find_resends(connection, cut, begin, end)
    due = [
        reversal_row(ChargeRow.of(row), "resent")
        for row in rows
        if row["premium"] > 0 and not row["is_reversed"] and (since_epoch_us(row[0]), *row[1:KIND]) not in already
    ]
    add_derived_rows(batch, run, due)
    await connection.executemany(
        "insert into charging.resend values ($1, $2, $3, $4, $5, $6, $7)",
        [
            (
                row["enterprise"], row["order_id"], row["worker_key"], row["accepted_at"], row["kept_accepted_at"],
                row["premium"] > 0, day,
            )
            for row in rows
        ],
    )  # fmt: skip


async def _find_resends(connection: Connection, cut: Batches, begin: datetime, end: datetime) -> list[Any]:
    """All rows between are read twice, by their key alone: for hashes that come twice, and for the orders behind them.

    The hashes are sorted, which takes half the time of a table of them. Of the orders, which are few, the planner
    expects as many as there are rows, and would read all of these twice more.
    """
    async with planning_without(connection, "hashagg"):
        twice = [row["hash"] for row in await connection.fetch(_TWICE, begin, end)]
    if not twice:
        return []
    async with planning_without(connection, "hashjoin", "mergejoin"):
        return list(await connection.fetch(_RESENT, begin, end, twice, cut.lasts))
