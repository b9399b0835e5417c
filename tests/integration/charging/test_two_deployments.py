"""Two deployments of charging and one ledger, held against one deployment that charges the same events."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.charging.api.day_routes import make_day_router
from services.charging.close.count_workers import WorkerDays
from services.charging.close.order_findings import DayFinder
from services.charging.queries.days import DayQueries
from services.charging.store.deployment import claim_database
from services.ledger.books.open_days import read_books
from services.ledger.close.compare_count import take_count
from services.ledger.close.deployment_counts import CountingDeployments
from services.ledger.operations.alarms import read_alarms
from shared.adapters.http.charging_deployments import ChargingWorkers
from shared.contracts.manifests import DayClosed, DayCounted, Outcome
from shared.domain.errors import Retry, Stop
from shared.domain.evidence.authors import Role
from tests.integration.charging.charging_harness import (
    BEIJING,
    FREIGHT,
    GUANGDONG,
    NOON,
    OTHER_RIDES,
    RIDES,
    House,
    Sent,
    accepted,
    cancelled,
    copied_database,
    open_house,
    worker,
)
from tests.integration.ledger.ledger_harness import OPENED_ON, OTHER, Ledger, new_run, open_ledger, total
from tests.support.access_keys import opened_by
from tests.support.authors import AUTHORS, author
from tests.support.servers import Postgres

KEY = "key-of-the-services"
WEST = frozenset({OTHER_RIDES})
DAYS = [date(2026, 10, 1) + timedelta(days=n) for n in range(4)]
NAMES = ("charging", "west")


@pytest.fixture
async def houses(postgres: Postgres, charging_schema: str) -> AsyncIterator[dict[str, House]]:
    """One that charges everything, and two that share it out."""
    async with AsyncExitStack() as stack:
        houses = {}
        for name in ("alone", *NAMES):
            url = await stack.enter_async_context(copied_database(postgres, charging_schema))
            houses[name] = await stack.enter_async_context(open_house(url))
            async with houses[name].pool.acquire() as connection:
                await claim_database(connection, "charging" if name == "alone" else name)
            houses[name].author = author(Role.CHARGING, "charging" if name == "alone" else name)
        yield houses


@asynccontextmanager
async def open_clients(houses: dict[str, House]) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """HTTP clients of the two deployments."""
    async with AsyncExitStack() as stack:
        clients = {}
        for name in NAMES:
            app, pool = FastAPI(), houses[name].pool
            finder = DayFinder(pool, late_seconds=60, wait_days=3)
            app.include_router(make_day_router(opened_by(KEY), DayQueries(pool), finder, WorkerDays(pool)))
            transport = httpx.ASGITransport(app)
            headers = {"Authorization": f"Bearer {KEY}"}
            client = httpx.AsyncClient(transport=transport, base_url=f"http://{name}", headers=headers)
            clients[name] = await stack.enter_async_context(client)
        yield clients


def some_orders(rng: random.Random, day: date, number: int) -> list[Sent]:
    """Orders received on the day, a third of them late by up to two days, some cancelled; few workers ride for all."""
    sent = []
    for n in range(number):
        late = rng.choice((0, 0, 0, 0, 1, 2)) if day > DAYS[1] else 0
        at = NOON.replace(day=day.day - late, hour=rng.randrange(24), microsecond=n)
        what: dict[str, Any] = {
            "uscc": rng.choice((RIDES, OTHER_RIDES, FREIGHT)),
            "worker_id": worker(rng.randrange(12), rng.randrange(2)),
            "acceptance_region": rng.choice((GUANGDONG, BEIJING)),
        }
        if what["uscc"] == FREIGHT:
            what["industry"] = "intracity_freight"
        sent.append(accepted(f"{day.day}.{n}", at, sequence=day.day * 1_000 + n, **what))
        if rng.random() < 0.2:
            sent.append(cancelled(f"{day.day}.{n}", at, **what))
    return sent


def shares(sent: Sequence[Sent]) -> dict[str, list[Sent]]:
    west = [event for event in sent if event.uscc in WEST]
    return {"alone": list(sent), "charging": [event for event in sent if event.uscc not in WEST], "west": west}


def figures(counted: DayCounted) -> dict[str, object]:
    """What the ledger takes of an answer, in no order."""
    parts = {name: getattr(counted, name) for name in ("totals", "workers", "first_time", "hours")}
    named = {name: sorted(map(repr, rows)) for name, rows in parts.items()}
    return named | {"resends": counted.resends, "unmatched": counted.unmatched_cancellations}


@pytest.mark.parametrize("seed", range(2))
async def test_two_deployments_count_what_one_counts(houses: dict[str, House], seed: int) -> None:
    rng = random.Random(seed)
    workers = {name: await house.worker() for name, house in houses.items()}
    previous: dict[str, dict[str, int]] = {name: {} for name in houses}
    late = apart = distinct = 0
    async with open_clients(houses) as clients:
        together = CountingDeployments(AUTHORS, frozenset(NAMES), ChargingWorkers(clients))
        for day in DAYS:
            answers: dict[str, DayCounted] = {}
            for name, sent in shares(some_orders(rng, day, 14)).items():
                await workers[name].charge(*sent)
                answers[name] = await houses[name].close(str(day), previous=previous[name])
                previous[name] = await houses[name].cut()
            joined = await together.join([answers[name] for name in NAMES])
            assert figures(joined) == figures(answers["alone"])
            late += sum(row.workers for row in joined.workers if row.enterprise is None and row.insured_on < day)
            for first in joined.first_time:
                tokens = await ChargingWorkers(clients).first_time(day, first.province)
                assert tokens == await DayQueries(houses["alone"].pool).registrations(day, first.province, "", 100)
            apart += sum(row.workers for name in NAMES for row in answers[name].workers if row.enterprise is None)
            distinct += sum(row.workers for row in joined.workers if row.enterprise is None)
    assert apart > distinct, "nobody rode for both"
    assert late, "no worker came late"


async def test_a_deployment_that_is_away_is_named_and_waited_for(houses: dict[str, House]) -> None:
    async with open_clients(houses) as clients:

        def is_away(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("connection refused", request=request)

        away = httpx.AsyncClient(transport=httpx.MockTransport(is_away), base_url="http://there")
        with pytest.raises(Retry, match="charging: worker-days of 2026-10-01: ConnectError"):
            await ChargingWorkers(clients | {"charging": away}).count_worker_days(DAYS[0])
        with pytest.raises(Retry, match="charging: worker-days of 2026-10-01: HTTP 404"):
            await ChargingWorkers(clients).count_worker_days(DAYS[0])


async def test_a_database_is_of_one_deployment(houses: dict[str, House]) -> None:
    async with houses["west"].pool.acquire() as connection:
        await claim_database(connection, "west")
        with pytest.raises(Stop, match="this database is of the deployment 'west'"):
            await claim_database(connection, "charging")


class NoWorkers(ChargingWorkers):
    """Deployments at whose closes nobody rode."""

    async def count_worker_days(self, day: date) -> dict[Any, int]:  # noqa: ARG002 - the name of the real one
        return {}


BOTH = CountingDeployments(AUTHORS, frozenset(NAMES), NoWorkers({}))


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database) as opened:
        yield opened


async def two_manifests(ledger: Ledger) -> None:
    for name, uscc, orders in (("charging", "91110000TESTTEST1X", 10), ("west", OTHER, 4)):
        written = ledger.charging.write(new_run(), total(orders=orders, enterprise=uscc))
        assert await ledger.take(msgspec.structs.replace(written, deployment=name)) == "booked"


async def answer(ledger: Ledger, name: str, **changed: Any) -> str:
    """Let one deployment count what is its own."""
    own = {"charging": "91110000TESTTEST1X", "west": OTHER}.get(name)
    counted = ledger.charging.count(await ledger.last_closing())
    totals = [row for row in counted.totals if row.enterprise == own]
    reported = msgspec.structs.replace(counted, **({"totals": totals, "deployment": name} | changed))
    return await take_count(ledger.engine, msgspec.json.encode(reported), BOTH)


async def alarms(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return await read_alarms(connection, await read_books(connection), 0)


async def test_a_day_waits_for_every_deployment(ledger: Ledger) -> None:
    await two_manifests(ledger)
    await ledger.begin_close(OPENED_ON)
    assert [alarm.partition(" for ")[0] for alarm in await alarms(ledger.engine)] == [
        "close_overdue: 2026-10-01, attempt 1: no count"
    ]
    assert await answer(ledger, "charging") == "awaiting_others"
    assert await answer(ledger, "charging") == "already_counted"
    (overdue,) = await alarms(ledger.engine)
    assert overdue.startswith("close_overdue: 2026-10-01, attempt 1: no count of west for ")
    assert await ledger.value("select count(*) from ledger.day_closed") == 0
    assert await answer(ledger, "west") == "closed"
    reported = msgspec.json.decode(
        await ledger.value("select payload from ledger.outbox where topic = 'days.closed.v1'"), type=DayClosed
    )
    assert {one.enterprise: one.orders for one in reported.totals if one.outcome is Outcome.CHARGED} == {
        "91110000TESTTEST1X": 10,
        OTHER: 4,
    }
    assert await alarms(ledger.engine) == []


async def test_the_sum_of_the_answers_is_compared(ledger: Ledger) -> None:
    await two_manifests(ledger)
    await ledger.begin_close(OPENED_ON)
    assert await answer(ledger, "west", totals=[]) == "awaiting_others"
    assert await answer(ledger, "charging") == "unequal"
    (unequal,) = await alarms(ledger.engine)
    assert unequal.startswith(f"day_not_equal: 2026-10-01: 2026-10-01 {OTHER} ")
    assert (await ledger.begin_close(OPENED_ON)).reason == "attempt 2: the last count differed"
    assert [await answer(ledger, name) for name in ("west", "charging")] == ["awaiting_others", "closed"]


async def test_an_answer_of_nobody_s_is_kept_aside(ledger: Ledger) -> None:
    await two_manifests(ledger)
    await ledger.begin_close(OPENED_ON)
    assert await answer(ledger, "north") == "refused"
    assert await answer(ledger, "west") == "awaiting_others"
    assert await answer(ledger, "west", resends=9) == "refused"


async def test_an_enterprise_that_two_deployments_charge_is_booked_once(ledger: Ledger) -> None:
    """A topic is read twice when the deployments' files differ, or when an enterprise was moved."""
    await two_manifests(ledger)
    again = ledger.charging.write(new_run(), total(orders=10), total(orders=2, enterprise=OTHER))
    assert await ledger.take(msgspec.structs.replace(again, deployment="west")) == "refused"
    assert await ledger.value("select sum(orders)::int from ledger.day_line") == 14
    assert await alarms(ledger.engine) == ["message_refused: premiums.charged.v1: foreign_enterprise: 1"]
    detail = await ledger.value("select detail from ledger.refused_message")
    assert detail.endswith("of west: 91110000TESTTEST1X is charging's")
    del ledger.charging.manifests[again.run, again.number]
    await ledger.begin_close(OPENED_ON)
    assert [await answer(ledger, name) for name in NAMES] == ["awaiting_others", "closed"]
