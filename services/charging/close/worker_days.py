"""Workers that a close counted, token by token, for joining the counts of several deployments (docs/decisions/0012).

Computed after the count, over exactly its rows, so that the same question always gets the same answer.
"""

from collections.abc import AsyncIterator
from datetime import date
from typing import Final

from services.charging.rows.row_kinds import is_charge_sql
from services.charging.store.cut import (
    LATE,
    ON_DAY,
    find_late,
    reached_sql,
    read_counted_cut,
    read_previous_cut,
    reading_few,
)
from shared.adapters.http.charging_deployments import BLOCK_RECORDS
from shared.adapters.postgres.pool import Pool
from shared.domain.calendar import day_bounds
from shared.domain.scheme.worker import split_token

_ON: Final = "(accepted_at at time zone interval '8 hours')::date"
_RECORDS: Final = f"""
    select distinct int4send({_ON} - date '1970-01-01') || int2send((region / 10000)::smallint)
        || int8send(worker_key) || worker_rest as record
    from charging.entry where {is_charge_sql("entry")} and reason = 0 and {{scope}} order by 1"""
_COUNTED: Final = f"""
    select distinct encode(int8send(w.worker_key) || w.worker_rest, 'hex')
    from unnest($4::bigint[], $5::bytea[]) as w (worker_key, worker_rest)
    join charging.entry n using (worker_key, worker_rest)
    where n.accepted_at >= $2 and n.accepted_at < $3 and {is_charge_sql("n")} and n.reason = 0
        and n.region / 10000 = $6 and {reached_sql("n.batch")}"""
_PARTICIPATED: Final = """
    select encode(worker, 'hex') from charging.participant
    where province = $1 and worker = any($2::bytea[]) and first_on < $3"""


class WorkerDays:
    """Answers for counted days."""

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
            begin, end = day_bounds(day)
            late = await find_late(connection, cut, previous, day)
            wanted: list[tuple[str, tuple[object, ...]]] = [(ON_DAY, (cut.lasts, begin, end))]
            if late.batches:
                wanted.insert(0, (LATE, (late.batches, late.begin, begin)))
            for scope, values in wanted:
                cursor = await connection.cursor(_RECORDS.replace("{scope}", scope), *values)
                while rows := await cursor.fetch(BLOCK_RECORDS):
                    yield b"".join(row["record"] for row in rows)

    async def counted_before(self, day: date, province: str, insured_on: date | None, workers: list[str]) -> list[str]:
        """Those of the workers who were counted before the close of `day`: on that insured day, else ever."""
        tokens = [bytes.fromhex(worker) for worker in workers]
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            if insured_on is None:
                rows = await connection.fetch(_PARTICIPATED, int(province), tokens, day)
            else:
                previous = await read_previous_cut(connection, day)
                parts = [split_token(token) for token in tokens]
                values = ([key for key, _ in parts], [rest for _, rest in parts], int(province))
                async with reading_few(connection):
                    rows = await connection.fetch(_COUNTED, previous.lasts, *day_bounds(insured_on), *values)
        return [row[0] for row in rows]
