"""What the tests of reporting and of the national platform stand on: keys, databases, services, documents."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

import services.national_platform
import services.reporting
from services.national_platform.compose import compose as compose_platform
from shared.adapters.migrations import migrate
from shared.adapters.postgres import with_login
from shared.adapters.signing import Signer, make_key_pair
from shared.contracts.reports import REPORT
from shared.runtime.service import Service
from shared.runtime.settings import Settings

BLUE, GREEN = "91110000MA0BLUE021", "91440000MA0GREEN38"
"""Two enterprises; nothing here looks at check digits."""
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
    return Keys(Signer(private), private, public, access)


def bearer(key: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {key}"}


async def migrate_schema(owner_url: str, schema: str, role: str, module: Any) -> str:
    """Bring one schema up; the URL its service logs in with."""
    scripts = Path(module.__file__).parent / "migrations"
    await migrate(owner_url, schema, scripts, {role: ROLE_PASSWORD, "danbao_auditor": ROLE_PASSWORD})
    return with_login(owner_url, role, ROLE_PASSWORD)


async def migrate_platform(owner_url: str) -> str:
    return await migrate_schema(owner_url, "national_platform", "national_platform", services.national_platform)


async def migrate_reporting(owner_url: str) -> str:
    return await migrate_schema(owner_url, "reporting", "danbao_reporting", services.reporting)


def platform_settings(url: str, keys: Keys, **more: Any) -> Settings:
    """Settings of a national platform over this database, with fault knobs as given."""
    return Settings(
        database=SecretStr(url),
        access_keys=keys.access,
        reporter_public_key=keys.public,
        platform_key=SecretStr(PLATFORM_KEY),
        **more,
    )


@asynccontextmanager
async def running_app(service: Service, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service's app without a socket, and a client of it with this key."""
    async with service.app.router.lifespan_context(service.app):
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=bearer(key)) as client:
            yield client


@asynccontextmanager
async def platform_app(owner_url: str, keys: Keys, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A national platform over a database that is brought up; the client has the reporter's key."""
    settings = platform_settings(await migrate_platform(owner_url), keys, **more)
    async with running_app(Service("national_platform", settings, compose_platform), PLATFORM_KEY) as client:
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
