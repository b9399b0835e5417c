"""Check that the register is complete: it names what charging's tables and the national platform's receipts show."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from services.audit.verdict import Check, Verdict
from shared.adapters.postgres.pool import Connection, Record
from shared.contracts.topics import ORDERS_PREFIX

_UNEXAMINED: Final = """
    select c.day from reporting.day_closed c where c.received_at < now() - $1::interval
        and not exists (select from reporting.day_examined e where e.day = c.day)"""
_RESENT: Final = """
    select e.uscc, r.found_on as day, count(*) as orders from charging.resend r
    join charging.enterprise e on e.id = r.enterprise
    where r.found_on = any($1) group by 1, 2"""
# Within the cut of the last day that was examined: a conflict of any day before belongs to some close until then.
_CONFLICTS: Final = """
    with counted as (
        select convert_from(payload, 'utf8')::jsonb -> 'cut' as cut from charging.day_count
        where day = $1 order by attempt desc limit 1),
    reached as (
        select r.id::bigint << 32 | each.value::bigint as last
        from counted cross join jsonb_each_text(cut) each join charging.run r on r.run = each.key)
    select e.uscc, count(*) as orders from charging.conflict c join charging.enterprise e on e.id = c.enterprise
    where c.accepted_at is not null
        and exists (select from reached where c.batch <= last and c.batch >> 32 = last >> 32)
    group by 1"""
# What the close that reported them left unsettled; later closes settle, and the register keeps the first count.
_PARKED: Final = """
    select substr(p.topic, length($2) + 1) as uscc, t.found_on as day, count(*) as orders
    from charging.parked_reported t join charging.parked p using (batch, leaf_index)
    where t.found_on = any($1) and not exists (select from charging.parked_settled s
        where (s.batch, s.leaf_index, s.settled_on) = (t.batch, t.leaf_index, t.found_on))
    group by 1, 2"""
_UNCONFIRMED: Final = """
    select report_id, jsonb_array_length(unconfirmed::jsonb) as orders from reporting.receipt
    where jsonb_array_length(unconfirmed::jsonb) > 0"""


async def check_register(
    connection: Connection, charging: Sequence[Connection], verdict: Verdict, patience: timedelta
) -> None:
    """Every finding of a counted day is in the register, and every entry of it has a state."""
    check = verdict.check("I6", "the discrepancy register holds every finding of the days that were counted")
    for row in await connection.fetch(_UNEXAMINED, patience):
        check.find(f"reporting.day_examined {row['day']}: not examined after {patience}")
    days = [row["day"] for row in await connection.fetch("select day from reporting.day_examined")]
    resent, conflicts, parked = [], [], []
    for database in charging:
        parked += await database.fetch(_PARKED, days, ORDERS_PREFIX)
        resent += await database.fetch(_RESENT, days)
        conflicts += await database.fetch(_CONFLICTS, max(days, default=None))
    unconfirmed = await connection.fetch(_UNCONFIRMED)
    await _compare(connection, check, "several_acceptance_times", "enterprise, evidence ->> 'close'", resent)
    await _compare(connection, check, "parked_events", "enterprise, evidence ->> 'close'", parked)
    await _compare(connection, check, "other_content", "enterprise", conflicts)
    await _compare(connection, check, "unconfirmed_exclusion", "report_id", unconfirmed, counted="count(*)")
    stateless = """select id from reporting.discrepancy d where not exists (
        select from reporting.discrepancy_state s where s.discrepancy_id = d.id)"""
    for row in await connection.fetch(stateless):
        check.find(f"reporting.discrepancy {row['id']}: it has no state")


async def _compare(
    connection: Connection, check: Check, kind: str, columns: str, shown: Iterable[Record], counted: str = "sum(count)"
) -> None:
    """What the register counts of a kind, group by group, against what is shown elsewhere."""
    sql = f"select {columns}, {counted} as orders from reporting.discrepancy where kind = $1 group by {columns}"
    registered = _by_group(await connection.fetch(sql, kind))
    check.compare_all(f"reporting.discrepancy {kind} ", registered, _by_group(shown))


def _by_group(rows: Iterable[Record]) -> dict[str, int]:
    return {" ".join(str(value) for value in list(row.values())[:-1]): int(row["orders"]) for row in rows}
