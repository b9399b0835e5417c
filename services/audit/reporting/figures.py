"""Split the figures of reports so that they can be compared one by one."""

from collections import Counter
from datetime import date, datetime

from services.audit.charging.workers import Workers
from shared.contracts.manifests import DayClosed, StatementIssued
from shared.contracts.reports import CoverageReport, DeclarationReport, PaymentReport, RegistrationReport
from shared.domain.books.coverage import Coverage
from shared.domain.money import Amount, parse_yuan, yuan

AnyReport = CoverageReport | DeclarationReport | PaymentReport | RegistrationReport
Figure = str | int | date | None
Facts = tuple[Figure, ...]
Sheet = dict[str, dict[str | Facts, int | Facts]]
"""The figures of a coverage report, by what they are."""


def worked_out_figures(sheet: Coverage, workers: Workers) -> Sheet:
    """The figures that a day's report must have."""
    employees: dict[str | Facts, int | Facts] = {
        (uscc, worker, number): orders
        for (day, province, uscc, worker, number), orders in workers.employees.items()
        if (day, province) == (sheet.day, sheet.province)
    }
    sums = (sheet.orders, yuan(sheet.premium), sheet.province_workers, sheet.first_time_workers)
    return {
        "sums": {"orders, premium, workers, first-time workers": sums},
        "line": {
            (line.insured_on, line.enterprise, line.industry, line.tariff_line): (
                yuan(line.base), line.charged, line.reversed, line.orders, yuan(line.premium)
            )
            for line in sheet.lines
        },
        "exclusion": {
            (exclusion.insured_on, exclusion.enterprise, exclusion.industry, exclusion.reason): exclusion.orders
            for exclusion in sheet.exclusions
        },
        "workers": {(count.insured_on, count.enterprise): count.workers for count in sheet.workers},
        "employee": employees,
    }  # fmt: skip


def figures_of(report: CoverageReport) -> Sheet:
    """What a coverage report says."""
    sums = (report.orders, report.premium_yuan, report.province_workers, report.first_time_workers)
    return {
        "sums": {"orders, premium, workers, first-time workers": sums},
        "line": {
            (line.insured_on, line.enterprise, line.industry, line.tariff_line): (
                line.base_yuan, line.charged, line.reversed, line.orders, line.premium_yuan
            )
            for line in report.lines
        },
        "exclusion": {
            (exclusion.insured_on, exclusion.enterprise, exclusion.industry, exclusion.reason): exclusion.orders
            for exclusion in report.exclusions
        },
        "workers": {(count.insured_on, count.enterprise): count.workers for count in report.workers},
        "employee": {
            (exclusion.enterprise, exclusion.worker_id, exclusion.employer_insurance_no): exclusion.orders
            for exclusion in report.employee_exclusions
        },
    }  # fmt: skip


def declared_of(report: DeclarationReport) -> tuple[Figure | list[Facts], ...]:
    """What a declaration says."""
    lines: list[Facts] = [
        (
            line.kind, line.insured_month, line.industry, line.tariff_line, line.base_yuan, line.orders,
            line.exact_yuan, line.amount_yuan, line.series, line.insured_on,
        )
        for line in report.lines
    ]  # fmt: skip
    head = (report.enterprise, report.province, report.period, report.due_on, report.due_on_is_provisional)
    return (*head, report.orders, report.exact_yuan, report.amount_yuan, lines)


def stated_of(statement: StatementIssued) -> tuple[Figure | list[Facts], ...]:
    """What the declaration of a statement must say."""
    lines: list[Facts] = [
        (
            line.kind, line.insured_month, line.industry, line.tariff_line, yuan(Amount(line.base_amount)),
            line.orders, yuan(Amount(line.exact_amount)), yuan(Amount(line.amount)), line.series, line.insured_on,
        )
        for line in statement.lines
    ]  # fmt: skip
    head = (
        statement.enterprise,
        statement.province,
        statement.period,
        statement.due_on,
        statement.due_on_is_provisional,
    )
    amounts = (yuan(Amount(statement.exact_amount)), yuan(Amount(statement.amount)))
    return (*head, statement.orders, *amounts, lines)


def shares_of(report: AnyReport) -> dict[str, tuple[int, int]]:
    """Orders and 0.0001 yuan of each enterprise that a report names."""
    if isinstance(report, DeclarationReport):
        return {report.enterprise: (report.orders, parse_yuan(report.amount_yuan))}
    if not isinstance(report, CoverageReport):
        return {}
    orders: Counter[str] = Counter()
    premium: Counter[str] = Counter()
    for line in report.lines:
        orders[line.enterprise] += line.orders
        premium[line.enterprise] += parse_yuan(line.premium_yuan)
    named = {line.enterprise for line in report.exclusions} | {line.enterprise for line in report.workers} | set(orders)
    return {uscc: (orders[uscc], premium[uscc]) for uscc in named}


def platform_lines_of(report: CoverageReport) -> dict[int, Facts]:
    """The rows that the national platform keeps of a coverage report, by number."""
    return {
        number: (
            f"{report.day:%Y-%m}", report.province, line.enterprise, line.insured_on, line.orders,
            parse_yuan(line.premium_yuan),
        )
        for number, line in enumerate(report.lines, 1)
    }  # fmt: skip


def index_of(report: AnyReport) -> Facts:
    """Id, kind, province, day and enterprise: what a report is found by."""
    day = report.day if isinstance(report, CoverageReport | RegistrationReport) else None
    enterprise = report.enterprise if isinstance(report, DeclarationReport) else None
    return report.report_id, report.kind, report.province, day, enterprise


def day_content_of(message: DayClosed) -> tuple[date | datetime | Counter[str], ...]:
    """The content of a closed day, independent of the order of its lists."""
    return (
        message.day, message.as_of, Counter(map(repr, message.totals)), Counter(map(repr, message.workers)),
        Counter(map(repr, message.first_time)), Counter(map(repr, message.hours)),
    )  # fmt: skip
