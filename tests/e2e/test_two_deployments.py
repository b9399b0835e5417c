"""A month on two charging deployments, each with its own PostgreSQL: the reports are those of one, byte for byte."""

import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from deploy.embedded.children import Child, start_child
from deploy.embedded.ports import free_port
from deploy.embedded.postgres import EmbeddedPostgres
from services.audit.run import CHARGING_DATABASES, Sources, audit_all, sources_from
from services.demo.demo import OCTOBER, DemoRequest, bill, declared, wishes_of
from services.demo.driver import MonthDriver, Stream, open_stream, request_close, until, wait_closed
from services.demo.generator.month import Wanted, generate
from services.demo.generator.records import Record
from services.demo.progress import Silent
from services.demo.running.apis import Api, Apis, open_apis
from services.demo.running.migrate import HISTORIES, read_passwords
from services.demo.running.system import ROLES, System, running_system, service_environment, settings_of
from shared.adapters.files.scheme import load_scheme
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.ownership import AUDITOR
from shared.adapters.postgres.pool import with_login
from shared.domain.calendar import since_epoch_ms
from shared.domain.errors import Refused
from shared.runtime.settings import HOUSE

pytestmark = pytest.mark.exhaustive
WANTED = Wanted(600, 5, OCTOBER)
PERSONS = 60
BEFORE, DARK = date(2026, 10, 20), date(2026, 10, 21)
"""The day at whose close one deployment is dead, and the one before."""
_REPORTS = "select report_id, body from reporting.report where kind <> 'payment' order by report_id"
_CLOSED = "select day, orders, premium, totals, workers, first_time, hours, resends from ledger.day_closed order by day"

_TAMPER = """update charging.entry set premium = premium + 100 where (batch, leaf_index)
    = (select batch, leaf_index from charging.entry where kind = 1 and premium > 0 order by 1, 2 limit 1)"""
_ANSWERS = "select deployment, (answer -> 'workers')::text from ledger.day_count"


class Both:
    """Both deployments behind the driver's charging client."""

    def __init__(self, apis: tuple[Api, ...]) -> None:
        self._apis = apis

    async def get(self, path: str) -> dict[str, Any]:
        answers = [await api.get(path) for api in self._apis]
        return {
            "runs": {run: last for answer in answers for run, last in answer["runs"].items()},
            "positions": [position for answer in answers for position in answer["positions"]],
            "paused": {topic: why for answer in answers for topic, why in answer["paused"].items()},
        }

    async def post(self, path: str) -> dict[str, Any]:
        answers = [await api.post(path) for api in self._apis]
        state = "settled" if all(answer["state"] == "settled" for answer in answers) else "busy"
        return {"state": state, "reversed": sum(answer["reversed"] for answer in answers)}


@dataclass
class West:
    """The second deployment: its own PostgreSQL and one worker that can be killed and started again."""

    url: str
    database: str
    audited: str
    environment: Mapping[str, str]
    log: Path
    child: Child | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "services.charging"]
        self.child = start_child("charging-west", command, env=self.environment, cwd=HOUSE, log=self.log)

    def kill(self) -> None:
        assert self.child is not None
        self.child.stop(signal.SIGKILL)


@asynccontextmanager
async def two_deployments(folder: Path) -> AsyncIterator[tuple[System, West, Apis]]:
    """A system whose charging has half of the enterprises, and `west` with the others."""
    wishes = wishes_of(DemoRequest(WANTED.orders, WANTED.seed, folder), WANTED)
    urls = {name: f"http://127.0.0.1:{free_port()}" for name in ("charging", "west")}
    enterprises = sorted(load_scheme([Path(part) for part in wishes.scheme.split(":")]).enterprises)[::2]
    file = folder / "deployments.toml"
    tables = [f"[[deployment]]\nname = {json.dumps(name)}\nurl = {json.dumps(url)}\n" for name, url in urls.items()]
    file.write_text("".join(tables) + f"enterprises = {json.dumps(enterprises)}\n")
    extra = {
        **wishes.extra,
        "DANBAO_DEPLOYMENTS": str(file),
        "DANBAO_CHARGING_URL": urls["charging"],
        "DANBAO_CLOSE_TIMEOUT_SECONDS": "3",
    }
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(running_system(replace(wishes, extra=extra)))
        server = stack.enter_context(EmbeddedPostgres({"fsync": "off"}))
        server.create_database("west")
        west = await migrated_west(system, server.url("west"), urls["west"])
        stack.callback(lambda: west.child and west.child.stop())
        west.start()
        settings = system.settings.model_copy(update={"charging_url": urls["west"]})
        theirs = await stack.enter_async_context(open_apis(settings))
        await until(lambda: is_ready(theirs.charging), "west to be ready")
        charging = cast("Api", Both((system.apis.charging, theirs.charging)))
        yield system, west, replace(system.apis, charging=charging)


async def migrated_west(system: System, database: str, url: str) -> West:
    passwords, _ = read_passwords(system.directory / ROLES)
    charging = HISTORIES[0]
    roles = {role: passwords[role] for role in (charging.role, AUDITOR)}
    await migrate(database, charging.schema, charging.scripts, roles)
    own = {"DANBAO_DATABASE": database, "DANBAO_CHARGING_URL": url, "DANBAO_DEPLOYMENT": "west"}
    environment = service_environment("charging", system.variables | own, passwords)
    audited = with_login(database, AUDITOR, passwords[AUDITOR])
    return West(url, database, audited, environment, system.directory / "logs" / "charging-west.log")


async def is_ready(api: Api) -> bool:
    try:
        await api.probe("/readyz")
    except Exception:  # noqa: BLE001 - any error means not ready
        return False
    return True


def events(system: System) -> list[Record]:
    """October's, with few workers, who ride for any enterprise."""

    def shared(found: re.Match[bytes]) -> bytes:
        return found[1] + b"%064x" % (int(found[2], 16) % PERSONS)

    pattern = re.compile(rb'("worker_id": *")([0-9a-f]{64})')
    return [record._replace(value=pattern.sub(shared, record.value)) for record in generate(system.scheme, WANTED)]


async def play(system: System, apis: Apis, west: West | None) -> None:
    """October, with west dead at the close of one day; billed and declared."""
    hours = system.settings.close_after_hours
    async with open_stream(system.settings, apis, Silent()) as stream:
        driver = MonthDriver(stream, OCTOBER.first_day, hours)
        records = events(system)
        borders = [since_epoch_ms(driver.closes_at(day)) for day in (BEFORE, DARK)]
        await driver.play([record for record in records if record.time_ms <= borders[0]], BEFORE)
        await stream.send(record for record in records if borders[0] < record.time_ms <= borders[1])
        await stream.is_taken_in()
        await close_in_the_dark(stream, west, driver.closes_at(DARK))
        rest = MonthDriver(stream, DARK + timedelta(days=1), hours)
        await rest.play([record for record in records if record.time_ms > borders[1]], OCTOBER.last_day)
    statements = await bill(system, OCTOBER, driver.closes_at(OCTOBER.last_day))
    await declared(system, OCTOBER, len(statements))


async def close_in_the_dark(stream: Stream, west: West | None, as_of: datetime) -> None:
    """Close DARK; where there is a second deployment, it is dead at first."""
    if west is not None:
        west.kill()
    await request_close(stream.apis, DARK, as_of)
    if west is not None:
        await until(lambda: says(stream, "no count of west"), "the ledger to name who is awaited")
        assert (await stream.apis.ledger.get(f"/v1/days/{DARK}"))["state"] == "closing"
        west.start()
    await wait_closed(stream.apis, DARK)


async def says(stream: Stream, words: str) -> bool:
    status = await stream.apis.ledger.get("/v1/status")
    return any(alarm.startswith(f"close_overdue: {DARK}") and words in alarm for alarm in status["alarms"])


async def read(url: str, *queries: str) -> list[list[tuple[Any, ...]]]:
    connection = await asyncpg.connect(url)
    try:
        return [[tuple(row) for row in await connection.fetch(query)] for query in queries]
    finally:
        await connection.close()


def in_no_order(days: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Closed days, their lists sorted."""
    return [
        tuple(sorted(map(repr, json.loads(field))) if isinstance(field, str) else field for field in day)
        for day in days
    ]


def of_provinces(lists: Iterable[str]) -> int:
    """Workers by province and day, added up."""
    return sum(load["workers"] for counts in lists for load in json.loads(counts) if load["enterprise"] is None)


async def on_one(folder: Path) -> list[list[tuple[Any, ...]]]:
    """Reports and closed days of the same events on one deployment."""
    async with running_system(wishes_of(DemoRequest(WANTED.orders, WANTED.seed, folder), WANTED)) as system:
        await system.supervisor.guard(play(system, system.apis, None))
        return await read(system.variables["DANBAO_AUDIT_DATABASE"], _REPORTS, _CLOSED)


def audit_sources(system: System, west: West) -> Sources:
    """As `danbao audit` has them; it refuses while a deployment is missing."""
    first = system.variables["DANBAO_AUDIT_DATABASE"]
    for databases in ("", f"charging={first}", f"charging={first} west={west.audited} east={west.audited}"):
        with pytest.raises(Refused, match="the deployments are charging, west"):
            sources_from(settings_of(system.variables | {CHARGING_DATABASES: databases}))
    return sources_from(settings_of(system.variables | {CHARGING_DATABASES: f"charging={first} west={west.audited}"}))


async def check_audit(sources: Sources, west: West) -> None:
    """It passes over both, takes neither database for the other's, and finds what was changed in one of them."""
    verdict = await audit_all(sources)
    assert verdict.has_passed, "\n".join(verdict.lines())
    first = sources.charging["charging"]
    with pytest.raises(Refused, match="for west is that of charging"):
        await audit_all(replace(sources, charging={"charging": first, "west": first}))
    connection = await asyncpg.connect(west.database)
    await connection.execute("set session_replication_role = replica")
    await connection.execute(_TAMPER)
    await connection.close()
    findings = [finding for check in (await audit_all(sources)).checks for finding in check.findings]
    assert [finding for finding in findings if finding.startswith("charging.manifest")]
    assert not [finding for finding in findings if finding.startswith(("ledger.", "reporting."))], findings


async def test_two_deployments_report_what_one_reports(
    own_parts: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, closed = await on_one(tmp_path_factory.mktemp("one"))
    async with two_deployments(tmp_path_factory.mktemp("two")) as (system, west, apis):
        await system.supervisor.guard(play(system, apis, west))
        two, days, answers = await read(system.variables["DANBAO_AUDIT_DATABASE"], _REPORTS, _CLOSED, _ANSWERS)
        status = await apis.ledger.get("/v1/status")
        await check_audit(audit_sources(system, west), west)
    assert {deployment for deployment, _ in answers} == {"charging", "west"}
    apart, reported = of_provinces(workers for _, workers in answers), of_provinces(day[4] for day in days)
    assert apart > reported > 0, "nobody rode for both"
    assert [alarm for alarm in status["alarms"] if not alarm.startswith("calendar_unpublished:")] == []
    assert in_no_order(days) == in_no_order(closed)
    assert len(one) > 100
    assert [name for name, _ in two] == [name for name, _ in one]
    assert dict(two) == dict(one)
