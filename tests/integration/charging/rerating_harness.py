"""Charging and the ledger on one database, without Kafka, and scheme files as somebody corrected them."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import msgspec

from services.audit.books.billing import check_billing
from services.audit.books.bookings import Books as AuditBooks
from services.audit.books.day_counts import check_counts
from services.audit.charging.assessments import check_assessments
from services.audit.charging.assignments import check_assignments
from services.audit.charging.deployments import Charging
from services.audit.charging.manifests import check_manifests
from services.audit.charging.outside import check_decisions, check_outside
from services.audit.charging.row_contents import RowReader
from services.audit.charging.settlements import check_settlements
from services.audit.facts import read_facts
from services.audit.verdict import Verdict
from services.charging.close.count_day import count_day
from services.charging.rerate.rerate import Difference, Window, book_differences, find_differences
from services.ledger.billing.issue_statements import issue_statements
from services.ledger.books.booking import book_all_waiting, take_manifest
from services.ledger.close.close_day import close_day
from services.ledger.close.compare_count import take_count
from shared.adapters.files.scheme import load_scheme
from shared.adapters.postgres.pool import open_pool
from shared.contracts.manifests import DayClosing
from shared.contracts.topics import DAYS_CLOSING, DAYS_COUNTED, MANIFESTS
from shared.domain.calendar import Month, day_start
from shared.domain.scheme.rating import Scheme
from tests.integration.charging.charging_harness import RIDES, ROOT, House
from tests.integration.ledger.ledger_harness import COUNTERS, Ledger, due, open_ledger
from tests.support.authors import AUTHORS
from tests.support.decisions import store_decision
from tests.support.deployed_calendar import deployed_calendar

RUNNER = "91000000FAKE00005U"
"""Enrolled in Hainan (46) from 2026-11-01 by the demo's files."""
HAINAN = "460105"
DECISION = f"9901,44,ride_hailing,{RIDES},2026-10-02,,0.0123,later decision,,true,made up"
"""0.0123 yuan for one enterprise in Guangdong from 2026-10-02; the general line there says 0.01."""


@dataclass(frozen=True)
class Corrected:
    """Scheme files that somebody corrected."""

    directories: tuple[Path, ...]
    scheme: Scheme


def corrected(
    folder: Path, *lines: str, enrolment: tuple[str, str] = ("", ""), without: str = "no such line"
) -> Corrected:
    """The demo's scheme with tariff lines added, a text of its enrolments replaced, or a tariff line left out."""
    tariffs, demo = folder / "tariffs", folder / "demo"
    for made in (tariffs, demo):
        shutil.copytree(ROOT / "deploy" / made.name, made, dirs_exist_ok=True)
    header = (demo / "tariff-demo.csv").read_text(encoding="utf-8").splitlines()[0]
    (demo / "tariff-later.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    enrolments = (demo / "enrolment.csv").read_text(encoding="utf-8")
    assert enrolment[0] in enrolments
    (demo / "enrolment.csv").write_text(enrolments.replace(*enrolment), encoding="utf-8")
    for path in tariffs.glob("tariff-*.csv"):
        kept = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(without)]
        path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return Corrected((tariffs, demo), load_scheme([tariffs, demo]))


def window(first: str = "2026-10-01", last: str = "2026-10-31", **narrowed: str) -> Window:
    return Window(date.fromisoformat(first), date.fromisoformat(last), **narrowed)


async def differences(house: House, scheme: Scheme, wanted: Window | None = None) -> list[Difference]:
    return await find_differences(house.pool, scheme, wanted or window())


async def book(house: House, scheme: Scheme, wanted: Window | None = None, chunk_rows: int = 20_000) -> list[int]:
    """Orders corrected, chunk by chunk."""
    decision = await store_decision(house.pool)
    booking = book_differences(house.pool, scheme, wanted or window(), house.author, decision, chunk_rows)
    return [n async for n in booking]


@dataclass
class Books:
    """Messages are carried from one to the other by hand."""

    house: House
    ledger: Ledger
    carried: int = 0

    async def carry(self) -> None:
        """Deliver every manifest that charging published."""
        sql = "select id, payload from charging.outbox where topic = $1 and id > $2 order by id"
        for number, payload in await self.house.fetch(sql, MANIFESTS, self.carried):
            assert (await take_manifest(self.ledger.engine, payload, AUTHORS)).state in {"booked", "waiting"}
            self.carried = number

    async def close(self, day: date) -> None:
        """Deliver pending messages, begin the close, count, and deliver the answer."""
        await self.freeze(day)
        await self.finish()

    async def freeze(self, day: date) -> None:
        await self.carry()
        assert (await close_day(self.ledger.engine, day, due(day), 36)).state == "closing"

    async def finish(self) -> None:
        """Count the day whose cut is frozen, and take the answer."""
        sql = "select payload from ledger.outbox where topic = :topic order by id desc limit 1"
        closing = msgspec.json.decode(await self.ledger.value(sql, topic=DAYS_CLOSING), type=DayClosing)
        await count_day(self.house.pool, self.house.scheme, closing, self.house.author)
        sql = "select payload from charging.outbox where topic = $1 order by id desc limit 1"
        answer = await self.house.value(sql, DAYS_COUNTED)
        state = await take_count(self.ledger.engine, answer, COUNTERS)
        assert state == "closed", await self.ledger.value("select differences from ledger.day_count order by day desc")
        await book_all_waiting(self.ledger.engine)

    async def close_through(self, first: date, last: date) -> None:
        while first <= last:
            await self.close(first)
            first += timedelta(days=1)

    async def bill(self, period: Month) -> None:
        as_of = day_start(period.last_day + timedelta(days=3))
        answer = await issue_statements(self.ledger.engine, period, as_of, deployed_calendar())
        assert answer.state == "issued", answer.reason

    async def lines(self, period: str) -> list[tuple[object, ...]]:
        """Statement lines of a month: enterprise, kind, insured month, tariff line, orders, exact and due amount."""
        sql = """select enterprise, kind, insured_month, tariff_line, l.orders, l.exact_amount, l.amount
            from ledger.statement_line l join ledger.statement s using (statement_id)
            where period = :period order by statement_id, number"""
        return [tuple(row) for row in await self.ledger.rows(sql, period=period)]


async def audit(books: Books, scheme: Corrected) -> list[str]:
    """What the audit finds in rows, manifests, books and bills under that scheme; nobody reports here."""
    verdict = Verdict()
    await books.carry()
    async with open_pool(books.house.owner_url, size=1) as pool, pool.acquire() as connection, connection.transaction():
        reads, rates = verdict.check("I4", "reads"), verdict.check("I4", "rates")
        facts = await read_facts(connection, scheme.scheme, reads)
        rows, kept = RowReader(facts, rates), AuditBooks(facts, verdict)
        await rows.read(connection)
        await check_manifests(connection, facts, rows, verdict)
        await check_settlements(connection, facts, verdict)
        await check_assignments(connection, facts, verdict)
        await check_assessments(connection, facts, verdict)
        await kept.check(connection)
        await check_counts(connection, [Charging(connection, facts, rows)], verdict)
        await check_decisions(connection, facts, verdict)
        await check_outside(connection, [Charging(connection, facts, rows)], facts, verdict)
        await check_billing(connection, facts, kept, verdict)
    return [finding for check in verdict.checks for finding in check.findings]


@asynccontextmanager
async def open_both(house: House, opened_on: date) -> AsyncIterator[Books]:
    async with open_ledger(house.owner_url, opened_on) as ledger:
        yield Books(house, ledger)
