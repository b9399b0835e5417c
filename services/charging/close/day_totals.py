"""Sum the rows that a close counts: by day, place, outcome and tariff line, and by the hour of acceptance."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import BigInteger, cast, func, literal_column, or_, select

from services.charging.cut import Batches, CountedRows, Late, Scope
from services.charging.predicates import first_columns, is_charge, is_reversal, province
from services.charging.rows.row_kinds import outcome_of, reason_of
from services.charging.tables import INSTANT, enterprise, entry
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import Selected
from shared.contracts.manifests import AcceptancesByHour, Outcome, Total
from shared.domain.calendar import SHANGHAI, insured_day
from shared.domain.evidence.leaf import RowKind
from shared.domain.scheme.industry import Industry


class HourSum(Struct, frozen=True):
    """Rows of one kind that were accepted within an hour; `premium` is 0.0001 yuan."""

    accepted_in: datetime
    uscc: str
    province: int
    industry: int
    tariff_line: int
    kind: int
    reason: int
    orders: int
    premium: int


class _Place(Struct, frozen=True):
    insured_on: date
    uscc: str
    province: int
    industry: int
    tariff_line: int
    outcome: Outcome
    reason: str | None


def _select_sums(scope: Scope) -> Selected:
    hour = func.date_bin(
        literal_column("interval '1 hour'"), entry.c.accepted_at, literal_column("timestamptz 'epoch'"), type_=INSTANT
    )
    groups = (
        hour.label("accepted_in"), entry.c.enterprise, province(entry).label("province"), entry.c.industry,
        entry.c.tariff_line, entry.c.kind, entry.c.reason,
    )  # fmt: skip
    premium = cast(func.sum(entry.c.premium), BigInteger)
    sums = (
        select(*groups, func.count().label("orders"), premium.label("premium"))
        .where(or_(is_charge(entry), is_reversal(entry)), scope)
        .group_by(*first_columns(len(groups)))
        .subquery("counted")
    )
    columns = [(enterprise if name == "uscc" else sums).c[name] for name in HourSum.__struct_fields__]
    return select(*columns).select_from(sums).join(enterprise, enterprise.c.id == sums.c.enterprise)


_SUMS: Final = CountedRows(_select_sums, HourSum)


async def read_sums(connection: Connection, day: date, cut: Batches, late: Late) -> list[HourSum]:
    """Sum what the close of a day counts: charges and their reversals."""
    return await _SUMS.fetch(connection, day, cut, late)


def totals_of(sums: Iterable[HourSum]) -> list[Total]:
    """The sums of the hours by insured day."""
    orders: Counter[_Place] = Counter()
    premium: Counter[_Place] = Counter()
    for row in sums:
        outcome, reason = outcome_of(row.kind, row.reason), reason_of(row.kind, row.reason)
        day = insured_day(row.accepted_in)
        place = _Place(day, row.uscc, row.province, row.industry, row.tariff_line, outcome, reason)
        orders[place] += row.orders
        premium[place] += row.premium
    return [_total(place, orders[place], premium[place]) for place in sorted(orders, key=repr)]


def _total(place: _Place, orders: int, premium: int) -> Total:
    return Total(
        insured_on=place.insured_on,
        enterprise=place.uscc,
        province=f"{place.province:02}",
        industry=Industry.of_code(place.industry).value,
        outcome=place.outcome,
        reason=place.reason,
        tariff_line=place.tariff_line or None,
        orders=orders,
        premium=premium,
    )


def hours_of(sums: Iterable[HourSum]) -> list[AcceptancesByHour]:
    """Acceptances, charged and excluded, by the hour of their day."""
    hours: dict[tuple[date, str, int], list[int]] = {}
    for row in sums:
        if row.kind == RowKind.ACCEPTANCE:
            at = row.accepted_in.astimezone(SHANGHAI)
            counts = hours.setdefault((at.date(), row.uscc, row.province), [0] * 24)
            counts[at.hour] += row.orders
    return [
        AcceptancesByHour(insured_on=on, enterprise=uscc, province=f"{code:02}", orders=counts)
        for (on, uscc, code), counts in sorted(hours.items())
    ]
