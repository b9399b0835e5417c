"""A clean quarter through reporting's own tables, as closed days: no finding. Then a day that leaves something out."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, timedelta
from random import Random
from typing import Any

import httpx
import msgspec
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.message_intake import Intake
from services.reporting.metrics import Metrics
from services.reporting.register.examine_days import Examiner
from services.reporting.service_clients import Charging, InternalApi, Sources
from services.reporting.tables import DISCREPANCY_NOW
from shared.adapters.postgres.engine import open_engine
from shared.contracts.findings import DayFindings, Delays
from shared.contracts.notices import TotalReported
from tests.generators import quarter_figures
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import closed_day, migrate_reporting, total

WAIT_DAYS = 3
USCCS = ("91110000MA0BLUE021", "91440000MA0GREEN38", "91310000MA0LONE014")
PROVINCES = {USCCS[0]: ("11", "44", "31"), USCCS[1]: ("44", "51"), USCCS[2]: ("31",)}
PLACES = [(uscc, province) for uscc, provinces in PROVINCES.items() for province in provinces]
Sheet = dict[tuple[str, str], quarter_figures.Day]
"""What each place had on a day."""


class Register:
    """Reporting's examination over a separate database, fed with closed days."""

    def __init__(self, engine: AsyncEngine, others: OtherServices, sources: Sources) -> None:
        self.engine, self.others = engine, others
        self.intake = Intake(engine, lambda: None, timedelta(days=36_500))
        self.examiner = Examiner(engine, sources, Metrics(CollectorRegistry()), quarter_figures.is_regular, WAIT_DAYS)

    async def close(self, day: date, sheet: Mapping[tuple[str, str], quarter_figures.Day]) -> None:
        delays, totals = [], []
        for (uscc, province), had in sheet.items():
            buckets = [had.orders, 0, 0, 0, 0, 0, 0, 0]
            delays.append(Delays(enterprise=uscc, province=province, insured_on=day, orders=buckets))
            where: dict[str, Any] = {"enterprise": uscc, "province": province}
            if had.orders > had.excluded:
                totals.append(total(day, "charged", had.orders - had.excluded, **where))
            if had.excluded:
                totals.append(total(day, "excluded", had.excluded, reason="insured_as_employee", **where))
        self.others.findings[str(day)] = DayFindings(findings=[], delays=delays)
        for uscc in PROVINCES if day.day < 4 else ():
            orders = sum(had.orders for place, had in sheet.items() if place[0] == uscc)
            reported = TotalReported(source="meters", enterprise=uscc, day=day, count=orders)
            await self.intake.take_total(msgspec.json.encode(reported))
        await self.intake.take_day_closed(msgspec.json.encode(closed_day(day, totals)))
        await self.examiner.step()

    async def found(self) -> set[tuple[str, str, str | None]]:
        query = select(DISCREPANCY_NOW.c.kind, DISCREPANCY_NOW.c.enterprise, DISCREPANCY_NOW.c.province)
        async with self.engine.connect() as connection:
            return {(row.kind, row.enterprise, row.province) for row in (await connection.execute(query)).all()}


@asynccontextmanager
async def open_register(database: str) -> AsyncIterator[Register]:
    others = OtherServices()
    transport = httpx.ASGITransport(others.app())
    async with (
        open_engine(await migrate_reporting(database), size=4) as engine,
        httpx.AsyncClient(transport=transport, base_url="http://charging") as client,
    ):
        api = InternalApi("charging", client)
        yield Register(engine, others, Sources(Charging.alone(api), api))


def clean_sheets(seed: int) -> dict[date, Sheet]:
    rng = Random(seed)
    market = quarter_figures.weather(rng)
    sheets: dict[date, Sheet] = {day: {} for day in market}
    for place in PLACES:
        for had in quarter_figures.place(rng, market):
            sheets[had.day][place] = had
    return sheets


async def test_a_clean_quarter_raises_no_finding_and_what_is_left_out_then_does(database: str) -> None:
    *clean, last = (sheets := clean_sheets(7))
    async with open_register(database) as register:
        for day in clean:
            await register.close(day, sheets[day])
        assert await register.found() == set()
        sheet = dict(sheets[last])
        biggest = max(PLACES, key=lambda place: sheet[place].orders)
        other = max((place for place in PLACES if place[0] != biggest[0]), key=lambda place: sheet[place].orders)
        assert sheet[other].orders > 500, "a place with a few orders proves nothing"
        del sheet[biggest]
        sheet[other] = quarter_figures.Day(last, sheet[other].orders, sheet[other].orders // 5)
        await register.close(last, sheet)
        findings = await register.found()
    assert ("implausible_count", *biggest) in findings
    assert ("excluded_share", *other) in findings
    assert {(kind, enterprise) for kind, enterprise, _ in findings} == {
        ("implausible_count", biggest[0]),
        ("excluded_share", other[0]),
    }
