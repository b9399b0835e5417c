"""Check what reporting built and what the national platform holds against the books: I5's copies and I6."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct
from pydantic import ValidationError

from services.audit.charging.workers import Workers
from services.audit.facts import ClosedDay, Facts
from services.audit.reporting.figures import (
    AnyReport,
    Figure,
    day_content_of,
    declared_of,
    figures_of,
    index_of,
    platform_lines_of,
    shares_of,
    stated_of,
    worked_out_figures,
)
from services.audit.verdict import Check, Verdict
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs
from shared.contracts.manifests import DayClosed, StatementIssued
from shared.contracts.reports import (
    REPORT,
    CoverageReport,
    DeclarationReport,
    PaymentReport,
    RegistrationReport,
)
from shared.domain.books.coverage import build_coverage
from shared.domain.money import Amount, parse_yuan, yuan

_REPORTS: Final = """
    select r.*, c.body_sha256 as receipt_sha256, c.receipt_id,
        exists (select 1 from reporting.discrepancy_now d where d.state <> 'corrected' and d.report_id = r.report_id)
            as is_disputed
    from reporting.report r left join reporting.receipt c using (report_id) order by r.number"""


class _ReportRow(Struct, frozen=True):
    """A row of `reporting.report`, with its receipt."""

    report_id: str
    kind: str
    province: str
    day: date | None
    enterprise: str | None
    body: bytes
    body_sha256: str
    receipt_id: str | None
    receipt_sha256: str | None
    is_disputed: bool


class _HeldRow(Struct, frozen=True):
    """A row of `national_platform.report`, with its delivery and receipt."""

    report_id: str
    kind: str
    province: str
    day: date | None
    enterprise: str | None
    body: bytes
    body_sha256: str
    receipt_id: str | None
    receipt_sha256: str | None


class _DeclarationRow(Struct, frozen=True):
    """A row of `national_platform.declaration`."""

    report_id: str
    orders: int
    exact: int
    amount: int


class Reports:
    """Reads every report once and holds it against the closed days, the rows and the statements."""

    def __init__(self, facts: Facts, workers: Workers, verdict: Verdict) -> None:
        self._facts = facts
        self._workers = workers
        self._verdict = verdict
        self._first_time = workers.first_time()
        self._kept: dict[str, _ReportRow] = {}
        self._reported: dict[str, AnyReport] = {}

    async def check(self, connection: Connection, platform: Connection, later: Connection) -> None:
        """All of it; `platform` reads the national platform's database, `later` ours outside the snapshot."""
        await self._check_copies(connection)
        await self._read(connection)
        await self._check_days(connection)
        await self._check_declarations(connection)
        await self._check_shares(connection)
        await self._check_held(platform, later)

    async def _check_copies(self, connection: Connection) -> None:
        """Check reporting's copies of every closed day and statement against the ledger."""
        check = self._verdict.check(
            "I5", "closed days and statements are those that reporting received when they were made"
        )
        days = {closed.day: closed for closed in self._facts.closed}
        for row in await connection.fetch("select * from reporting.day_closed"):
            name = f"reporting.day_closed {row['day']}"
            check.compare(f"{name}, SHA-256", row["body_sha256"], sha256(row["body"]).hexdigest())
            empty = DayClosed(day=row["day"], as_of=row["as_of"], totals=[], workers=[], first_time=[])
            message, closed = check.read(name, row["body"], DayClosed, empty), days.get(row["day"])
            if closed is None or day_content_of(message) != day_content_of(closed.reported):
                check.find(f"{name}: not what ledger.day_closed holds")
        statements = await read_statements(connection)
        for row in await connection.fetch("select * from reporting.statement_issued"):
            name = f"reporting.statement_issued {row['statement_id']}"
            check.compare(f"{name}, SHA-256", row["body_sha256"], sha256(row["body"]).hexdigest())
            known = statements.get(row["statement_id"])
            if known is None or check.read(name, row["body"], StatementIssued, known) != known:
                check.find(f"{name}: not what ledger.statement holds")

    async def _read(self, connection: Connection) -> None:
        check = self._verdict.check("I6", "every report reads as what its own columns say of it")
        for row in await fetch_structs(connection, _ReportRow, _REPORTS):
            name = f"reporting.report {row.report_id}"
            self._kept[row.report_id] = row
            check.compare(f"{name}, SHA-256", row.body_sha256, sha256(row.body).hexdigest())
            try:
                report = REPORT.validate_json(row.body)
            except ValidationError as error:
                check.find(f"{name}: {error.error_count()} faults in its body")
                continue
            self._reported[row.report_id] = report
            columns = (row.report_id, row.kind, row.province, row.day, row.enterprise)
            check.compare(name, columns, index_of(report))

    async def _check_days(self, connection: Connection) -> None:
        """Coverage and registration reports, figure by figure, from the closed days and the rows."""
        check = self._verdict.check(
            "I6", "daily reports = closed days and rows: orders, premium, workers, registrations"
        )
        built = {row["day"] for row in await connection.fetch("select day from reporting.day_built")}
        overdue = {row["day"] for row in await connection.fetch(_OVERDUE, self._facts.patience)}
        reports, registered = self._daily()
        for closed in self._facts.closed:
            if closed.day in built:
                self._compare_day(check, closed, reports, registered)
            elif closed.day in overdue:
                check.find(f"reporting.day_built {closed.day}: not built after {self._facts.patience}")
        closed_days = {closed.day for closed in self._facts.closed}
        for day, province in reports:
            if day in built or day not in closed_days:  # else the day's reports are being built just now
                check.find(f"reporting.report coverage.{day}.{province}: the day is not closed or has nothing there")

    def _daily(self) -> tuple[dict[tuple[date, str], CoverageReport], dict[tuple[date, str], list[str]]]:
        """Coverage reports and all registered tokens, by day and province."""
        reports: dict[tuple[date, str], CoverageReport] = {}
        registered: dict[tuple[date, str], list[str]] = defaultdict(list)
        for report in self._reported.values():
            if isinstance(report, CoverageReport):
                reports[report.day, report.province] = report
            elif isinstance(report, RegistrationReport):
                registered[report.day, report.province] += report.workers
        return reports, registered

    def _compare_day(
        self,
        check: Check,
        closed: ClosedDay,
        reports: dict[tuple[date, str], CoverageReport],
        registered: dict[tuple[date, str], list[str]],
    ) -> None:
        for sheet in build_coverage(
            closed.day, closed.reported.totals, closed.reported.workers, closed.reported.first_time
        ):
            name = f"reporting.report coverage.{closed.day}.{sheet.province}"
            report = reports.pop((closed.day, sheet.province), None)
            if report is None:
                check.find(f"{name} is missing")
                continue
            stored, worked_out = figures_of(report), worked_out_figures(sheet, self._workers)
            for what, figures in worked_out.items():
                check.compare_all(f"{name}, {what}", stored[what], figures)
            tokens = registered.get((closed.day, sheet.province), [])
            new = self._first_time.get((closed.day, sheet.province), set())
            if sorted(tokens) != sorted(worker.hex() for worker in new):
                check.find(f"reporting.report registration.{closed.day}.{sheet.province}: not the workers of the rows")

    async def _check_declarations(self, connection: Connection) -> None:
        check = self._verdict.check("I6", "declarations and payment reports = statements")
        statements = await read_statements(connection)
        declared = {
            candidate.statement_id: candidate
            for candidate in self._reported.values()
            if isinstance(candidate, DeclarationReport)
        }
        issued = await connection.fetch("select statement_id from reporting.statement_issued")
        for row in issued:
            name, statement = row["statement_id"], statements.get(row["statement_id"])
            report = declared.pop(name, None)
            if report is None or statement is None:
                check.find(f"reporting.report declaration of {name} is missing")
            else:
                check.compare(f"reporting.report {report.report_id}", declared_of(report), stated_of(statement))
        for report in declared.values():
            check.find(f"reporting.report {report.report_id}: there is no such statement")
        for payment in self._reported.values():
            if isinstance(payment, PaymentReport):
                for item in payment.items:
                    stated = statements.get(item.statement_id)
                    due = None if stated is None else yuan(Amount(stated.amount))
                    check.compare(f"reporting.report {payment.report_id}, {item.statement_id}, due", item.due_yuan, due)

    async def _check_shares(self, connection: Connection) -> None:
        check = self._verdict.check("I6", "the shares that reports are listed by are their own sums")
        stored: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        for row in await connection.fetch("select * from reporting.share"):
            stored[row["report_id"]][row["enterprise"]] = (row["orders"], row["amount"])
        for report_id, read_report in self._reported.items():
            check.compare_all(f"reporting.share {report_id}/", stored.pop(report_id, {}), shares_of(read_report))
        for report_id in stored:
            check.find(f"reporting.share {report_id}: there is no such report")

    async def _check_held(self, platform: Connection, later: Connection) -> None:
        """Check what the national platform holds, byte for byte, and the figures it derives from it."""
        check = self._verdict.check("I6", "the national platform holds what was reported, or a discrepancy names it")
        held = {row.report_id: row for row in await fetch_structs(platform, _HeldRow, _HELD)}
        for report_id, row in self._kept.items():
            if row.receipt_sha256 is None or row.is_disputed:
                continue
            check.compare(f"reporting.receipt {report_id}, SHA-256", row.receipt_sha256, row.body_sha256)
            theirs = held.get(report_id)
            stored = None if theirs is None else (sha256(theirs.body).hexdigest(), theirs.receipt_id)
            check.compare(f"national_platform.report {report_id}", stored, (row.body_sha256, row.receipt_id))
        unknown = [report_id for report_id in held if report_id not in self._kept]
        # What was sent since our snapshot was taken is known by now.
        sent = await later.fetch("select report_id from reporting.report where report_id = any($1)", unknown)
        for report_id in set(unknown) - {row["report_id"] for row in sent}:
            check.find(f"national_platform.report {report_id}: nobody here sent it")
        await _check_platform(platform, held, self._verdict)


_OVERDUE: Final = "select day from ledger.day_closed where recorded_at < now() - $1::interval"
_HELD: Final = """
    select r.*, d.body, d.body_sha256, c.receipt_id, c.body_sha256 as receipt_sha256
    from national_platform.report r join national_platform.delivery d on d.id = r.delivery_id
    left join national_platform.receipt c on c.report_id = r.report_id"""


async def _check_platform(platform: Connection, held: dict[str, _HeldRow], verdict: Verdict) -> None:
    """The platform's tables of figures are those of the bodies it holds."""
    check = verdict.check("I6", "the figures that the national platform compares are those of the reports it holds")
    lines: dict[str, dict[int, tuple[Figure, ...]]] = defaultdict(dict)
    for row in await platform.fetch("select * from national_platform.coverage_line"):
        figures = (row["period"], row["province"], row["enterprise"], row["insured_on"], row["orders"], row["premium"])
        lines[row["report_id"]][row["number"]] = figures
    declarations = await fetch_structs(platform, _DeclarationRow, "select * from national_platform.declaration")
    declared = {row.report_id: row for row in declarations}
    for report_id, row in held.items():
        body = sha256(row.body).hexdigest()
        check.compare(f"national_platform.delivery of {report_id}", (row.body_sha256, row.receipt_sha256), (body,) * 2)
        try:
            report = REPORT.validate_json(row.body)
        except ValidationError:
            check.find(f"national_platform.delivery of {report_id}: its body does not read")
            continue
        columns = (row.report_id, row.kind, row.province, row.day, row.enterprise)
        check.compare(f"national_platform.report {report_id}", columns, index_of(report))
        if isinstance(report, CoverageReport):
            check.compare_all(
                f"national_platform.coverage_line {report_id}/", lines[report_id], platform_lines_of(report)
            )
        elif isinstance(report, DeclarationReport):
            kept = declared.get(report_id)
            stored = None if kept is None else (kept.orders, kept.exact, kept.amount)
            worked_out = (report.orders, parse_yuan(report.exact_yuan), parse_yuan(report.amount_yuan))
            check.compare(f"national_platform.declaration {report_id}", stored, worked_out)


async def read_statements(connection: Connection) -> dict[str, StatementIssued]:
    """Read the ledger's statements in the form of their messages."""
    lines: dict[str, list[Mapping[str, Figure]]] = defaultdict(list)
    for row in await connection.fetch("select * from ledger.statement_line order by statement_id, number"):
        lines[row["statement_id"]].append(dict(row))
    return {
        row["statement_id"]: msgspec.convert(dict(row) | {"lines": lines[row["statement_id"]]}, StatementIssued)
        for row in await connection.fetch("select * from ledger.statement")
    }
