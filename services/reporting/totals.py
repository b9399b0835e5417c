"""Other people's counts of a day against what was received of it, once it is closed and again when more has come."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from sqlalchemy import Row, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.discrepancies import Discrepancy, settle
from services.reporting.tables import TOTAL_CHECK
from shared.contracts.findings import FindingKind

Record = Callable[[AsyncConnection, Iterable[Discrepancy]], Awaitable[None]]
# Due: a total of an examined day that was never checked, or of which more was received since.
_DUE: Final = text("""
with last as (select max(day) as day from reporting.day_examined)
select t.source, t.enterprise, t.day, t.count, last.day as checked_on, coalesce(f.received, 0) as received
from last cross join reporting.reported_total t
cross join lateral (select sum(f.received)::bigint as received from reporting.day_figure f
    where f.insured_on = t.day and f.enterprise = t.enterprise) f
left join lateral (select c.received from reporting.total_check c
    where (c.day, c.enterprise, c.source) = (t.day, t.enterprise, t.source)
    order by c.checked_on desc limit 1) c on true
where exists (select from reporting.day_examined e where e.day = t.day)
    and (c.received is null or t.day >= last.day - 31 and c.received <> coalesce(f.received, 0))
order by t.day, t.enterprise, t.source limit 1000
""")


async def check_totals(connection: AsyncConnection, record_all: Record) -> int:
    """Check what is due; returns how many totals."""
    due = (await connection.execute(_DUE)).all()
    for each in due:
        if each.count == each.received:
            note = f"by the close of {each.checked_on} as many were received"
            await settle(connection, FindingKind.INDEPENDENT_TOTAL, _key(each), note)
        else:
            await record_all(connection, [_differing(each)])
        row = {"source": each.source, "enterprise": each.enterprise, "day": each.day}
        row |= {"checked_on": each.checked_on, "received": each.received}
        await connection.execute(insert(TOTAL_CHECK).values(row))
    return len(due)


def _key(total: Row[Any]) -> str:
    return f"{total.source}.{total.enterprise}.{total.day}"


def _differing(total: Row[Any]) -> Discrepancy:
    return Discrepancy(
        kind=FindingKind.INDEPENDENT_TOTAL,
        key=_key(total),
        day=total.day,
        enterprise=total.enterprise,
        count=abs(total.count - total.received),
        detail=f"{total.source} counts {total.count} orders of {total.day}, {total.received} were received",
        evidence={"source": total.source, "reported": total.count, "received": total.received},
    )
