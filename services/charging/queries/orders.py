"""Questions about single orders: which rows an order has, who was covered when. Reads only."""

from datetime import date, datetime, timedelta
from typing import Any, Final

from services.charging.rows.row_kinds import is_last_charge_sql, kind_word, reason_word
from services.charging.store.archived_days import refuse_archived
from services.charging.store.partition_queries import fetch_of_days, is_order_sql
from shared.adapters.postgres.pool import Pool
from shared.contracts.topics import orders_topic
from shared.domain.calendar import insured_day
from shared.domain.money import Amount, yuan
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.worker import split_token

LONGEST_ORDER: Final = timedelta(days=2)
"""An open order older than this is not searched for when asked who was covered at an instant."""
ORDER_ROWS: Final = f"""select u.uscc, n.* from charging.entry n join charging.enterprise u on u.id = n.enterprise
    where u.uscc = $1 and {is_order_sql("n", "$2")} order by n.accepted_at, n.worker_key, n.kind"""
"""Every row of an order; parameters are USCC and order id."""
_COVERS: Final = f"""
    select e.uscc, a.*, x.ended_at as cover_ended_at, coalesce(f.recorded_at, a.accepted_at) as sent_at
    from charging.entry a join charging.enterprise e on e.id = a.enterprise
    left join charging.entry f on (f.accepted_at, f.enterprise, f.order_id, f.worker_key, f.kind)
        = (a.accepted_at, a.enterprise, a.order_id, a.worker_key, 1)
    left join lateral (
        select min(c.ended_at) as ended_at from charging.entry c
        where (c.accepted_at, c.enterprise, c.order_id, c.worker_key)
            = (a.accepted_at, a.enterprise, a.order_id, a.worker_key) and c.kind in (2, 3)) x on true
    where a.worker_key = $1 and a.worker_rest = $2 and a.accepted_at <= $3 and a.accepted_at > $4
        and {is_last_charge_sql("a")} and (x.ended_at is null or x.ended_at >= $3)
    order by a.accepted_at"""


class OrderLookup:
    """Reads charging's rows over a pool of `services.charging.store.partition_queries`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def order(self, enterprise: str, order_id: str, day: date) -> list[dict[str, Any]]:
        """Every row of an order accepted on the day."""
        async with self._pool.acquire() as connection:
            await refuse_archived(connection, day)
            rows = await fetch_of_days(connection, ORDER_ROWS, [day], enterprise, order_id)
        return [_readable(row) for row in rows]

    async def covers(self, worker_id: str, at: datetime) -> list[dict[str, Any]]:
        """Every order, of any enterprise, that the worker had accepted and not ended at the instant.

        `recorded_at`: when its acceptance was sent; when it was accepted, if it was sent within the minute.
        """
        first, last = insured_day(at - LONGEST_ORDER), insured_day(at)
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        key, rest = split_token(bytes.fromhex(worker_id))
        async with self._pool.acquire() as connection:
            await refuse_archived(connection, first, last)
            rows = await fetch_of_days(connection, _COVERS, days, key, rest, at, at - LONGEST_ORDER)
        more = {"cover_ended_at": "cover_ended_at", "recorded_at": "sent_at"}
        return [_readable(row) | {name: row[column] for name, column in more.items()} for row in rows]


def _readable(row: Any) -> dict[str, Any]:
    """A row in the words of the glossary."""
    return {
        "enterprise": row["uscc"],
        "topic": orders_topic(row["uscc"]),
        "order_id": row["order_id"],
        "kind": kind_word(row["kind"]),
        "reason": reason_word(row["kind"], row["reason"]),
        "accepted_at": row["accepted_at"],
        "ended_at": row["ended_at"],
        "province": f"{row['region'] // 10_000:02}",
        "acceptance_region": f"{row['region']:06}",
        "industry": Industry.of_code(row["industry"]).value,
        "premium_yuan": yuan(Amount(row["premium"])),
        "tariff_line": row["tariff_line"] or None,
        "batch": row["batch"],
        "leaf_index": row["leaf_index"],
    }
