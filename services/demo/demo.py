"""Run the demo: a month of orders in, a billed and reported month out, on a separate system."""

import asyncio
import csv
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from services.audit.run import Sources, audit_all
from services.audit.verdict import as_dict
from services.demo.driver import MonthDriver, Stream, open_stream, until
from services.demo.generator.month import Wanted, generate
from services.demo.generator.plan import Employee, make_plan
from services.demo.progress import Watcher
from services.demo.running.answers import Statement
from services.demo.running.system import System, Wishes, running_system, stand_in
from services.demo.summary import Summary, summarise
from services.demo.visitors import Visitors, invite
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.files.scheme import load_scheme
from shared.contracts.manifests import RemittanceReceived
from shared.contracts.topics import REMITTANCES, SIGNATURE_HEADER
from shared.domain.calendar import Month, day_start
from shared.domain.evidence.authors import Role
from shared.domain.money import AMOUNT_PER_YUAN, Amount, parse_yuan, yuan
from shared.runtime.exits import CommandFailed

OCTOBER: Final = Month(2026, 10)
ORDER_PARTITIONS: Final = 2
REMITTED_ON: Final = date(2026, 11, 13)
AS_OF: Final = date(2026, 11, 20)
"""Some days after the statements fell due, so that arrears and late fees can be seen."""


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """Options of the command line."""

    orders: int
    seed: int
    directory: Path
    stays: bool = False


async def run_demo(
    request: DemoRequest, watching: AbstractContextManager[Watcher], show: Callable[[Summary, Visitors], None]
) -> Summary:
    """Run the whole month, show what came of it while everything still runs, and return it.

    With `stays` this goes on until it is cancelled. Raises CommandFailed and its kin when something fails.
    """
    began = time.monotonic()
    wanted = Wanted(request.orders, request.seed, OCTOBER)
    async with AsyncExitStack() as stack:
        with watching as watcher:
            watcher.stage("starting database, broker and services")
            system = await stack.enter_async_context(running_system(wishes_of(request, wanted)))
            summary = await system.supervisor.guard(play_month(system, wanted, watcher))
            visitors = await system.supervisor.guard(invite(system, wanted))
        summary.seconds = round(time.monotonic() - began, 1)
        show(summary, visitors)
        if request.stays:
            await system.supervisor.guard(asyncio.Event().wait())
    return summary


def wishes_of(request: DemoRequest, wanted: Wanted) -> Wishes:
    """A system whose books begin with the month, and whose national platform has the generated roster."""
    extra = {
        "DANBAO_ORDER_PARTITIONS": str(ORDER_PARTITIONS),
        "DANBAO_CHECKPOINT_SECONDS": "0",
        "DANBAO_ORDER_TIMESTAMPS": "",  # events of a month that is over, with their own times
    }
    wishes = Wishes(request.directory, extra=extra)
    scheme = load_scheme([Path(part) for part in wishes.scheme.split(":")])
    roster = request.directory / "roster.csv"
    write_roster(roster, make_plan(scheme, wanted.month, wanted.orders, wanted.seed).employees)
    return Wishes(request.directory, books_open_on=wanted.month.first_day, roster=roster, extra=wishes.extra)


def write_roster(file: Path, employees: Sequence[Employee]) -> None:
    """The national platform's roster: who really is insured as an employee; some that orders name are not."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("worker_id", "employer_insurance_no", "valid_from", "valid_to"))
        writer.writerows(
            (employee.token, employee.insurance_no, "2026-01-01", "") for employee in employees if employee.is_on_roster
        )


async def play_month(system: System, wanted: Wanted, watcher: Watcher) -> Summary:
    """Everything from the first event to the audit, on a running system with empty books."""
    watcher.expect(round(wanted.orders * 2.06))
    async with open_stream(system.settings, system.apis, watcher) as stream:
        driver = MonthDriver(stream, wanted.month.first_day, system.settings.close_after_hours)
        await driver.play(generate(system.scheme, wanted), wanted.month.last_day)
        watcher.stage("billing the month")
        statements = await bill(system, wanted.month, driver.closes_at(wanted.month.last_day))
        watcher.stage("declarations and receipts")
        await declared(system, wanted.month, len(statements))
        await remit(stream, statements, stand_in(system, Role.REMITTANCES))
        watcher.stage("late fees and payment report")
        await _settled(system, wanted.month)
        watcher.stage("reconciliation and audit")
        await until(lambda: _is_witnessed(system), "the national platform to cosign the whole log")
        summary = await summarise(system.apis, wanted.month, stream.sent)
    verdict = await audit_all(audit_sources(system))
    check = verdict.check("I2", "every event that was sent is counted, once")
    check.compare("the demo's events", summary.events, summary.counted)
    summary.audit = [as_dict(check) for check in verdict.checks]
    return summary


def audit_sources(system: System) -> Sources:
    """Where the audit of a running system reads, logged in as the auditor."""
    database, platform = (system.variables[f"DANBAO_AUDIT_{name}"] for name in ("DATABASE", "PLATFORM_DATABASE"))
    return Sources(database, platform, tuple(system.settings.scheme), system.settings.vkeys, system.settings.archive)


async def bill(system: System, month: Month, as_of: datetime) -> list[Statement]:
    """Issue the month's statements and return them; raises CommandFailed when the ledger refuses."""
    answer = await system.apis.ledger.post("/v1/statements", {"period": str(month), "as_of": as_of.isoformat()})
    if answer["state"] == "refused":
        raise CommandFailed(f"the ledger does not bill {month}: {answer['reason']}")
    statements: list[Statement] = (await system.apis.ledger.get("/v1/statements", period=str(month)))["statements"]
    return statements


async def declared(system: System, month: Month, statements: int) -> None:
    """Wait until each statement's declaration, and every day's report, has its receipt."""
    reporting = system.apis.reporting

    async def has_all() -> bool:
        receipts = (await reporting.get("/v1/receipts", period=str(month)))["receipts"]
        declarations = sum(receipt["kind"] == "declaration" for receipt in receipts)
        days = {receipt["day"] for receipt in receipts if receipt["kind"] == "coverage"}
        return declarations >= statements and len(days) >= len(list(month.days()))

    await until(has_all, "the receipts of all declarations and daily reports")
    await until(lambda: _nothing_pending(system), "the receipts of all reports")


async def _nothing_pending(system: System) -> bool:
    status = await system.apis.reporting.get("/v1/status")
    return bool(status["pending"] == 0 and status["unexamined_days"] == 0)


async def _is_witnessed(system: System) -> bool:
    log = (await system.apis.ledger.get("/v1/status"))["log"]
    return bool(log["cosigned"] == log["entries"])


async def remit(stream: Stream, statements: Sequence[Statement], author: AuthorSigner) -> int:
    """Have some of them paid, and wait until the ledger has booked it."""
    paid = payments(statements)
    for statement, amount in paid:
        await _remit(stream, statement, amount, author)
    await stream.sender.flush()
    if paid:
        await until(
            lambda: _has_remittances(stream, len(paid), statements[0]["period"]), "the ledger to book the remittances"
        )
    return len(paid)


def payments(statements: Sequence[Statement]) -> list[tuple[Statement, Amount]]:
    """Three enterprises pay, the others do not: one in full, one half, one a hundred yuan too much each."""
    payers = sorted({statement["enterprise"] for statement in statements})[:3]
    paid = []
    for statement in statements:
        due = parse_yuan(statement["amount_yuan"])
        if statement["enterprise"] not in payers or due <= 0:
            continue
        amount = (due, Amount(due // 200 * 100), Amount(due + 100 * AMOUNT_PER_YUAN))[
            payers.index(statement["enterprise"])
        ]
        if amount > 0:
            paid.append((statement, amount))
    return paid


async def _remit(stream: Stream, statement: Statement, amount: Amount, author: AuthorSigner) -> None:
    name = f"R-{statement['period']}-{statement['enterprise']}-{statement['province']}"
    reported = RemittanceReceived(
        remittance_id=name,
        enterprise=statement["enterprise"],
        province=statement["province"],
        amount_yuan=yuan(amount),
        received_on=REMITTED_ON,
    )
    time_ms = int(day_start(REMITTED_ON + timedelta(days=1)).timestamp()) * 1_000
    value = msgspec.json.encode(reported)
    headers = [(SIGNATURE_HEADER, author.sign_message(REMITTANCES, value))]
    await stream.sender.send(REMITTANCES, name.encode(), value, time_ms, headers)


async def _has_remittances(stream: Stream, sent: int, period: str) -> bool:
    items = (await stream.apis.ledger.get("/v1/payment-states", period=period, as_of=AS_OF.isoformat()))["items"]
    return sum(parse_yuan(item["remitted_yuan"]) > 0 for item in items) >= sent


async def _settled(system: System, month: Month) -> None:
    """Late fees as of a day after the due date, then the payment reports of the month with their receipts."""
    await system.apis.ledger.post("/v1/late-fees", {"as_of": AS_OF.isoformat()})
    await system.apis.reporting.post("/v1/payment-reports", {"period": str(month), "as_of": AS_OF.isoformat()})
    await until(lambda: _nothing_pending(system), "the receipts of the payment reports")
