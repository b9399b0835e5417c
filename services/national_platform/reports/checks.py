"""Checks that a report agrees with itself: pure, one function a kind; None is agreement, else the first fault."""

from collections.abc import Iterable, Iterator

from shared.contracts.reports import (
    CoverageReport,
    DeclarationLine,
    DeclarationReport,
    PaymentReport,
    PremiumLine,
    RegistrationReport,
)
from shared.domain.books.billing import OUTSIDE_DECLARATION
from shared.domain.errors import Refused
from shared.domain.money import AMOUNT_PER_FEN, parse_yuan, round_to_fen

AnyReport = CoverageReport | RegistrationReport | DeclarationReport | PaymentReport


def sums_fault(report: AnyReport) -> str | None:
    """The first sum of the report that does not come out, in words; amounts are compared exactly."""
    try:
        return next(_faults(report), None)
    except Refused as error:
        return str(error)


def _faults(report: AnyReport) -> Iterator[str]:
    match report:
        case CoverageReport():
            return _coverage_faults(report)
        case RegistrationReport():
            return _registration_faults(report)
        case DeclarationReport():
            return _declaration_faults(report)
        case PaymentReport():
            return _payment_faults(report)


def _coverage_faults(report: CoverageReport) -> Iterator[str]:
    for line in report.lines:
        yield from _premium_line_faults(line)
    yield from _unequal("orders", report.orders, sum(line.orders for line in report.lines))
    yield from _unequal_yuan("premium_yuan", report.premium_yuan, (line.premium_yuan for line in report.lines))
    if len({(e.insured_on, e.enterprise, e.industry, e.tariff_line) for e in report.lines}) != len(report.lines):
        yield "a line is repeated"
    days = [
        *(line.insured_on for line in report.lines),
        *(exclusion.insured_on for exclusion in report.exclusions),
        *(count.insured_on for count in report.workers),
    ]
    if max(days, default=report.day) > report.day:
        yield "a line is insured after the report's day"
    most = sum(count.workers for count in report.workers if count.insured_on == report.day)
    if report.province_workers > most:
        yield f"province_workers is {report.province_workers}, its enterprises have no more than {most} together"
    yield from _employee_faults(report)


def _employee_faults(report: CoverageReport) -> Iterator[str]:
    named = sum(exclusion.orders for exclusion in report.employee_exclusions)
    excluded = sum(
        exclusion.orders
        for exclusion in report.exclusions
        if exclusion.reason == "insured_as_employee" and exclusion.insured_on == report.day
    )
    yield from _unequal("orders excluded as insured_as_employee", excluded, named)


def _premium_line_faults(line: PremiumLine) -> Iterator[str]:
    where = f"{line.enterprise}, {line.insured_on}, line {line.tariff_line}"
    if min(line.charged, line.reversed) < 0:
        yield f"{where}: counts are not negative"
    yield from _unequal(f"{where}: orders", line.orders, line.charged - line.reversed)
    yield from _unequal(
        f"{where}: premium in 0.0001 yuan",
        parse_yuan(line.premium_yuan),
        line.orders * parse_yuan(line.base_yuan),
    )


def _registration_faults(report: RegistrationReport) -> Iterator[str]:
    if report.part > report.parts:
        yield f"part {report.part} of {report.parts}"
    if len(set(report.workers)) != len(report.workers):
        yield "a worker is repeated"


def _declaration_faults(report: DeclarationReport) -> Iterator[str]:
    for number, line in enumerate(report.lines, 1):
        exact = line.orders * parse_yuan(line.base_yuan)
        yield from _unequal(f"line {number}: exact, in 0.0001 yuan", parse_yuan(line.exact_yuan), exact)
        is_outside = line.kind == OUTSIDE_DECLARATION
        yield from _rounding_faults(number, line, is_rest=is_outside)
        is_earlier = line.insured_month < report.period
        is_assessed = line.kind == "assessed"
        if is_assessed != (line.series is not None and line.insured_on is not None):
            yield f"line {number}: an assessed line names series and day, no other does"
        is_fit = is_assessed or is_outside or is_earlier == (line.kind == "adjustment")
        if not is_fit or line.insured_month > report.period:
            yield f"line {number}: a {line.kind} of {line.insured_month} in the declaration of {report.period}"
    yield from _unequal("orders", report.orders, sum(line.orders for line in report.lines))
    yield from _unequal_yuan("exact_yuan", report.exact_yuan, (line.exact_yuan for line in report.lines))
    yield from _unequal_yuan("amount_yuan", report.amount_yuan, (line.amount_yuan for line in report.lines))


def _rounding_faults(number: int, line: DeclarationLine, *, is_rest: bool) -> Iterator[str]:
    """A line is rounded once; the rest of a line that was split makes up for the rounding of the other part."""
    exact, amount = parse_yuan(line.exact_yuan), parse_yuan(line.amount_yuan)
    if not is_rest:
        yield from _unequal(f"line {number}: rounded, in 0.0001 yuan", amount, round_to_fen(exact))
    elif amount % AMOUNT_PER_FEN or abs(amount - exact) > AMOUNT_PER_FEN:
        yield f"line {number}: {amount} is not {exact} rounded, in 0.0001 yuan"


def _payment_faults(report: PaymentReport) -> Iterator[str]:
    for item in report.items:
        if parse_yuan(item.arrears_yuan) > max(0, parse_yuan(item.outstanding_yuan)):
            yield f"{item.statement_id}: more in arrears than outstanding"
        if parse_yuan(item.remitted_yuan) < 0 or parse_yuan(item.late_fee_yuan) < 0:
            yield f"{item.statement_id}: a negative remittance or late fee"
    if len({item.statement_id for item in report.items}) != len(report.items):
        yield "a statement is repeated"


def _unequal(what: str, said: int, counted: int) -> Iterator[str]:
    if said != counted:
        yield f"{what}: {said} is said, {counted} is what its parts give"


def _unequal_yuan(what: str, said: str, parts: Iterable[str]) -> Iterator[str]:
    return _unequal(f"{what} in 0.0001 yuan", parse_yuan(said), sum(parse_yuan(part) for part in parts))
