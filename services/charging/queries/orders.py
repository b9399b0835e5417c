"""Single orders: which rows an order has, and which orders covered a worker at an instant. Reads only."""

from datetime import date, datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import BigInteger, FromClause, LargeBinary, Text, and_, bindparam, exists, func, not_, or_, select, true

from services.charging.predicates import is_last_charge, is_resent, is_reversal_of, same_order
from services.charging.queries.entry_rows import EntryRow, entry_of_day, fetch_of_days, is_order, select_entries
from services.charging.rows.row_kinds import kind_word, reason_word
from services.charging.store.archived_days import refuse_archived
from services.charging.tables import INSTANT, enterprise, entry
from shared.adapters.postgres.pool import Pool
from shared.adapters.postgres.queries.statements import Query, query
from shared.contracts.topics import orders_topic
from shared.domain.calendar import insured_day
from shared.domain.evidence.leaf import RowKind
from shared.domain.money import Amount, yuan
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.order_span import OrderSpans
from shared.domain.scheme.worker import split_token


class OrderRow(Struct, frozen=True):
    """A row of an order in the words of the glossary."""

    enterprise: str
    topic: str
    order_id: str
    kind: str
    reason: str | None
    accepted_at: datetime
    ended_at: datetime | None
    province: str
    acceptance_region: str
    industry: str
    premium_yuan: str
    tariff_line: int | None
    batch: int
    leaf_index: int


class Cover(OrderRow, frozen=True):
    """An order that covered its worker.

    `recorded_at`: when its acceptance was sent; when it was accepted, if it was sent within the minute. `is_reversed`:
    the charge was taken back, as of an order that was cancelled later.
    """

    cover_ended_at: datetime | None
    recorded_at: datetime
    is_reversed: bool


class _CoverRow(EntryRow, frozen=True):
    cover_ended_at: datetime | None
    sent_at: datetime
    is_reversed: bool


def _order_rows(rows: FromClause) -> Query[EntryRow]:
    order_id = bindparam("order_id", type_=Text)
    statement = (
        select_entries(rows)
        .where(enterprise.c.uscc == bindparam("uscc", type_=Text), is_order(rows, order_id))
        .order_by(rows.c.accepted_at, rows.c.worker_key, rows.c.kind)
    )
    return query(statement, EntryRow)


ORDER_OF_DAY: Final = _order_rows(entry_of_day("n"))
"""Every row of an order that was accepted on a day."""
ORDER_OF_ANY_DAY: Final = _order_rows(entry.alias("n"))


def _covers() -> Query[_CoverRow]:
    """Last charges of a worker's orders that were accepted and had not ended; none of what was sent again."""
    charge, first, end, later, reversal = (entry_of_day(name) for name in "afcnr")
    at, accepted_from = bindparam("at", type_=INSTANT), bindparam("accepted_from", type_=INSTANT)
    ended = (
        select(func.min(end.c.ended_at).label("ended_at"))
        .where(same_order(end, charge), end.c.kind.in_((RowKind.COMPLETION, RowKind.CANCELLATION)))
        .lateral("x")
    )
    sent_at = func.coalesce(first.c.recorded_at, charge.c.accepted_at)
    is_first = and_(same_order(first, charge), first.c.kind == RowKind.ACCEPTANCE)
    statement = (
        select_entries(charge)
        .add_columns(
            ended.c.ended_at.label("cover_ended_at"),
            sent_at.label("sent_at"),
            exists().where(is_reversal_of(reversal, charge)).label("is_reversed"),
        )
        .outerjoin(first, is_first)
        .outerjoin(ended, true())
        .where(
            charge.c.worker_key == bindparam("worker_key", type_=BigInteger),
            charge.c.worker_rest == bindparam("worker_rest", type_=LargeBinary),
            charge.c.accepted_at <= at,
            charge.c.accepted_at >= accepted_from,
            is_last_charge(charge, by=later),
            not_(is_resent(charge)),
            or_(ended.c.ended_at.is_(None), ended.c.ended_at >= at),
        )
        .order_by(charge.c.accepted_at)
    )
    return query(statement, _CoverRow)


_COVERS: Final = _covers()


class OrderQueries:
    """Answers over a pool of `services.charging.store.partition_queries`."""

    def __init__(self, pool: Pool, spans: OrderSpans) -> None:
        self._pool, self._spans = pool, spans

    async def order(self, enterprise: str, order_id: str, day: date) -> list[OrderRow]:
        """Read every row of an order accepted on the day."""
        async with self._pool.acquire() as connection:
            await refuse_archived(connection, day)
            rows = await fetch_of_days(connection, ORDER_OF_DAY, [day], uscc=enterprise, order_id=order_id)
        return [_readable(row) for row in rows]

    async def covers(self, worker_id: str, at: datetime) -> list[Cover]:
        """Read every order, of any enterprise, that the worker had accepted and not ended at the instant.

        Raises `Archived` where none is there, and days are archived on which one may have been accepted.
        """
        accepted_from = at - self._spans.longest
        first, last = insured_day(accepted_from), insured_day(at)
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        key, rest = split_token(bytes.fromhex(worker_id))
        async with self._pool.acquire() as connection:
            await refuse_archived(connection, last)
            rows = await fetch_of_days(
                connection, _COVERS, days, worker_key=key, worker_rest=rest, at=at, accepted_from=accepted_from
            )
            covers = [row for row in rows if at - row.accepted_at <= self._span_of(row)]
            if not covers:
                await refuse_archived(connection, first, last)
        return [_cover(row) for row in covers]

    def _span_of(self, row: EntryRow) -> timedelta:
        return self._spans.of(Industry.of_code(row.industry), row.accepted_at)


def _readable(row: EntryRow) -> OrderRow:
    return OrderRow(
        enterprise=row.uscc,
        topic=orders_topic(row.uscc),
        order_id=row.order_id,
        kind=kind_word(row.kind),
        reason=reason_word(row.kind, row.reason),
        accepted_at=row.accepted_at,
        ended_at=row.ended_at,
        province=f"{row.region // 10_000:02}",
        acceptance_region=f"{row.region:06}",
        industry=Industry.of_code(row.industry).value,
        premium_yuan=yuan(Amount(row.premium)),
        tariff_line=row.tariff_line or None,
        batch=row.batch,
        leaf_index=row.leaf_index,
    )


def _cover(row: _CoverRow) -> Cover:
    return Cover(
        **asdict(_readable(row)),
        cover_ended_at=row.cover_ended_at,
        recorded_at=row.sent_at,
        is_reversed=row.is_reversed,
    )
