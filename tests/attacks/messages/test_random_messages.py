"""Every loop ends and every good item is done, with random rows in reporting's tables.

Random messages of the contract types, charging and the national platform that answer at random: each step is run until
nothing is due. A step that raises, or is never done, fails the test; the seed is in its name.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import msgspec
import pytest
from msgspec import Struct
from prometheus_client import CollectorRegistry

from services.reporting.delivery.build import Builder
from services.reporting.delivery.send import Sender
from services.reporting.metrics import Metrics
from services.reporting.read_model.projector import Projector
from services.reporting.register.examine_days import Examiner
from services.reporting.service_clients import Charging, InternalApi, Sources
from shared.adapters.http.national_platform import NationalPlatform
from shared.adapters.postgres.engine import open_engine
from shared.contracts.findings import DayFindings
from shared.contracts.manifests import DayClosed, StatementIssued
from shared.contracts.notices import InjuryNoticed, TotalReported
from tests.attacks.messages.random_messages import RandomMessages
from tests.integration.reporting.reporting_harness import (
    GREEN,
    closed_day,
    make_keys,
    migrate_reporting,
    statement,
    total,
)
from tests.support.deployed_calendar import deployed_calendar

pytestmark = pytest.mark.exhaustive

GOOD: Final = date(2026, 10, 20)
MESSAGES: Final = 30
"""Of each type, of which the database takes those whose columns it can hold."""
MOST_TURNS: Final = 60
Step = Callable[[], Awaitable[int]]


def columns(table: str, reported: dict[str, Any], number: int) -> dict[str, Any]:
    """The columns that an intake takes out of a message; names are made unique."""
    enterprise = f"91110000FAKE{number:06}"
    match table:
        case "day_closed":
            return {"day": date.fromisoformat(reported["day"]), "as_of": datetime.now(UTC)}
        case "statement_issued":
            place = {"period": "2026-10", "province": "44", "enterprise": enterprise}
            return {"statement_id": f"{number}"} | place
        case "injury_notice":
            return {"notice_id": f"n-{number}", "injured_on": GOOD}
        case _:
            return {"source": f"s-{number}", "enterprise": enterprise, "day": GOOD, "count": reported["count"]}


async def pour(owner: asyncpg.Connection, messages: RandomMessages, table: str, message: type[Struct]) -> None:
    for number in range(MESSAGES):
        body = messages.body(message)
        with suppress(
            ValueError, KeyError, asyncpg.exceptions.PostgresError
        ):  # broken, or the intake could not have kept it
            await keep(owner, table, body, columns(table, msgspec.json.decode(body), number))


async def keep(owner: asyncpg.Connection, table: str, body: bytes, known: dict[str, Any]) -> None:
    row = known | {"body": body, "body_sha256": hashlib.sha256(body).hexdigest()}
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await owner.execute(f"insert into reporting.{table} ({', '.join(row)}) values ({places})", *row.values())


async def keep_good(owner: asyncpg.Connection) -> None:
    day = closed_day(GOOD, [total(GOOD, "charged", 9, enterprise=GREEN)])
    await keep(owner, "day_closed", msgspec.json.encode(day), {"day": GOOD, "as_of": datetime.now(UTC)})
    issued = statement(9, GREEN)
    place = {"period": "2026-10", "province": "44", "enterprise": GREEN, "statement_id": issued.statement_id}
    await keep(owner, "statement_issued", msgspec.json.encode(issued), place)
    noon = datetime(2026, 10, 20, 4, tzinfo=UTC)
    notice = InjuryNoticed(notice_id="good", worker_id="ef" * 32, injured_at=noon, noticed_at=noon)
    await keep(owner, "injury_notice", msgspec.json.encode(notice), {"notice_id": "good", "injured_on": GOOD})
    counted = TotalReported(source="good", enterprise=GREEN, day=GOOD, count=5)
    key = {"source": "good", "enterprise": GREEN, "day": GOOD, "count": 5}
    await keep(owner, "reported_total", msgspec.json.encode(counted), key)


def charging(messages: RandomMessages) -> Callable[[httpx.Request], httpx.Response]:
    """Answers the good day, the good worker and province 44 well, and anything else at random."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/findings") and (str(GOOD) in path or messages.chance(0.5)):
            return httpx.Response(200, content=msgspec.json.encode(DayFindings(findings=[], delays=[])))
        if "ef" * 32 in path:
            return httpx.Response(200, json={"covers": []})
        if messages.chance(0.3):
            return httpx.Response(messages.pick((400, 404, 410, 422)), json={"detail": "no"})
        if path.endswith("/findings"):
            return httpx.Response(200, content=messages.body(DayFindings))
        return httpx.Response(200, json=messages.pick(({"covers": [1]}, {"workers": [1]}, [], "x", {"covers": []})))

    return answer


def platform(messages: RandomMessages) -> Callable[[httpx.Request], httpx.Response]:
    """Takes good reports, and answers others at random."""

    def answer(request: httpx.Request) -> httpx.Response:
        report_id = request.headers["Idempotency-Key"]
        if str(GOOD) not in report_id and GREEN not in report_id and messages.chance(0.5):
            said = {"report_id": None, "reason": "bad_sums", "detail": messages.pick(("\0", "x" * 10_000, "no"))}
            return httpx.Response(messages.pick((400, 422)), json=said)
        digest = hashlib.sha256(request.content).hexdigest()
        receipt = {"receipt_id": "R\0" if messages.chance(0.2) and GREEN not in report_id else "R1"}
        receipt |= {"report_id": report_id, "body_sha256": digest, "received_at": "2026-10-21T00:00:00Z"}
        return httpx.Response(201, json=receipt)

    return answer


async def run_to_the_end(step: Step, name: str) -> None:
    for _ in range(MOST_TURNS):
        async with asyncio.timeout(60):
            if await step() == 0:
                return
    pytest.fail(f"{name} is never done")


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_loop_ends_and_every_good_item_is_done(database: str, tmp_path: Path, seed: int) -> None:
    messages, url = RandomMessages(seed), await migrate_reporting(database)
    transports = httpx.MockTransport(charging(messages)), httpx.MockTransport(platform(messages))
    owner = await asyncpg.connect(database)
    try:
        for table, message in TABLES.items():
            await pour(owner, messages, table, message)
        await keep_good(owner)
        async with (
            open_engine(url) as engine,
            httpx.AsyncClient(transport=transports[0], base_url="http://charging") as to_charging,
            httpx.AsyncClient(transport=transports[1], base_url="http://platform") as to_platform,
        ):
            api = InternalApi("charging", to_charging)
            sources, metrics = Sources(Charging.alone(api), api), Metrics(CollectorRegistry())
            to_send = NationalPlatform(to_platform, make_keys(tmp_path).signer)
            steps: dict[str, Step] = {
                "building": Builder(engine, sources, metrics, 1_000).step,
                "examining": Examiner(engine, sources, metrics, deployed_calendar().is_regular_day, 30).step,
                "projecting": Projector(engine).step,
                "sending": Sender(engine, to_send, metrics, 3, 0.0).step,
            }
            for name, step in steps.items():
                await run_to_the_end(step, name)
        for query in GOOD_ITEMS:
            assert await owner.fetchval(query), query
        assert await owner.fetchval("select count(*) from reporting.set_aside where step = 'build_day'") > 0
    finally:
        await owner.close()


TABLES: Final[dict[str, type[Struct]]] = {
    "day_closed": DayClosed,
    "statement_issued": StatementIssued,
    "injury_notice": InjuryNoticed,
    "reported_total": TotalReported,
}
GOOD_ITEMS: Final = (
    f"select exists (select from reporting.receipt where report_id = 'coverage.{GOOD}.44')",
    f"select exists (select from reporting.receipt where report_id = 'declaration.2026-10.44.{GREEN}')",
    f"select exists (select from reporting.day_examined where day = '{GOOD}')",
    f"select exists (select from reporting.day_projected where day = '{GOOD}')",
    f"select exists (select from reporting.statement_sum where enterprise = '{GREEN}')",
    "select exists (select from reporting.injury_check where notice_id = 'good')",
    (
        "select exists (select from reporting.total_check join reporting.reported_total using (number)"
        " where source = 'good')"
    ),
)
