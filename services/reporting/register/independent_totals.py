"""Compare independent counts of a day with the events received: at its close, and again when more have come."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.register.discrepancies import Discrepancy, resolve
from services.reporting.register.set_aside import Step
from services.reporting.tables import TOTAL_CHECK
from shared.adapters.postgres.quarantine import Item, Quarantine
from shared.contracts.findings import FindingKind

Record = Callable[[AsyncConnection, Iterable[Discrepancy]], Awaitable[None]]
# Due: a total of an examined day that was never checked, or of which more was received since; the last of a source.
_DUE: Final = text("""
with last as (select max(day) as day from reporting.day_examined), held as (
    select distinct on (day, enterprise, source) number, source, enterprise, day, count
    from reporting.reported_total order by day, enterprise, source, number desc)
select concat_ws('.', t.source, t.enterprise, t.day) as name, t.number, t.source, t.enterprise, t.day,
    t.count as reported,
    last.day as checked_on, coalesce(f.received, 0) as received
from last cross join held t
cross join lateral (select sum(f.received) as received from reporting.day_figure f
    where f.insured_on = t.day and f.enterprise = t.enterprise) f
left join lateral (select c.received from reporting.total_check c
    where c.number = t.number order by c.checked_on desc limit 1) c on true
where exists (select from reporting.day_examined e where e.day = t.day)
    and (c.received is null or t.day >= last.day - 31 and c.received <> coalesce(f.received, 0))
    and not exists (select from reporting.set_aside a where a.step = 'check_total' and a.resolved_at is null
        and a.item = concat_ws('.', t.source, t.enterprise, t.day) and a.next_at > clock_timestamp())
order by t.day, t.enterprise, t.source limit 1000
""")


class _DueTotal(Struct, frozen=True):
    """A reported total, with what was received of its day so far."""

    name: str
    number: int
    source: str
    enterprise: str
    day: date
    reported: int
    checked_on: date
    received: Decimal


async def check_totals(engine: AsyncEngine, quarantine: Quarantine, record_all: Record) -> int:
    """Check what is due; returns how many totals. One that cannot be checked is set aside."""
    async with engine.connect() as connection:
        due = [_DueTotal(*row) for row in await connection.execute(_DUE)]

    async def check(connection: AsyncConnection, items: Sequence[Item[_DueTotal]]) -> int:
        for item in items:
            await _check(connection, item.content, record_all)
        return len(items)

    await quarantine.do_all([_item(row) for row in due], check)
    return len(due)


def _item(row: _DueTotal) -> Item[_DueTotal]:
    return Item(Step.CHECK_TOTAL, row.name, row, {"day": row.day, "enterprise": row.enterprise})


async def _check(connection: AsyncConnection, total: _DueTotal, record_all: Record) -> None:
    received = int(total.received)
    row = {"number": total.number, "checked_on": total.checked_on, "received": received}
    mark = insert_once(TOTAL_CHECK).values(row).on_conflict_do_nothing().returning(TOTAL_CHECK.c.number)
    if await connection.scalar(mark) is None:  # another process was quicker
        return
    if total.reported == received:
        note = f"by the close of {total.checked_on} {received} were received, as {total.source} counts now"
        await resolve(connection, FindingKind.INDEPENDENT_TOTAL, _key(total), note)
    else:
        await record_all(connection, [_differing(total, received)])


def _key(total: _DueTotal) -> str:
    return f"{total.source}.{total.enterprise}.{total.day}"


def _differing(total: _DueTotal, received: int) -> Discrepancy:
    return Discrepancy(
        kind=FindingKind.INDEPENDENT_TOTAL,
        key=_key(total),
        day=total.day,
        enterprise=total.enterprise,
        count=abs(total.reported - received),
        detail=f"{total.source} counts {total.reported} orders of {total.day}, {received} were received",
        evidence={"source": total.source, "reported": total.reported, "received": received},
    )
