"""The naive rival: what one would write first. A message a handler, pydantic, SQLAlchemy's ORM, one commit each.

`python -m benchmarks.rivals.naive` is one process of it, with FastStream's own policy of acknowledging.
"""

import asyncio
from datetime import datetime

from faststream import FastStream
from sqlalchemy import BigInteger, DateTime
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.rivals.models import JOINING, OrderAccepted, Progress, database, open_broker, topics


class Base(DeclarativeBase):
    """The ORM wants one."""


class Charged(Base):
    """A charged order."""

    __tablename__ = "charged_naively"
    accepted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(primary_key=True)
    worker_id: Mapped[str] = mapped_column(primary_key=True)
    industry: Mapped[str]
    region: Mapped[str]
    series: Mapped[str]
    sequence: Mapped[int] = mapped_column(BigInteger)
    premium: Mapped[int]


async def charge() -> None:
    """Charge until a stop signal."""
    broker, progress = open_broker(), Progress()
    sessions = async_sessionmaker(create_async_engine(database()))

    @broker.subscriber(*topics(), group_id="naive", **JOINING)  # type: ignore[untyped-decorator]  # FastStream leaves it so
    async def take(event: OrderAccepted) -> None:
        async with sessions() as session:
            session.add(Charged(**event.columns()))
            await session.commit()
        progress.note(1)

    await FastStream(broker).run()


if __name__ == "__main__":
    asyncio.run(charge())
