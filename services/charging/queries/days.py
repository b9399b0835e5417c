"""Reads the workers of a counted day: those whom it registered, and those whom it excluded as employees."""

from datetime import date
from typing import Final

from msgspec import Struct
from sqlalchemy import Integer, LargeBinary, SmallInteger, bindparam, func, literal_column, select

from services.charging.cut import read_counted_cut
from services.charging.predicates import DAY, first_columns, is_charge, on_day, province, worker_id
from services.charging.rows.row_kinds import EXCLUSION_REASONS
from services.charging.store.archived_days import refuse_archived
from services.charging.tables import enterprise, entry, participant
from shared.adapters.postgres.pool import Pool
from shared.adapters.postgres.queries.statements import query, values
from shared.domain.calendar import day_bounds


class EmployeeExclusion(Struct, frozen=True):
    """Orders of one worker that an enterprise did not pay for, since the worker is insured as an employee."""

    enterprise: str
    worker_id: str
    employer_insurance_no: str | None
    orders: int


_REGISTRATIONS: Final = values(
    select(func.encode(participant.c.worker, literal_column("'hex'")).label("worker"))
    .where(
        participant.c.first_on == DAY,
        participant.c.province == bindparam("province", type_=SmallInteger),
        participant.c.worker > bindparam("after", type_=LargeBinary),
    )
    .order_by(participant.c.worker)
    .limit(bindparam("limit", type_=Integer)),
    str,
)
_EXCLUSIONS: Final = query(
    select(
        enterprise.c.uscc.label("enterprise"),
        worker_id(entry).label("worker_id"),
        entry.c.employer_insurance_no,
        func.count().label("orders"),
    )
    .join_from(entry, enterprise, enterprise.c.id == entry.c.enterprise)
    .where(
        is_charge(entry),
        entry.c.reason == EXCLUSION_REASONS.index("insured_as_employee"),
        province(entry) == bindparam("province", type_=Integer),
        on_day(entry),
    )
    .group_by(*first_columns(3))
    .order_by(*first_columns(3)),
    EmployeeExclusion,
)


class DayQueries:
    """Answers over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def registrations(self, day: date, province: str, after: str, limit: int) -> list[str]:
        """Read tokens of workers first charged in the province by the close of that day, ascending, after a token."""
        return await _REGISTRATIONS.fetch(
            self._pool, day=day, province=int(province), after=bytes.fromhex(after), limit=limit
        )

    async def employee_exclusions(self, day: date, province: str) -> list[EmployeeExclusion]:
        """Count orders accepted on the day, within its cut, that were excluded because the worker is an employee."""
        await refuse_archived(self._pool, day)
        async with self._pool.acquire() as connection:
            cut = await read_counted_cut(connection, day)
            if cut is None:
                return []
            begin, end = day_bounds(day)
            return await _EXCLUSIONS.fetch(connection, cut=cut.lasts, begin=begin, end=end, province=int(province))
