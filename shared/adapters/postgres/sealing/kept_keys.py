"""The keys of kept bytes: one a day, a row each, destroyed when the time of keeping is over (docs/decisions/0019).

Each schema that seals has its own table `kept_key (day, key, made_at, destroyed_at)`. A trigger lets a row change once:
its key becomes null, two days after its day at the earliest.
"""

from datetime import date
from typing import Final

import structlog

from shared.adapters.crypto.sealing import DayKey, make_key
from shared.adapters.postgres.pool import Connection, Pool, Row
from shared.domain.errors import Stop
from shared.runtime.periodic import Periodic

log = structlog.get_logger(__name__)
ROTATION_SECONDS: Final = 60.0
LATE_DAYS: Final = 1
"""A key that is left so many days after its time is an alarm."""
TODAY: Final = "cast(clock_timestamp() at time zone 'Asia/Shanghai' as date)"
"""SQL: the day by the clock of the database."""


MAKE_KEY: Final = f"insert into {{}}.kept_key (day, key) values ({TODAY}, $1) on conflict do nothing"
"""SQL, with the schema to be filled in."""


def key_of_today_sql(schema: str) -> str:
    """SQL: the key of today, where it is made."""
    return f"select day, key from {schema}.kept_key where day = {TODAY} and key is not null"


def newest_key_sql(schema: str) -> str:
    """SQL: the key that is sealed under now."""
    return f"select day, key from {schema}.kept_key where key is not null order by day desc limit 1"


def key_of(columns: tuple[date, bytes] | None) -> DayKey:
    """The key of a row of that query; raises Stop where there is none: what cannot be sealed is not kept in clear."""
    if columns is None:
        raise Stop("there is no key to seal kept bytes with")
    return DayKey(*columns)


async def make_key_of_today(connection: Connection | Pool, schema: str) -> None:
    """Make today's key unless it is there."""
    await connection.execute(MAKE_KEY.format(schema), make_key())


async def read_key_of_today(connection: Connection, schema: str) -> DayKey:
    """Today's key; made where there is none yet."""
    row = await connection.fetchrow(key_of_today_sql(schema))
    if row is None:
        await make_key_of_today(connection, schema)
        row = await connection.fetchrow(newest_key_sql(schema))
    return key_of(None if row is None else (row["day"], row["key"]))


class KeptKeys:
    """Makes the key of each day and destroys those whose time is over; several processes may do so at once."""

    def __init__(self, pool: Pool, schema: str, keep_days: int) -> None:
        self._pool, self._schema, self._keep_days = pool, schema, keep_days
        self._alarm: str | None = None

    def periodic(self) -> Periodic:
        """The work to run next to the server."""
        return Periodic("kept_keys", self.rotate, ROTATION_SECONDS)

    async def rotate(self) -> None:
        """Make today's key, destroy keys that are due. A failure is the alarm's reason when a key is kept too long."""
        fault, oldest = "", None
        try:
            await make_key_of_today(self._pool, self._schema)
            await self.destroy_due()
        except Exception as error:  # noqa: BLE001 - on any error the next rotation tries again
            fault = f": {error!r}"
        try:
            oldest = await self._oldest_overdue()
        except Exception as error:  # noqa: BLE001 - the same
            fault = fault or f": {error!r}"
        alarm = None if oldest is None else f"what was kept on {oldest} should have been erased by now{fault}"
        if alarm is not None and alarm != self._alarm:
            log.error("kept bytes are not erased", alarm=alarm)
        elif fault:
            log.warning("keys of kept bytes wait", error=fault)
        self._alarm = alarm

    async def destroy_due(self) -> int:
        """Destroy the keys whose time is over; returns how many."""
        sql = f"""update {self._schema}.kept_key set key = null, destroyed_at = clock_timestamp()
            where key is not null and day < {TODAY} - $1::int returning day"""
        return await self._destroyed(await self._pool.fetch(sql, self._keep_days))

    async def destroy(self, day: date) -> int:
        """Destroy the key of one day before its time; returns 0 where there is none any more."""
        sql = f"""update {self._schema}.kept_key set key = null, destroyed_at = clock_timestamp()
            where key is not null and day = $1 returning day"""
        return await self._destroyed(await self._pool.fetch(sql, day))

    async def _destroyed(self, rows: list[Row]) -> int:
        if rows:
            # The old version of a row stays in its page until the table is rewritten, and its file with it.
            await self._pool.execute(f"vacuum (full) {self._schema}.kept_key")
            log.info("kept bytes are erased", schema=self._schema, days=[str(row["day"]) for row in rows])
        return len(rows)

    async def _oldest_overdue(self) -> date | None:
        sql = f"select min(day) from {self._schema}.kept_key where key is not null and day < {TODAY} - $1::int"
        oldest: date | None = await self._pool.fetchval(sql, self._keep_days + LATE_DAYS)
        return oldest

    async def readiness(self) -> str | None:
        """The alarm, while there is one."""
        return self._alarm
