"""Merges the answers of charging's deployments to one close (docs/decisions/0012)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from msgspec import UNSET
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from shared.adapters.http.charging_deployments import ChargingWorkers
from shared.contracts.manifests import ALONE, DayCounted, FirstTime, WorkerCount
from shared.domain.evidence.authors import Authors


@dataclass(frozen=True, slots=True)
class CountingDeployments:
    """Who counts a day: their keys, the deployments that are waited for, and how their workers are joined."""

    authors: Authors
    names: frozenset[str] = frozenset({ALONE})
    workers: ChargingWorkers | None = None

    async def join(self, answers: Sequence[DayCounted]) -> DayCounted:
        """One answer for all, given one of each; raises `Retry` where a deployment does not send its workers."""
        first = answers[0]
        if self.workers is None or len(self.names) == 1:
            return first
        return msgspec.structs.replace(
            first,
            totals=[total for answer in answers for total in answer.totals],
            workers=await self._join_workers(answers, self.workers),
            first_time=await self._join_first_time(answers, self.workers),
            hours=[hours for answer in answers for hours in answer.hours],
            resends=sum(answer.resends for answer in answers),
            unmatched_cancellations=sum(answer.unmatched_cancellations for answer in answers),
            outside=[outside for answer in answers if answer.outside is not UNSET for outside in answer.outside]
            or UNSET,
        )

    async def _join_workers(self, answers: Sequence[DayCounted], workers: ChargingWorkers) -> list[WorkerCount]:
        """An enterprise has one deployment, so its counts hold; those of a province are counted again."""
        of_enterprises = [count for answer in answers for count in answer.workers if count.enterprise is not None]
        of_provinces = await workers.count_worker_days(answers[0].day)
        return of_enterprises + [
            WorkerCount(insured_on=insured_on, enterprise=None, province=province, workers=count)
            for (insured_on, province), count in of_provinces.items()
        ]

    async def _join_first_time(self, answers: Sequence[DayCounted], workers: ChargingWorkers) -> list[FirstTime]:
        day, provinces = answers[0].day, {first_time.province for answer in answers for first_time in answer.first_time}
        counts = {province: len(await workers.first_time(day, province)) for province in sorted(provinces)}
        return [FirstTime(province=province, workers=count) for province, count in counts.items() if count]


async def read_answers(connection: AsyncConnection, day: date, attempt: int) -> list[DayCounted]:
    """Read the deployments' answers to an attempt, by name."""
    counted = tables.day_count.c
    query = select(counted.answer).where(counted.day == day, counted.attempt == attempt).order_by(counted.deployment)
    return [msgspec.convert(answer, DayCounted) for answer in await connection.scalars(query)]
