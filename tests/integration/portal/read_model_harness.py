"""Fixtures of the tests of the read model and of its API: generated closed days, and the model's current tables."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import asyncpg

from shared.contracts.manifests import AcceptancesByHour, DayClosed, FirstTime, Total, WorkerCount
from tests.integration.reporting.reporting_harness import BLUE, GREEN, House, closed_day, total
from tests.support.waiting import eventually_async

TABLES = (
    "day_projected", "daily_sum", "daily_reason", "participation", "daily_hours", "first_time", "monthly_sum",
    "whole_sum", "monthly_first_time", "statement_sum",
)  # fmt: skip
PROVINCES = ("44", "11", "31")
INDUSTRIES = {"instant_delivery": (7, 2_500), "ride_hailing": (8, 401)}
REVERSALS, EXCLUSIONS = ("cancelled", "resent"), ("insured_as_employee", "enterprise_not_enrolled")


def play(seed: int, first: date, days: int) -> Iterator[DayClosed]:
    """Closed days in a row; each reports its own orders, and those of earlier days that came late or were reversed."""
    chance = random.Random(seed)
    for number in range(days):
        day = first + timedelta(days=number)
        about = {day} | {day - timedelta(days=chance.randint(1, 40)) for _ in range(chance.randint(0, 3))}
        totals = [item for insured_on in sorted(about) for item in _totals(chance, insured_on)]
        places = [(on, p, e) for on in sorted(about) for p in PROVINCES for e in (BLUE, GREEN)]
        yield closed_day(
            day,
            totals,
            workers=[
                *(_workers(chance, on, p, e, 90) for on, p, e in places),
                *(_workers(chance, on, p, None, 120) for on, p, e in places if e == BLUE),
            ],
            first_time=[FirstTime(province=province, workers=chance.randint(0, 9)) for province in PROVINCES],
            hours=[_hours(chance, *place) for place in places],
        )


def _workers(chance: random.Random, on: date, province: str, enterprise: str | None, most: int) -> WorkerCount:
    return WorkerCount(insured_on=on, province=province, enterprise=enterprise, workers=chance.randint(1, most))


def _hours(chance: random.Random, on: date, province: str, enterprise: str) -> AcceptancesByHour:
    orders = [chance.randint(0, 5) for _ in range(24)]
    return AcceptancesByHour(insured_on=on, province=province, enterprise=enterprise, orders=orders)


def _totals(chance: random.Random, insured_on: date) -> Iterator[Total]:
    for province in PROVINCES:
        for enterprise in (BLUE, GREEN):
            for industry, (line, base) in INDUSTRIES.items():
                known = {"province": province, "enterprise": enterprise, "industry": industry}
                charged, taken_back = chance.randint(1, 500), chance.randint(0, 20)
                kept: dict[str, Any] = known | {"tariff_line": line}
                yield total(insured_on, "charged", charged, **kept, premium=charged * base)
                if taken_back:
                    reason = chance.choice(REVERSALS)
                    yield total(insured_on, "reversed", taken_back, **kept, premium=-taken_back * base, reason=reason)
                if chance.random() < 0.3:
                    yield total(insured_on, "charged", 2, **kept, premium=2 * base, reason="assessed:series-1")
                for reason in EXCLUSIONS[: chance.randint(0, 2)]:
                    yield total(insured_on, "excluded", chance.randint(1, 9), **known, reason=reason)


async def projected(house: House) -> None:
    """Wait until everything received is in the model."""

    async def is_done() -> bool:
        left = (await house.client.get("/v1/read-model")).raise_for_status().json()
        return not (left["due_days"] or left["due_statements"])

    await eventually_async(is_done, "the projection of what was received")


async def read_tables(owner_url: str) -> dict[str, list[str]]:
    """Every row of the model as text, sorted, by table."""
    connection = await asyncpg.connect(owner_url)
    try:
        return {
            name: [row[0] for row in await connection.fetch(f"select t::text from reporting.{name} t order by 1")]
            for name in TABLES
        }
    finally:
        await connection.close()


async def misplaced_findings(owner_url: str) -> list[str]:
    """Findings whose state differs from the newest one of their history, in one snapshot."""
    connection = await asyncpg.connect(owner_url)
    try:
        return [row[0] for row in await connection.fetch(_MISPLACED)]
    finally:
        await connection.close()


_MISPLACED = """
select coalesce(d.id, n.discrepancy_id)::text
from (select distinct on (d.id) d.id, s.id as state_id, s.state, d.province, d.enterprise
      from reporting.discrepancy d join reporting.discrepancy_state s on s.discrepancy_id = d.id
      order by d.id, s.id desc) d
full join reporting.discrepancy_standing n on n.discrepancy_id = d.id
where (n.state_id, n.state, n.province, n.enterprise) is distinct from (d.state_id, d.state, d.province, d.enterprise)
"""
