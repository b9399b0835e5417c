"""Fixtures of the tests of reporting and of the national platform: keys, databases, services, documents."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import uvicorn
from pydantic import SecretStr

import services.national_platform
import services.reporting
from services.national_platform.compose import compose as compose_platform
from services.national_platform.settings import PlatformSettings
from services.reporting.compose import assemble, read_topics
from services.reporting.message_intake import Intake
from services.reporting.settings import ReportingSettings
from shared.adapters.crypto.signing import Signer, make_key_pair
from shared.adapters.kafka.internal.internal_topics import InternalTopics
from shared.adapters.kafka.internal.message_handling import Fault
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.ownership import PORTAL
from shared.adapters.postgres.pool import open_pool, with_login
from shared.adapters.run_service import make_service
from shared.contracts.manifests import DayClosed, FirstTime, Outcome, StatementIssued, StatementLine, Total, WorkerCount
from shared.contracts.notices import InjuryNoticed, TotalReported
from shared.contracts.quarantine import Message
from shared.contracts.reports import REPORT
from shared.contracts.topics import DAYS_CLOSED, INJURIES, STATEMENTS, TOTALS
from shared.domain.calendar import day_start
from shared.runtime.service import S, Service
from tests.integration.reporting.other_services import OtherServices
from tests.support.access_keys import caller_settings, write_access_keys
from tests.support.authors import AUTHORS, headers_of
from tests.support.waiting import eventually_async

BLUE, GREEN = "91110000MA0BLUE021", "91440000MA0GREEN38"
"""Two enterprises; nothing here checks the check digits."""
WORKER = "ab" * 32
PLATFORM_KEY, SERVICE_KEY = "key-of-the-reporter", "key-of-the-services"
READER_KEYS = {
    "province:44": "key-44",
    "province:11": "key-11",
    "national": "key-national",
    f"enterprise:{BLUE}": "key-blue",
    f"enterprise:{GREEN}": "key-green",
}
ROLE_PASSWORD = "only-for-tests"
RECORDED_AT = datetime(2026, 11, 1, tzinfo=UTC)
TOPIC_OF: dict[type[Any], str] = {
    DayClosed: DAYS_CLOSED, StatementIssued: STATEMENTS, InjuryNoticed: INJURIES, TotalReported: TOTALS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Keys:
    """Files with keys, in a folder of one test."""

    signer: Signer
    private: Path
    public: Path
    access: Path


def make_keys(folder: Path) -> Keys:
    """A key pair that signs reports, and an access file with one key for each scope."""
    private, public = folder / "signing.pem", folder / "signing.pub"
    make_key_pair(private, public)
    tables = [
        f'[[key]]\nname = "{scope}"\nsha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\nscopes = ["{scope}"]\n'
        for scope, key in READER_KEYS.items()
    ]
    access = folder / "access.toml"
    access.write_text("\n".join(tables), encoding="utf-8")
    write_access_keys(access, SERVICE_KEY)
    return Keys(Signer(private), private, public, access)


def bearer(key: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {key}"}


async def migrate_schema(owner_url: str, schema: str, role: str, module: Any, *more: str) -> str:
    """Bring one schema up; the URL its service logs in with."""
    scripts = Path(module.__file__).parent / "migrations"
    roles = dict.fromkeys((role, "danbao_auditor", *more), ROLE_PASSWORD)
    await migrate(owner_url, schema, scripts, roles)
    return with_login(owner_url, role, ROLE_PASSWORD)


async def migrate_platform(owner_url: str) -> str:
    return await migrate_schema(owner_url, "national_platform", "national_platform", services.national_platform)


async def migrate_reporting(owner_url: str) -> str:
    return await migrate_schema(owner_url, "reporting", "danbao_reporting", services.reporting, PORTAL)


def portal_url(owner_url: str) -> str:
    """What the portal's pages log in with."""
    return with_login(owner_url, PORTAL, ROLE_PASSWORD)


def platform_settings(url: str, keys: Keys, **more: Any) -> PlatformSettings:
    """Settings of a national platform over this database, with fault knobs as given."""
    return PlatformSettings(
        database=SecretStr(url),
        access_keys=keys.access,
        reporter_public_key=keys.public,
        platform_key=SecretStr(PLATFORM_KEY),
        **more,
    )


@asynccontextmanager
async def running_app(service: Service[S], key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service's app without a socket, and a client of it with this key."""
    async with service.app.router.lifespan_context(service.app):
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=bearer(key)) as client:
            yield client


@asynccontextmanager
async def platform_app(owner_url: str, keys: Keys, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A national platform over a database that is brought up; the client has the reporter's key."""
    settings = platform_settings(await migrate_platform(owner_url), keys, **more)
    async with running_app(make_service("national_platform", settings, compose_platform), PLATFORM_KEY) as client:
        yield client


def encode(document: dict[str, Any]) -> bytes:
    """The bytes of a document as reporting would send it; raises where it is none."""
    return REPORT.validate_python(document).model_dump_json().encode()


def premium_line(enterprise: str = BLUE, **changes: Any) -> dict[str, Any]:
    """100 orders at 0.25 yuan, 10 of them reversed: 90 orders, 22.50 yuan."""
    return {
        "insured_on": "2026-10-03",
        "enterprise": enterprise,
        "industry": "instant_delivery",
        "tariff_line": 7,
        "base_yuan": "0.25",
        "charged": 100,
        "reversed": 10,
        "orders": 90,
        "premium_yuan": "22.50",
    } | changes


def coverage(day: str = "2026-10-03", province: str = "44", **changes: Any) -> dict[str, Any]:
    """One line, one exclusion of an employee on the day."""
    return {
        "kind": "coverage",
        "report_id": f"coverage.{day}.{province}",
        "day": day,
        "province": province,
        "orders": 90,
        "premium_yuan": "22.50",
        "lines": [premium_line(insured_on=day)],
        "exclusions": [
            {
                "insured_on": day,
                "enterprise": BLUE,
                "industry": "instant_delivery",
                "reason": "insured_as_employee",
                "orders": 3,
            }
        ],
        "employee_exclusions": [{"enterprise": BLUE, "worker_id": WORKER, "employer_insurance_no": "E-1", "orders": 3}],
        "workers": [{"insured_on": day, "enterprise": BLUE, "workers": 40}],
        "province_workers": 40,
        "first_time_workers": 2,
    } | changes


def declaration(enterprise: str = BLUE, province: str = "44", orders: int = 90, **changes: Any) -> dict[str, Any]:
    """One line at 0.25 yuan an order for October 2026."""
    amount = f"{orders // 4}.{orders % 4 * 25:02d}"
    return {
        "kind": "declaration",
        "report_id": f"declaration.2026-10.{province}.{enterprise}",
        "period": "2026-10",
        "province": province,
        "enterprise": enterprise,
        "statement_id": f"2026-10.{province}.{enterprise}",
        "due_on": "2026-11-16",
        "orders": orders,
        "exact_yuan": amount,
        "amount_yuan": amount,
        "lines": [
            {
                "kind": "line",
                "insured_month": "2026-10",
                "industry": "instant_delivery",
                "tariff_line": 7,
                "base_yuan": "0.25",
                "orders": orders,
                "exact_yuan": amount,
                "amount_yuan": amount,
            }
        ],
    } | changes


async def post(client: httpx.AsyncClient, keys: Keys, body: bytes, report_id: str, **headers: str) -> httpx.Response:
    """Hand a body in, signed; headers may be overridden."""
    signed = {"Idempotency-Key": report_id, "Danbao-Signature": keys.signer.sign(body)} | headers
    return await client.post("/v1/reports", content=body, headers=signed)


async def hand_in(client: httpx.AsyncClient, keys: Keys, document: dict[str, Any]) -> httpx.Response:
    """Hand in a document that is one."""
    return await post(client, keys, encode(document), document["report_id"])


@asynccontextmanager
async def serving(server: uvicorn.Server) -> AsyncIterator[str]:
    """A server on a free port of this host, for as long as the context lasts; its address."""
    task = asyncio.create_task(server.serve())

    async def is_started() -> bool:
        return server.started or task.done()

    try:
        await eventually_async(is_started, "start of a server")
        assert server.started, task
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@dataclass(frozen=True, slots=True)
class House:
    """Reporting (its client has the service key), the platform it sends to, and the services it queries."""

    client: httpx.AsyncClient
    intake: Intake
    platform: httpx.AsyncClient
    others: OtherServices
    service: Service[ReportingSettings]
    topics: InternalTopics

    async def receive(self, *messages: DayClosed | StatementIssued | InjuryNoticed | TotalReported) -> None:
        for message in messages:
            await self.read(TOPIC_OF[type(message)], msgspec.json.encode(message))

    async def read(self, topic: str, body: bytes, recorded_at: datetime = RECORDED_AT) -> Fault | None:
        """Have a message of a topic handled or quarantined."""
        return await self.topics.deliver(Message(topic, 0, 0, body, recorded_at, headers_of(topic, body)))

    async def status(self) -> dict[str, int]:
        status: dict[str, int] = (await self.client.get("/v1/status")).raise_for_status().json()
        return status

    async def settled(self) -> dict[str, int]:
        """The status once nothing is due any more."""

        async def is_done() -> bool:
            return (await self.status())["pending"] == 0

        await eventually_async(is_done, "an answer to every report")
        return await self.status()

    async def examined(self) -> None:
        """Wait until every closed day that was received is examined."""

        async def is_done() -> bool:
            return (await self.status())["unexamined_days"] == 0

        await eventually_async(is_done, "the examination of every day")

    async def discrepancies(self, state: str = "open") -> list[dict[str, Any]]:
        rows = (await self.client.get("/v1/discrepancies")).raise_for_status().json()["discrepancies"]
        return [row for row in rows if row["state"] == state]

    async def page(self, path: str, key: str) -> httpx.Response:
        return await self.client.get(path, headers=bearer(key) | {"Accept": "text/html"})


@asynccontextmanager
async def reporting_house(
    database: str, platform_database: str, keys: Keys, others: OtherServices, faults: Any = None, **more: Any
) -> AsyncIterator[House]:
    """Reporting without Kafka, over real HTTP to a real national platform with these fault knobs."""
    url = await migrate_platform(platform_database)
    platform = make_service("national_platform", platform_settings(url, keys, **(faults or {})), compose_platform)
    books = uvicorn.Server(uvicorn.Config(others.app(), port=0, log_config=None))
    async with serving(platform.server) as platform_url, serving(books) as books_url:
        settings: dict[str, Any] = {
            "database": SecretStr(await migrate_reporting(database)),
            "portal_database": SecretStr(portal_url(database)),
            "access_keys": keys.access,
            "signing_key": keys.private,
            **caller_settings(SERVICE_KEY),
            "platform_key": SecretStr(PLATFORM_KEY),
            "charging_url": books_url,
            "ledger_url": books_url,
            "platform_url": platform_url,
            "report_retry_seconds": 0.01,
        }
        intakes: list[Intake] = []

        @asynccontextmanager
        async def compose(service: Service[ReportingSettings]) -> AsyncIterator[None]:
            async with assemble(service) as intake:
                intakes.append(intake)
                yield

        service = make_service("reporting", ReportingSettings(**(settings | more)), compose)
        async with (
            running_app(service, SERVICE_KEY) as client,
            httpx.AsyncClient(base_url=platform_url, headers=bearer(PLATFORM_KEY)) as platform_client,
            open_pool(settings["database"].get_secret_value(), size=1) as pool,
        ):
            topics = read_topics(intakes[0], pool, service.settings, AUTHORS)
            yield House(client, intakes[0], platform_client, others, service, topics)


def total(day: date, outcome: str, orders: int, **changes: Any) -> Total:
    """Orders of instant delivery at 0.25 yuan in province 44."""
    sign = {"charged": 1, "reversed": -1}.get(outcome, 0)
    known: dict[str, Any] = {
        "insured_on": day,
        "enterprise": BLUE,
        "province": "44",
        "industry": "instant_delivery",
        "outcome": Outcome(outcome),
        "tariff_line": 7 if sign else None,
        "orders": orders,
        "premium": sign * orders * 2_500,
    }
    return Total(**(known | changes))


def closed_day(day: date, totals: list[Total], **changes: Any) -> DayClosed:
    """A closed day with as many distinct and first-time workers as are given."""
    known: dict[str, Any] = {"day": day, "as_of": day_start(day) + timedelta(hours=36), "workers": [], "first_time": []}
    return DayClosed(totals=totals, **(known | changes))


def worker_count(day: date, enterprise: str | None, workers: int, province: str = "44") -> WorkerCount:
    return WorkerCount(insured_on=day, enterprise=enterprise, province=province, workers=workers)


def first_time(workers: int, province: str = "44") -> FirstTime:
    return FirstTime(province=province, workers=workers)


def statement(orders: int, enterprise: str = BLUE, province: str = "44", period: str = "2026-10") -> StatementIssued:
    """One line at 0.25 yuan an order."""
    amount = orders * 2_500
    line = StatementLine(
        number=1,
        kind="line",
        insured_month=period,
        industry="instant_delivery",
        tariff_line=7,
        base_amount=2_500,
        orders=orders,
        exact_amount=amount,
        amount=amount,
    )
    return StatementIssued(
        statement_id=f"{period}.{province}.{enterprise}",
        enterprise=enterprise,
        province=province,
        period=period,
        as_of=datetime(2026, 11, 2, 4, tzinfo=UTC),
        due_on=date(2026, 11, 16),
        lines=[line],
        orders=orders,
        exact_amount=amount,
        amount=amount,
    )
