"""Distinct workers of a close: of its day, of earlier days that had not counted them, and those met for the first time.

In the transaction of the count. The rows are read once, into a temporary table of who was charged where.
"""

from datetime import date
from typing import Final

from services.charging.rows.row_kinds import is_charge_sql
from services.charging.store.cut import LATE, ON_DAY, Batches, Late, reached_sql, reading_few
from shared.adapters.postgres.pool import Connection
from shared.contracts.manifests import FirstTime, WorkerCount
from shared.domain.calendar import day_bounds

_WORKER: Final = "enterprise, region / 10000 as province, worker_key, worker_rest"
# Orders charged by a correction count like late ones.
_CHARGED: Final = f"from charging.entry where {is_charge_sql('entry')} and reason = 0 and"
# The day's rows are of that day: it is not worked out for each of them.
_READ: Final = f"""
    create temporary table charged_worker on commit drop as
    select $4::date as insured_on, worker.* from (select distinct {_WORKER} {_CHARGED} {ON_DAY}) worker"""
_READ_LATE: Final = f"""
    insert into charged_worker
    select distinct (accepted_at at time zone interval '8 hours')::date, {_WORKER} {_CHARGED} {LATE}"""
_WORKERS: Final = """
    select e.uscc, province, count(*) as workers
    from charged_worker join charging.enterprise e on e.id = enterprise where insured_on = $1 group by 1, 2
    union all
    select null, province, count(*)
    from (select distinct province, worker_key, worker_rest from charged_worker where insured_on = $1) person group by 2
    order by 2, 1 nulls last"""
# Searches by worker whether an earlier day counted him: the late ones are few, and their days are many and large.
_LATE_WORKERS: Final = f"""
    with late as materialized (
        select insured_on, enterprise, province, worker_key, worker_rest from charged_worker where insured_on < $5),
    known as materialized (
        select distinct l.insured_on, n.enterprise, n.region / 10000 as province, n.worker_key, n.worker_rest
        from (select distinct insured_on, worker_key, worker_rest from late) l
        join charging.entry n using (worker_key, worker_rest)
        where n.accepted_at >= (l.insured_on::timestamp at time zone interval '8 hours')
            and n.accepted_at < (l.insured_on::timestamp at time zone interval '8 hours') + interval '1 day'
            and n.accepted_at >= $3 and n.accepted_at < $4 and {is_charge_sql("n")} and n.reason = 0
            and {reached_sql("n.batch")} and n.batch <> all($2::bigint[]))
    select insured_on, e.uscc, province, count(*) as workers
    from (table late except table known) new join charging.enterprise e on e.id = enterprise group by 1, 2, 3
    union all
    select insured_on, null, province, count(*)
    from (select insured_on, province, worker_key, worker_rest from late
        except select insured_on, province, worker_key, worker_rest from known) person group by 1, 3
    order by 1, 3, 2 nulls last"""
_PARTICIPANTS: Final = """
    insert into charging.participant (province, worker, first_on)
    select province, worker, $1 from (
        select distinct province::smallint, int8send(worker_key) || worker_rest as worker from charged_worker) found
    where not exists (select from charging.participant p where (p.province, p.worker) = (found.province, found.worker))
    order by 1, 2"""
_FIRST_TIME: Final = """
    select province, count(*) as workers from charging.participant where first_on = $1 group by 1 order by 1"""


async def count_workers(connection: Connection, day: date, cut: Batches, late: Late) -> list[WorkerCount]:
    """Distinct workers by enterprise and place and by place alone; leaves `charged_worker` for the transaction."""
    begin, end = day_bounds(day)
    await connection.execute(_READ, cut.lasts, begin, end, day)
    if late.batches:
        async with reading_few(connection):
            await connection.execute(_READ_LATE, late.batches, late.begin, begin)
    await connection.execute("analyze charged_worker")
    counted = [(day, row) for row in await connection.fetch(_WORKERS, day)]
    if late.batches:
        async with reading_few(connection):
            rows = await connection.fetch(_LATE_WORKERS, cut.lasts, late.batches, late.begin, begin, day)
        counted += [(row["insured_on"], row) for row in rows]
    return [
        WorkerCount(insured_on=on, enterprise=row["uscc"], province=f"{row['province']:02}", workers=row["workers"])
        for on, row in counted
    ]


async def count_first_time(connection: Connection, day: date) -> list[FirstTime]:
    """Keep whom this close meets first, out of `charged_worker`; how many there are in each province."""
    await connection.execute(_PARTICIPANTS, day)
    rows = await connection.fetch(_FIRST_TIME, day)
    return [FirstTime(province=f"{row['province']:02}", workers=row["workers"]) for row in rows]
