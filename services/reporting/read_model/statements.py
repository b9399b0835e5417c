"""Query statements and remittances, as lists with a cursor and one by one. The ledger has the state of payment."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Row,
    RowMapping,
    Subquery,
    Text,
    and_,
    bindparam,
    column,
    exists,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.read_model.read_model_tables import REMITTANCE, STATEMENT_SUM
from services.reporting.read_model.responses import Remittance, Statement, StatementLineShown, StatementShown
from services.reporting.tables import RECEIPT, REPORT, STATEMENT_ISSUED
from shared.contracts.manifests import StatementIssued

MOST_REMITTANCES: Final = 200
"""Remittances shown with a statement, the newest, with the count of all; the list of remittances has all."""
_PERIODS: Final = text("""
with recursive found as (
    select max(period) as period from reporting.statement_sum
    union all
    select (select max(s.period) from reporting.statement_sum s where s.period < f.period) from found f
    where f.period is not null)
select period from found where period is not null
""")
"""From month to month by the index, so that it costs as much as there are months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingFilter:
    """Statements in one state, in terms that the database knows; the ids and months come from the ledger's answers."""

    ids: Collection[str] | None = None
    other_than: Collection[str] = ()
    periods: Collection[str] | None = None
    not_periods: Collection[str] = ()
    is_declared: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementFilter:
    """Which statements, after the id of the last one seen; newest months first."""

    period: str | None = None
    province: str | None = None
    enterprise: str | None = None
    standing: StandingFilter | None = None
    after: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class StatementTotals:
    """Of a whole list: statements, those before the page, and sums in 0.0001 yuan; None where one is not known."""

    count: int
    before: int
    amount: int
    remitted: int | None
    outstanding: int | None


@dataclass(frozen=True, slots=True)
class KnownPayments:
    """What the ledger knows of some statements, column by column, in 0.0001 yuan."""

    ids: Sequence[str]
    remitted: Sequence[int]
    outstanding: Sequence[int]


async def list_statements(connection: AsyncConnection, wanted: StatementFilter) -> list[Statement]:
    """By month (the newest first), enterprise, province."""
    own = STATEMENT_SUM.c
    query = select(STATEMENT_SUM).where(*_conditions(wanted))
    if wanted.after is not None:
        if (last := await _find_place(connection, wanted.after)) is None:
            return []
        later = tuple_(own.enterprise, own.province) > (last.enterprise, last.province)
        query = query.where(own.period <= last.period, (own.period < last.period) | later)
    # Before the joins, so that only these few rows are joined.
    page = query.order_by(own.period.desc(), own.enterprise, own.province).limit(wanted.limit).subquery()
    return [_statement(row) for row in await _fetch_with_receipts(connection, page)]


async def sum_statements(connection: AsyncConnection, wanted: StatementFilter, known: KnownPayments) -> StatementTotals:
    """Sum all statements of the filter, on all pages."""
    arrays = (
        bindparam("ids", known.ids, ARRAY(Text)),
        bindparam("remitted", known.remitted, ARRAY(BigInteger)),
        bindparam("outstanding", known.outstanding, ARRAY(BigInteger)),
    )
    columns = (column("statement_id", Text), column("remitted", BigInteger), column("outstanding", BigInteger))
    paid = func.unnest(*arrays).table_valued(*columns, name="paid").render_derived()
    own, is_before = STATEMENT_SUM.c, ~true()
    if wanted.after is not None and (last := await _find_place(connection, wanted.after)) is not None:
        until = tuple_(own.enterprise, own.province) <= (last.enterprise, last.province)
        is_before = or_(own.period > last.period, and_(own.period == last.period, until))
    sums = (own.amount, paid.c.remitted, paid.c.outstanding)
    query = (
        select(func.count(), func.count().filter(is_before), func.count(paid.c.statement_id), *map(func.sum, sums))
        .select_from(STATEMENT_SUM.outerjoin(paid, paid.c.statement_id == own.statement_id))
        .where(*_conditions(wanted))
    )
    count, seen, answered, amount, remitted, outstanding = (await connection.execute(query)).one()
    if answered < count:
        return StatementTotals(count, seen, int(amount), None, None)
    return StatementTotals(count, seen, int(amount or 0), int(remitted or 0), int(outstanding or 0))


def _conditions(wanted: StatementFilter) -> list[ColumnElement[bool]]:
    own = STATEMENT_SUM.c
    given = ((name, getattr(wanted, name)) for name in ("period", "province", "enterprise"))
    conditions: list[ColumnElement[bool]] = [own[name] == value for name, value in given if value is not None]
    if (standing := wanted.standing) is None:
        return conditions
    if standing.ids is not None:
        conditions.append(own.statement_id == func.any(bindparam("within", list(standing.ids), ARRAY(Text))))
    if standing.other_than:
        conditions.append(own.statement_id != func.all(bindparam("other_than", list(standing.other_than), ARRAY(Text))))
    if standing.periods is not None:
        conditions.append(own.period.in_(list(standing.periods)))
    if standing.not_periods:
        conditions.append(own.period.not_in(list(standing.not_periods)))
    if standing.is_declared is not None:
        declared = exists().where(RECEIPT.c.report_id == REPORT.c.report_id, REPORT.c.statement_id == own.statement_id)
        conditions.append(declared if standing.is_declared else ~declared)
    return conditions


async def _find_place(connection: AsyncConnection, statement_id: str) -> Row[str, str, str] | None:
    """Month, enterprise and province of a statement that was seen: its place in the order of the list."""
    own = STATEMENT_SUM.c
    query = select(own.period, own.enterprise, own.province).where(own.statement_id == statement_id)
    return (await connection.execute(query)).one_or_none()


async def find_statement(connection: AsyncConnection, statement_id: str) -> StatementShown | None:
    """One statement with its lines as received; None where the viewer sees none."""
    chosen = select(STATEMENT_SUM).where(STATEMENT_SUM.c.statement_id == statement_id).subquery()
    row = next(iter(await _fetch_with_receipts(connection, chosen)), None)
    body = await connection.scalar(select(STATEMENT_ISSUED.c.body).filter_by(statement_id=statement_id))
    if row is None or body is None:
        return None
    message = msgspec.json.decode(bytes(body), type=StatementIssued)
    return StatementShown(
        statement=_statement(row),
        lines=[StatementLineShown(**msgspec.structs.asdict(line)) for line in message.lines],
        remittances=await list_remittances(connection, message.enterprise, message.province),
        remittance_count=await count_remittances(connection, message.enterprise, message.province),
    )


async def list_remittances(
    connection: AsyncConnection,
    enterprise: str | None = None,
    province: str | None = None,
    after: str | None = None,
    limit: int = MOST_REMITTANCES,
) -> list[Remittance]:
    """Money that arrived, the newest first, after the id of the last one seen."""
    own = REMITTANCE.c
    query = select(
        own.remittance_id, own.province, own.enterprise, own.amount, own.received_on, own.reverses, own.reason
    )
    for where, value in ((own.enterprise, enterprise), (own.province, province)):
        if value is not None:
            query = query.where(where == value)
    if after is not None:
        last = await connection.scalar(select(own.received_on).where(own.remittance_id == after))
        query = query.where(tuple_(own.received_on, own.remittance_id) < (last, after))
    query = query.order_by(own.received_on.desc(), own.remittance_id.desc()).limit(limit)
    return [Remittance(**row) for row in (await connection.execute(query)).mappings()]


async def count_remittances(connection: AsyncConnection, enterprise: str, province: str) -> int:
    """Every remittance of an enterprise in a province."""
    own = REMITTANCE.c
    query = select(func.count()).where(own.enterprise == enterprise, own.province == province)
    return int(await connection.scalar(query) or 0)


async def list_periods(connection: AsyncConnection) -> list[str]:
    """Months with a statement, newest first."""
    return list((await connection.execute(_PERIODS)).scalars())


async def _fetch_with_receipts(connection: AsyncConnection, chosen: Subquery) -> Sequence[RowMapping]:
    """Join each statement with its report, one at most, by a lookup per row that the planner cannot reorder."""
    receipt = (
        select(RECEIPT.c.receipt_id, RECEIPT.c.received_at)
        .join(REPORT, REPORT.c.report_id == RECEIPT.c.report_id)
        .where(REPORT.c.statement_id == chosen.c.statement_id)
        .limit(1)
        .lateral()
    )
    query = select(chosen, receipt.c.receipt_id, receipt.c.received_at).outerjoin(receipt, true())
    order = (chosen.c.period.desc(), chosen.c.enterprise, chosen.c.province)
    return (await connection.execute(query.order_by(*order))).mappings().all()


def _statement(row: RowMapping) -> Statement:
    values = dict(row)
    return Statement(declared_at=values.pop("received_at"), **values)
