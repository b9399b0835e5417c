"""Turn figures into documents: equal figures always give an equal report, id and bytes included."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from shared.contracts.manifests import StatementIssued
from shared.contracts.reports import (
    CoverageReport,
    DeclarationLine,
    DeclarationReport,
    EmployeeExclusion,
    EnterpriseWorkers,
    Exclusion,
    PaymentItem,
    PaymentReport,
    PremiumLine,
    RegistrationReport,
)
from shared.domain.books.coverage import Coverage, CoverageLine
from shared.domain.calendar import Month
from shared.domain.money import Amount, yuan

AnyReport = CoverageReport | RegistrationReport | DeclarationReport | PaymentReport
Share = tuple[int, int]
"""Orders, 0.0001 yuan."""


@dataclass(frozen=True, slots=True)
class PreparedReport:
    """A report as it will be sent, with what it is found by and each enterprise's share of it."""

    document: AnyReport
    index: dict[str, str | date]
    shares: dict[str, Share] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The bytes that are kept, signed and sent."""
        return self.document.model_dump_json().encode()

    @property
    def row(self) -> dict[str, str | date | bytes]:
        """The row of `reporting.report`."""
        body = self.body
        return {
            "report_id": self.document.report_id,
            "kind": self.document.kind,
            "province": self.document.province,
            **self.index,
            "body": body,
            "body_sha256": hashlib.sha256(body).hexdigest(),
        }


def coverage_report(coverage: Coverage, employees: Sequence[EmployeeExclusion]) -> PreparedReport:
    """The coverage report of one province and day."""
    report = CoverageReport(
        report_id=f"coverage.{coverage.day}.{coverage.province}",
        day=coverage.day,
        province=coverage.province,
        orders=coverage.orders,
        premium_yuan=yuan(coverage.premium),
        lines=[_premium_line(line) for line in coverage.lines],
        exclusions=[
            Exclusion(
                insured_on=exclusion.insured_on,
                enterprise=exclusion.enterprise,
                industry=exclusion.industry,
                reason=exclusion.reason,
                orders=exclusion.orders,
            )
            for exclusion in coverage.exclusions
        ],
        employee_exclusions=sorted(employees, key=lambda exclusion: (exclusion.enterprise, exclusion.worker_id)),
        workers=[
            EnterpriseWorkers(insured_on=count.insured_on, enterprise=count.enterprise, workers=count.workers)
            for count in coverage.workers
        ],
        province_workers=coverage.province_workers,
        first_time_workers=coverage.first_time_workers,
    )
    return PreparedReport(report, _daily(coverage.day), _coverage_shares(coverage))


def registration_reports(day: date, province: str, workers: Sequence[str], most: int) -> Iterator[PreparedReport]:
    """First-time tokens in parts of at most `most`; none for nobody."""
    parts = -(-len(workers) // most)
    for part in range(1, parts + 1):
        report = RegistrationReport(
            report_id=f"registration.{day}.{province}.{part}",
            day=day,
            province=province,
            part=part,
            parts=parts,
            workers=list(workers[(part - 1) * most : part * most]),
        )
        yield PreparedReport(report, _daily(day))


def filing_report(statement: StatementIssued) -> PreparedReport:
    """The statement as it is filed."""
    report = DeclarationReport(
        report_id=f"declaration.{statement.period}.{statement.province}.{statement.enterprise}",
        period=statement.period,
        province=statement.province,
        enterprise=statement.enterprise,
        statement_id=statement.statement_id,
        due_on=statement.due_on,
        due_on_is_provisional=statement.due_on_is_provisional,
        orders=statement.orders,
        exact_yuan=yuan(Amount(statement.exact_amount)),
        amount_yuan=yuan(Amount(statement.amount)),
        lines=[
            DeclarationLine(
                kind=line.kind,
                insured_month=line.insured_month,
                industry=line.industry,
                tariff_line=line.tariff_line,
                base_yuan=yuan(Amount(line.base_amount)),
                orders=line.orders,
                exact_yuan=yuan(Amount(line.exact_amount)),
                amount_yuan=yuan(Amount(line.amount)),
                series=line.series,
                insured_on=line.insured_on,
            )
            for line in statement.lines
        ],
    )
    index: dict[str, str | date] = {
        "period": statement.period,
        "enterprise": statement.enterprise,
        "statement_id": statement.statement_id,
    }
    return PreparedReport(report, index, {statement.enterprise: (statement.orders, statement.amount)})


def payment_report(period: str, province: str, as_of: date, items: Sequence[PaymentItem]) -> PreparedReport:
    """Build the report of payment states of one province and month at the end of a day."""
    report = PaymentReport(
        report_id=f"payment.{period}.{province}.{as_of}",
        period=period,
        province=province,
        as_of=as_of,
        items=sorted(items, key=lambda item: item.statement_id),
    )
    return PreparedReport(report, {"period": period, "as_of": as_of})


def _premium_line(line: CoverageLine) -> PremiumLine:
    return PremiumLine(
        insured_on=line.insured_on,
        enterprise=line.enterprise,
        industry=line.industry,
        tariff_line=line.tariff_line,
        base_yuan=yuan(line.base),
        charged=line.charged,
        reversed=line.reversed,
        orders=line.orders,
        premium_yuan=yuan(line.premium),
    )


def _coverage_shares(coverage: Coverage) -> dict[str, Share]:
    """Orders and premium of every enterprise that the report names, also where it only names exclusions."""
    named = [exclusion.enterprise for exclusion in coverage.exclusions]
    named += [count.enterprise for count in coverage.workers]
    shares: dict[str, Share] = dict.fromkeys(named, (0, 0))
    for line in coverage.lines:
        orders, premium = shares.get(line.enterprise, (0, 0))
        shares[line.enterprise] = (orders + line.orders, premium + line.premium)
    return shares


def _daily(day: date) -> dict[str, str | date]:
    return {"day": day, "period": str(Month.of(day))}
