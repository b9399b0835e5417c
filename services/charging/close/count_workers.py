"""Count distinct workers of a close: of its day, of earlier days that had not counted them, and those met first.

`count_workers` and `count_first_time` run in the transaction of the count: the rows are read once, into a temporary
table of who was charged where. `WorkerDays` names the workers of a counted day, over exactly its rows, so that the
counts of several deployments can be joined (docs/decisions/0012) and the same question always gets the same answer.
"""

from collections.abc import AsyncIterator
from datetime import date
from typing import Final

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    all_,
    and_,
    any_,
    bindparam,
    cast,
    except_,
    exists,
    func,
    literal_column,
    not_,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert

from services.charging.cut import (
    Batches,
    CountedRows,
    Late,
    Scope,
    find_late,
    read_counted_cut,
    read_previous_cut,
    reading_few,
    scope_of_day,
    scope_of_late,
)
from services.charging.predicates import (
    BEGIN,
    DAY,
    LATE_BATCHES,
    LATE_BEGIN,
    between,
    day_begin,
    first_columns,
    insured_on,
    is_premium_due,
    late,
    materialized,
    on_day,
    province,
    reached,
    worker_id,
    worker_token,
)
from services.charging.tables import enterprise, entry, participant
from shared.adapters.http.charging_deployments import BLOCK_RECORDS
from shared.adapters.postgres.pool import Connection, Pool
from shared.adapters.postgres.queries.statements import (
    ArrayTable,
    Command,
    Selected,
    Selection,
    TemporaryTable,
    query,
    values,
)
from shared.contracts.manifests import FirstTime, WorkerCount
from shared.domain.scheme.worker import split_token

_TOKEN: Final = ("worker_key", "worker_rest")
_PERSON: Final = ("province", *_TOKEN)
_PROVINCE: Final = bindparam("province", type_=Integer)


class _Workers(Struct, frozen=True):
    """Distinct workers of a day in a province; without `uscc`, of all enterprises."""

    insured_on: date
    uscc: str | None
    province: int
    workers: int


class _FirstTime(Struct, frozen=True):
    province: int
    workers: int


class _Record(Struct, frozen=True):
    record: bytes


class _Token(Struct, frozen=True):
    worker_key: int
    worker_rest: bytes


_TOKENS: Final = ArrayTable("w", _Token, BigInteger(), LargeBinary())


def _is_same_worker(row: FromClause, other: FromClause) -> ColumnElement[bool]:
    return and_(*(row.c[name] == other.c[name] for name in _TOKEN))


def _charged(scope: Scope) -> Selected:
    """Select who was charged where; orders charged by a correction count like late ones."""
    place = (entry.c.enterprise, province(entry).label("province"), entry.c.worker_key, entry.c.worker_rest)
    return select(*place).where(is_premium_due(entry), scope).distinct()


def _select_day() -> Selected:
    """The day's rows are of that day: it is not computed for each of them."""
    worker = _charged(on_day(entry)).subquery("worker")
    return select(DAY.label("insured_on"), *worker.c)


_CHARGED_WORKER: Final = TemporaryTable("charged_worker", _select_day())
_WORKER: Final = _CHARGED_WORKER.table


def _select_late() -> Selected:
    place = _charged(late(entry))
    return place.with_only_columns(insured_on(entry), *place.selected_columns)


def _count(charged: FromClause, people: FromClause) -> Selection:
    """Count workers of each enterprise and place, and of each place alone."""
    workers = func.count().label("workers")
    of_enterprise = (
        select(charged.c.insured_on, enterprise.c.uscc, charged.c.province, workers)
        .join_from(charged, enterprise, enterprise.c.id == charged.c.enterprise)
        .group_by(*first_columns(3))
    )
    of_all = select(people.c.insured_on, null().label("uscc"), people.c.province, workers).group_by(
        people.c.insured_on, people.c.province
    )
    insured_on, uscc, province = first_columns(3)
    return union_all(of_enterprise, of_all).order_by(insured_on, province, uscc.nulls_last())


def _select_workers() -> Selection:
    charged = select(_WORKER).where(_WORKER.c.insured_on == DAY).subquery("charged")
    people = select(*(charged.c[name] for name in ("insured_on", *_PERSON))).distinct().subquery("person")
    return _count(charged, people)


def _select_late_workers() -> Selection:
    """Count late workers whom no earlier close counted on their day.

    Searches by worker: the late ones are few, and their days are many and large.
    """
    late_rows = materialized(select(_WORKER).where(_WORKER.c.insured_on < DAY), "late")
    wanted = select(*(late_rows.c[name] for name in ("insured_on", *_TOKEN))).distinct().subquery("l")
    counted = entry.alias("n")
    place = (wanted.c.insured_on, counted.c.enterprise, province(counted).label("province"))
    known = materialized(
        select(*place, *(counted.c[name] for name in _TOKEN))
        .distinct()
        .join_from(wanted, counted, _is_same_worker(wanted, counted))
        .where(
            between(counted, day_begin(wanted.c.insured_on), day_begin(wanted.c.insured_on + 1)),
            between(counted, LATE_BEGIN, BEGIN),
            is_premium_due(counted),
            reached(counted),
            counted.c.batch != all_(LATE_BATCHES),
        ),
        "known",
    )

    def new(*names: str) -> FromClause:
        return except_(*(select(*(rows.c[name] for name in names)) for rows in (late_rows, known))).subquery()

    return _count(new("insured_on", "enterprise", *_PERSON), new("insured_on", *_PERSON))


def _keep_participants() -> Insert:
    met = (
        select(cast(_WORKER.c.province, SmallInteger).label("province"), worker_token(_WORKER).label("worker"))
        .distinct()
        .subquery("met")
    )
    is_known = exists().where(participant.c.province == met.c.province, participant.c.worker == met.c.worker)
    new = select(met.c.province, met.c.worker, DAY).where(not_(is_known)).order_by(*first_columns(2))
    return insert(participant).from_select(("province", "worker", "first_on"), new)


def _select_records(scope: Scope) -> Selected:
    """Select day, province and worker in one piece each, sorted."""
    day = func.int4send(insured_on(entry) - literal_column("date '1970-01-01'", Date), type_=LargeBinary)
    place = func.int2send(cast(province(entry), SmallInteger), type_=LargeBinary)
    record = day.op("||")(place).op("||")(worker_token(entry))
    return select(record.label("record")).where(is_premium_due(entry), scope).distinct().order_by(*first_columns(1))


def _select_counted() -> Selected:
    """Select those of the workers who were counted on a day in a province."""
    worker, counted = _TOKENS.rows, entry.alias("n")
    return (
        select(worker_id(worker))
        .distinct()
        .join_from(worker, counted, _is_same_worker(worker, counted))
        .where(
            between(counted),
            is_premium_due(counted),
            province(counted) == _PROVINCE,
            reached(counted),
        )
    )


def _select_participants() -> Selected:
    """Select those of the workers who were counted in a province before a day."""
    tokens = bindparam("tokens", type_=ARRAY(LargeBinary))
    return select(func.encode(participant.c.worker, literal_column("'hex'"), type_=Text)).where(
        participant.c.province == _PROVINCE, participant.c.worker == any_(tokens), participant.c.first_on < DAY
    )


_KEEP_LATE: Final = Command(insert(_WORKER).from_select(_WORKER.c.keys(), _select_late()))
_WORKERS: Final = query(_select_workers(), _Workers)
_LATE_WORKERS: Final = query(_select_late_workers(), _Workers)
_KEEP_PARTICIPANTS: Final = Command(_keep_participants())
_FIRST_TIME: Final = query(
    select(participant.c.province, func.count().label("workers"))
    .where(participant.c.first_on == DAY)
    .group_by(participant.c.province)
    .order_by(participant.c.province),
    _FirstTime,
)
_RECORDS: Final = CountedRows(_select_records, _Record)
_COUNTED: Final = values(_select_counted(), str)
_PARTICIPATED: Final = values(_select_participants(), str)


async def count_workers(connection: Connection, day: date, cut: Batches, late_rows: Late) -> list[WorkerCount]:
    """Distinct workers by enterprise and place and by place alone; leaves `charged_worker` for the transaction."""
    await _CHARGED_WORKER.execute(connection, day=day, **scope_of_day(cut, day))
    if late_rows.batches:
        async with reading_few(connection):
            await _KEEP_LATE.execute(connection, **scope_of_late(late_rows, day))
    await connection.execute("analyze charged_worker")
    counted = await _WORKERS.fetch(connection, day=day)
    if late_rows.batches:
        async with reading_few(connection):
            scope = scope_of_late(late_rows, day)
            counted += await _LATE_WORKERS.fetch(connection, day=day, cut=cut.lasts, **scope)
    return [
        WorkerCount(insured_on=row.insured_on, enterprise=row.uscc, province=f"{row.province:02}", workers=row.workers)
        for row in counted
    ]


async def count_first_time(connection: Connection, day: date) -> list[FirstTime]:
    """Keep whom this close meets first, out of `charged_worker`; how many there are in each province."""
    await _KEEP_PARTICIPANTS.execute(connection, day=day)
    rows = await _FIRST_TIME.fetch(connection, day=day)
    return [FirstTime(province=f"{row.province:02}", workers=row.workers) for row in rows]


class WorkerDays:
    """Names the workers that closes counted, for other deployments."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def is_counted(self, day: date) -> bool:
        """Whether the day was."""
        async with self._pool.acquire() as connection:
            return await read_counted_cut(connection, day) is not None

    async def blocks(self, day: date) -> AsyncIterator[bytes]:
        """Workers that the close of a counted day counted here, by day and province: sorted records, late ones first.

        Late ones are included whether or not an earlier close had counted them on that day.
        """
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            cut, previous = await read_counted_cut(connection, day), await read_previous_cut(connection, day)
            if cut is None:
                return
            late_rows = await find_late(connection, cut, previous, day)
            if late_rows.batches:
                scope = scope_of_late(late_rows, day)
                async for rows in _RECORDS.of_late.blocks(connection, BLOCK_RECORDS, **scope):
                    yield b"".join(row.record for row in rows)
            async for rows in _RECORDS.of_day.blocks(connection, BLOCK_RECORDS, **scope_of_day(cut, day)):
                yield b"".join(row.record for row in rows)

    async def counted_before(self, day: date, province: str, insured_on: date | None, workers: list[str]) -> list[str]:
        """Those of the workers who were counted before the close of `day`: on that insured day, else ever."""
        tokens, code = [bytes.fromhex(worker) for worker in workers], int(province)
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            if insured_on is None:
                return await _PARTICIPATED.fetch(connection, province=code, tokens=tokens, day=day)
            parts = _TOKENS.parameters([_Token(*split_token(token)) for token in tokens])
            scope = scope_of_day(await read_previous_cut(connection, day), insured_on)
            async with reading_few(connection):
                return await _COUNTED.fetch(connection, province=code, **parts, **scope)
