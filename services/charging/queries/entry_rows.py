"""Rows of charging.entry, read from the partition of one day each. Reads only.

To plan over the partitions of five years takes longer than to search one of them, and all rows of an order are in one
(docs/decisions/0010). A partition that is still written to has BRIN summaries, a sealed one has indexes
(`charging.seal_partition`).
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final, TypeVar

from msgspec import Struct
from sqlalchemy import ColumnElement, FromClause, Select, bindparam, func, select

from services.charging.tables import INSTANT, enterprise, entry
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import Query
from shared.domain.calendar import day_bounds, since_epoch_us
from shared.domain.evidence.leaf import NO_INT64, order_leaf
from shared.domain.scheme.worker import join_token

T = TypeVar("T")
_PARTITION_BEGIN: Final = bindparam("partition_begin", type_=INSTANT, literal_execute=True)
_PARTITION_END: Final = bindparam("partition_end", type_=INSTANT, literal_execute=True)
_ORDER_HASH_BITS: Final = 1_048_575
"""What a sealed partition's index keeps of the hash of an order's id."""


class EntryRow(Struct, frozen=True):
    """All columns of a row, and its enterprise's USCC."""

    uscc: str
    accepted_at: datetime
    enterprise: int
    order_id: str
    worker_key: int
    kind: int
    leaf_index: int
    batch: int
    ended_at: datetime | None
    sequence: int | None
    premium: int
    region: int
    tariff_line: int
    token_key: int
    industry: int
    reason: int
    departed: bool | None
    worker_rest: bytes
    received: bytes
    series: str | None
    agency_uscc: str | None
    employer_insurance_no: str | None
    recorded_at: datetime | None

    @property
    def worker(self) -> bytes:
        """The token in one piece."""
        return join_token(self.worker_key, self.worker_rest)


def entry_of_day(name: str) -> FromClause:
    """The rows of one day's partition: the bounds are constants of the text, so that the plan holds that partition."""
    is_of_day = (entry.c.accepted_at >= _PARTITION_BEGIN, entry.c.accepted_at < _PARTITION_END)
    return select(entry).where(*is_of_day).subquery(name)


def select_entries(rows: FromClause) -> Select[tuple[object, ...]]:
    """Select what an EntryRow holds."""
    columns = [rows.c[name] for name in EntryRow.__struct_fields__[1:]]
    return select(enterprise.c.uscc, *columns).join_from(rows, enterprise, enterprise.c.id == rows.c.enterprise)


async def fetch_of_days(connection: Connection, rows: Query[T], days: Iterable[date], **values: object) -> list[T]:
    """Run a query over `entry_of_day` for each of the days."""
    return [row for day in days for row in await rows.fetch(connection, **partition_of(day), **values)]


def partition_of(day: date) -> dict[str, datetime]:
    """The parameters of `entry_of_day`."""
    begin, end = day_bounds(day)
    return {"partition_begin": begin, "partition_end": end}


def is_order(row: FromClause, order_id: ColumnElement[str]) -> ColumnElement[bool]:
    """The row is of the order with this id; a sealed partition is indexed by the hash."""
    hashes = [func.hashtext(value).op("&")(_ORDER_HASH_BITS) for value in (row.c.order_id, order_id)]
    return (hashes[0] == hashes[1]) & (row.c.order_id == order_id)


def entry_content(row: EntryRow) -> bytes:
    """Encode a row as the content of its leaf."""
    return order_leaf(
        row.kind, row.uscc.encode(), since_epoch_us(row.accepted_at),
        NO_INT64 if row.ended_at is None else since_epoch_us(row.ended_at),
        NO_INT64 if row.sequence is None else row.sequence, row.premium, row.region, row.tariff_line,
        row.token_key, row.industry, row.reason, -1 if row.departed is None else int(row.departed),
        row.worker, row.received, row.order_id.encode(),
        _encoded(row.series), _encoded(row.agency_uscc), _encoded(row.employer_insurance_no),
    )  # fmt: skip


def _encoded(value: str | None) -> bytes | None:
    return None if value is None else value.encode()
