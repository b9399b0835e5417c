"""The figures of reports, taken apart so that they can be compared one by one."""

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
            (each.insured_on, each.enterprise, each.industry, each.tariff_line): (
                yuan(each.base), each.charged, each.reversed, each.orders, yuan(each.premium)
            )
            for each in sheet.lines
        },
        "exclusion": {
            (each.insured_on, each.enterprise, each.industry, each.reason): each.orders for each in sheet.exclusions
        },
        "workers": {(each.insured_on, each.enterprise): each.workers for each in sheet.workers},
        "employee": employees,
    }  # fmt: skip


def figures_of(report: CoverageReport) -> Sheet:
    """What a coverage report says."""
    sums = (report.orders, report.premium_yuan, report.province_workers, report.first_time_workers)
    return {
        "sums": {"orders, premium, workers, first-time workers": sums},
        "line": {
            (each.insured_on, each.enterprise, each.industry, each.tariff_line): (
                each.base_yuan, each.charged, each.reversed, each.orders, each.premium_yuan
            )
            for each in report.lines
        },
        "exclusion": {
            (each.insured_on, each.enterprise, each.industry, each.reason): each.orders for each in report.exclusions
        },
        "workers": {(each.insured_on, each.enterprise): each.workers for each in report.workers},
        "employee": {
            (each.enterprise, each.worker_id, each.employer_insurance_no): each.orders
            for each in report.employee_exclusions
        },
    }  # fmt: skip


def declared_of(report: DeclarationReport) -> tuple[Figure | list[Facts], ...]:
    """What a declaration says."""
    lines: list[Facts] = [
        (
            each.kind, each.insured_month, each.industry, each.tariff_line, each.base_yuan, each.orders,
            each.exact_yuan, each.amount_yuan, each.series, each.insured_on,
        )
        for each in report.lines
    ]  # fmt: skip
    head = (report.enterprise, report.province, report.period, report.due_on)
    return (*head, report.orders, report.exact_yuan, report.amount_yuan, lines)


def stated_of(statement: StatementIssued) -> tuple[Figure | list[Facts], ...]:
    """What the declaration of a statement must say."""
    lines: list[Facts] = [
        (
            each.kind, each.insured_month, each.industry, each.tariff_line, yuan(Amount(each.base_amount)),
            each.orders, yuan(Amount(each.exact_amount)), yuan(Amount(each.amount)), each.series, each.insured_on,
        )
        for each in statement.lines
    ]  # fmt: skip
    head = (statement.enterprise, statement.province, statement.period, statement.due_on)
    amounts = (yuan(Amount(statement.exact_amount)), yuan(Amount(statement.amount)))
    return (*head, statement.orders, *amounts, lines)


def shares_of(told: AnyReport) -> dict[str, tuple[int, int]]:
    """Orders and 0.0001 yuan of each enterprise that a report names."""
    if isinstance(told, DeclarationReport):
        return {told.enterprise: (told.orders, parse_yuan(told.amount_yuan))}
    if not isinstance(told, CoverageReport):
        return {}
    orders: Counter[str] = Counter()
    premium: Counter[str] = Counter()
    for line in told.lines:
        orders[line.enterprise] += line.orders
        premium[line.enterprise] += parse_yuan(line.premium_yuan)
    named = {each.enterprise for each in told.exclusions} | {each.enterprise for each in told.workers} | set(orders)
    return {uscc: (orders[uscc], premium[uscc]) for uscc in named}


def platform_lines_of(told: CoverageReport) -> dict[int, Facts]:
    """The rows that the national platform keeps of a coverage report, by number."""
    return {
        number: (
            f"{told.day:%Y-%m}", told.province, line.enterprise, line.insured_on, line.orders,
            parse_yuan(line.premium_yuan),
        )
        for number, line in enumerate(told.lines, 1)
    }  # fmt: skip


def index_of(told: AnyReport) -> Facts:
    """Id, kind, province, day and enterprise: what a report is found by."""
    day = told.day if isinstance(told, CoverageReport | RegistrationReport) else None
    enterprise = told.enterprise if isinstance(told, DeclarationReport) else None
    return told.report_id, told.kind, told.province, day, enterprise


def day_content_of(told: DayClosed) -> tuple[date | datetime | Counter[str], ...]:
    """The same whatever the order of the lists."""
    return (
        told.day, told.as_of, Counter(map(repr, told.totals)), Counter(map(repr, told.workers)),
        Counter(map(repr, told.first_time)), Counter(map(repr, told.hours)),
    )  # fmt: skip
