"""The key of the day, for what is kept beside the figures and can be erased (docs/decisions/0019)."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.adapters.postgres.kept_keys import TODAY, key_of, newest_key_sql
from shared.adapters.sealing import DayKey, make_key

_NEWEST: Final = text(newest_key_sql("reporting"))
_MAKE: Final = text(f"insert into reporting.kept_key (day, key) values ({TODAY}, :key) on conflict do nothing")


async def read_day_key(connection: AsyncConnection) -> DayKey:
    """The newest key; made where there is none yet."""
    row = (await connection.execute(_NEWEST)).mappings().one_or_none()
    if row is None:
        await connection.execute(_MAKE, {"key": make_key()})
        row = (await connection.execute(_NEWEST)).mappings().one_or_none()
    return key_of(row)
