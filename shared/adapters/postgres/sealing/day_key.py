"""Reads the key of the day over SQLAlchemy; what is sealed under it can be erased (docs/decisions/0019)."""

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.adapters.crypto.sealing import DayKey, make_key
from shared.adapters.postgres.sealing.kept_keys import MAKE_KEY, key_of, key_of_today_sql, newest_key_sql


async def read_day_key(connection: AsyncConnection, schema: str) -> DayKey:
    """Today's key; made where there is none yet."""
    row = (await connection.exec_driver_sql(key_of_today_sql(schema))).one_or_none()
    if row is None:
        await connection.exec_driver_sql(MAKE_KEY.format(schema), (make_key(),))
        row = (await connection.exec_driver_sql(newest_key_sql(schema))).one_or_none()
    return key_of(None if row is None else (row.day, row.key))
