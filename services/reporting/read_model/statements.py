"""Query statements and remittances, as lists with a cursor and one by one. The ledger has the state of payment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from sqlalchemy import RowMapping, Subquery, select, text, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.read_model.read_model_tables import REMITTANCE, STATEMENT_SUM
from services.reporting.read_model.responses import Remittance, Statement, StatementLineShown, StatementShown
from services.reporting.tables import RECEIPT, REPORT, STATEMENT_ISSUED
from shared.contracts.manifests import StatementIssued

MOST_REMITTANCES: Final = 200
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
class StatementFilter:
    """Which statements, after the id of the last one seen; newest months first."""

    period: str | None = None
    province: str | None = None
    enterprise: str | None = None
    after: str | None = None
    limit: int = 100


async def list_statements(connection: AsyncConnection, wanted: StatementFilter) -> list[Statement]:
    """By month (the newest first), enterprise, province."""
    own = STATEMENT_SUM.c
    query = select(STATEMENT_SUM)
    for name in ("period", "province", "enterprise"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(own[name] == value)
    if wanted.after is not None:
        last = (await connection.execute(select(own.period, own.enterprise, own.province).where(
            own.statement_id == wanted.after))).one_or_none()  # fmt: skip
        if last is None:
            return []
        later = tuple_(own.enterprise, own.province) > (last.enterprise, last.province)
        query = query.where(own.period <= last.period, (own.period < last.period) | later)
    # Before the joins, so that only these few rows are joined.
    page = query.order_by(own.period.desc(), own.enterprise, own.province).limit(wanted.limit).subquery()
    return [_statement(row) for row in await _fetch_with_receipts(connection, page)]


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
    query = select(own.remittance_id, own.province, own.enterprise, own.amount, own.received_on)
    for column, value in ((own.enterprise, enterprise), (own.province, province)):
        if value is not None:
            query = query.where(column == value)
    if after is not None:
        last = await connection.scalar(select(own.received_on).where(own.remittance_id == after))
        query = query.where(tuple_(own.received_on, own.remittance_id) < (last, after))
    query = query.order_by(own.received_on.desc(), own.remittance_id.desc()).limit(limit)
    return [Remittance(**row) for row in (await connection.execute(query)).mappings()]


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
