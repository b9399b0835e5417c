"""The fair rival: batches of 500, pydantic, one insert with ON CONFLICT DO NOTHING and one commit a batch.

`python -m benchmarks.rivals.fair` is one process of it. Offsets are committed after the batch, so nothing is lost, and
the key makes what comes again harmless. It keeps no evidence, no manifest and no books.
"""

import asyncio

from faststream import AckPolicy, FastStream
from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, String, Table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.rivals.models import JOINING, OrderAccepted, Progress, database, open_broker, topics

CHARGED = Table(
    "charged_fairly",
    MetaData(),
    Column("accepted_at", DateTime(timezone=True), primary_key=True),
    Column("enterprise", String, primary_key=True),
    Column("order_id", String, primary_key=True),
    Column("worker_id", String, primary_key=True),
    Column("industry", String, nullable=False),
    Column("region", String, nullable=False),
    Column("series", String, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("premium", Integer, nullable=False),
)


async def charge() -> None:
    """Charge until a stop signal."""
    engine, broker, progress = create_async_engine(database()), open_broker(), Progress()
    statement = insert(CHARGED).on_conflict_do_nothing()

    @broker.subscriber(  # type: ignore[untyped-decorator]  # FastStream leaves it untyped
        *topics(), group_id="fair", batch=True, max_records=500, ack_policy=AckPolicy.NACK_ON_ERROR, **JOINING
    )
    async def take(events: list[OrderAccepted]) -> None:
        async with engine.begin() as connection:
            await connection.execute(statement, [event.columns() for event in events])
        progress.note(len(events))

    await FastStream(broker).run()


if __name__ == "__main__":
    asyncio.run(charge())
