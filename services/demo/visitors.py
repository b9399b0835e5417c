"""Create visitors of the demo's portal: an account for each role, made by the demo only, and a link for a worker."""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from services.demo.generator.month import Wanted, generate
from services.demo.running.apis import ANSWER_SECONDS
from services.demo.running.system import System
from shared.adapters.http.clients import make_client
from shared.contracts.topics import enterprise_of
from shared.domain.calendar import insured_day
from shared.domain.errors import Refused
from shared.domain.times import read_instant
from shared.runtime.command_settings import CommandSettings
from shared.runtime.exits import CommandFailed

PROVINCE: Final = "44"
TRIED: Final = 200
_FORM_TOKEN: Final = re.compile(r'name="form_token" value="([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Account:
    """A demo account; `scope` as `danbao user add` takes it."""

    name: str
    role: str
    scope: str | None


@dataclass(frozen=True, slots=True)
class Visitors:
    """Where the portal is and how each role gets in; every account has the same password, made for this run."""

    address: str
    accounts: tuple[Account, ...]
    password: str
    worker_link: str
    covered_at: datetime


async def invite(system: System, wanted: Wanted) -> Visitors:
    """Make the accounts and the link; the worker is one whom an order of the month insured at `covered_at`."""
    enterprise = next(iter(sorted(system.scheme.enterprises)))
    accounts = (
        Account("national", "national", None),
        Account("guangdong", "province", PROVINCE),
        Account("enterprise", "enterprise", enterprise),
        Account("operator", "operator", None),
    )
    first, password = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    for account in accounts:
        body = {"name": account.name, "role": account.role, "scope": account.scope, "password": first}
        await system.apis.reporting.post("/v1/accounts", body)
        await _choose_password(system.settings, account.name, first, password)
    worker, at = await _covered(system, wanted)
    link = await system.apis.reporting.post("/v1/worker-links", {"worker_id": worker})
    address = system.settings.reporting_url
    return Visitors(address, accounts, password, address + link["path"], at)


async def _choose_password(settings: CommandSettings, name: str, first: str, password: str) -> None:
    """Sign in and change the password, as each account's person must: nobody can make one that is ready to use."""
    async with make_client(settings, settings.reporting_url, ANSWER_SECONDS) as browser:
        for path, fields in (
            ("/sign-in", {"name": name, "password": first, "next": "/my-password"}),
            ("/my-password", {"old": first, "new": password, "again": password}),
        ):
            token = _FORM_TOKEN.search((await browser.get(path)).text)
            answer = await browser.post(path, data=fields | {"form_token": token[1] if token else ""})
            if answer.is_error:
                raise CommandFailed(f"reporting refused {path} for {name} ({answer.status_code})")


async def _covered(system: System, wanted: Wanted) -> tuple[str, datetime]:
    """A worker and an instant at which an order covered them."""
    for worker, accepted_at in _acceptances(system, wanted):
        at = accepted_at + timedelta(seconds=30)
        answer = await system.apis.charging.get(f"/v1/workers/{worker}/covers", at=at.isoformat())
        if answer["covers"]:
            return worker, at
    raise CommandFailed("no worker of the demo's first orders is insured")


def _acceptances(system: System, wanted: Wanted) -> Iterator[tuple[str, datetime]]:
    """Workers and times of the month's first orders, as they were sent."""
    count = 0
    for record in generate(system.scheme, wanted):
        try:
            event = msgspec.json.decode(record.value)
            reported = event["data"]["worker_id"], read_instant(event["data"]["accepted_at"])
        except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, TypeError, Refused):
            continue  # what is bad on purpose
        is_acceptance = enterprise_of(record.topic) and event.get("type") == "order.accepted.v1"
        if is_acceptance and wanted.month.contains(insured_day(reported[1])):
            yield reported
            count += 1
        if count == TRIED:
            return
