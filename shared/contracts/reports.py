"""Defines the reports to the national platform (全国信息平台), and its answers.

No public specification of its interface was found, so this profile is our own and carries a version; a real one
would replace `shared/adapters/http/national_platform.py` and this module. Money is decimal strings in yuan; days are
Asia/Shanghai. The body that is sent is signed as bytes (Ed25519) in the header `Danbao-Signature`, base64; the header
`Idempotency-Key` is the report's id. Every field is bounded (shared/contracts/bounds.py) as wide as the columns of both
sides; its regular expressions are written for pydantic, whose `$` is the end of the text and which has no lookahead.
"""

from datetime import UTC, date, datetime, time
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from shared.contracts.bounds import (
    FIRST_INSURED_DAY,
    LARGEST_COUNT,
    LARGEST_INT4,
    LAST_INSURED_DAY,
    MOST_LINES,
    MOST_TOTALS,
)
from shared.domain.calendar import FIRST_DAY, LAST_DAY, PERIOD_FORM
from shared.domain.money import WHOLE_YUAN_FORM
from shared.domain.scheme.enterprise import USCC_FORM

PROFILE: Final = "danbao/1"
MOST_ITEMS: Final = 1_000_000
"""Workers, exclusions of employees or states of payment in one report."""
Yuan = Annotated[str, Field(pattern=rf"^-?{WHOLE_YUAN_FORM}\.[0-9]{{2,4}}$")]
"""A bigint of 0.0001 yuan holds every amount of 14 digits, and not every one of 15."""
Province = Annotated[str, Field(pattern=r"^[0-9]{2}$")]
Uscc = Annotated[str, Field(pattern=f"^{USCC_FORM}$")]
Token = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Period = Annotated[str, Field(pattern=f"^{PERIOD_FORM}$")]
ReportId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
"""Of a statement or an industry."""
Reason = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{0,64}$")]
Series = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,16}$")]
InsuranceNo = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,32}$")]
Text = Annotated[str, Field(pattern=r"^[^\x00]{0,200}$")]
"""Of the platform: PostgreSQL keeps no NUL."""
Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]
InsuredDay = Annotated[date, Field(ge=FIRST_INSURED_DAY, le=LAST_INSURED_DAY)]
Instant = Annotated[
    AwareDatetime,
    Field(ge=datetime.combine(FIRST_DAY, time.min, UTC), le=datetime.combine(LAST_DAY, time.max, UTC)),
]
Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
Orders = Annotated[int, Field(ge=-LARGEST_COUNT, le=LARGEST_COUNT)]
TariffLine = Annotated[int, Field(ge=0, le=LARGEST_INT4)]
Part = Annotated[int, Field(ge=1, le=LARGEST_INT4)]


class Document(BaseModel):
    """Closed and immutable: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PremiumLine(Document):
    """Orders of one enterprise under one tariff line, net of reversals; `insured_on` before the report's day is late.

    `orders` = charged - reversed and may be negative in an amendment.
    """

    insured_on: InsuredDay
    enterprise: Uscc
    industry: Name
    tariff_line: TariffLine
    base_yuan: Yuan
    charged: Orders
    reversed: Orders
    orders: Orders
    premium_yuan: Yuan


class Exclusion(Document):
    """Orders of one enterprise that owe no premium, by reason."""

    insured_on: InsuredDay
    enterprise: Uscc
    industry: Name
    reason: Reason
    orders: Orders


class EmployeeExclusion(Document):
    """Orders excluded because the worker is insured as an employee; the platform's roster confirms it or not."""

    enterprise: Uscc
    worker_id: Token
    employer_insurance_no: InsuranceNo
    orders: Orders


class EnterpriseWorkers(Document):
    """Distinct workers charged for one enterprise; does not add up over enterprises, provinces or days.

    For a day before the report's: those not counted on that day before.
    """

    insured_on: InsuredDay
    enterprise: Uscc
    workers: Count


class CoverageReport(Document):
    """Order volume (平台单量) of one closed day in one province. `orders` and `premium_yuan` sum all lines."""

    profile: Literal["danbao/1"] = PROFILE
    kind: Literal["coverage"] = "coverage"
    report_id: ReportId
    day: Day
    province: Province
    orders: Orders
    premium_yuan: Yuan
    lines: Annotated[list[PremiumLine], Field(max_length=MOST_TOTALS)]
    exclusions: Annotated[list[Exclusion], Field(max_length=MOST_TOTALS)]
    employee_exclusions: Annotated[list[EmployeeExclusion], Field(max_length=MOST_ITEMS)]
    workers: Annotated[list[EnterpriseWorkers], Field(max_length=MOST_TOTALS)]
    province_workers: Annotated[Count, Field(description="distinct over all enterprises, on the day itself")]
    first_time_workers: Count


class RegistrationReport(Document):
    """Participation registration (参保登记): workers insured in this province for the first time, in parts."""

    profile: Literal["danbao/1"] = PROFILE
    kind: Literal["registration"] = "registration"
    report_id: ReportId
    day: Day
    province: Province
    part: Part
    parts: Part
    workers: Annotated[list[Token], Field(max_length=MOST_ITEMS)]


class DeclarationLine(Document):
    """One statement line as filed; of an assessed one `series` and `insured_on` say which missing numbers it is for.

    One of orders outside the signed declaration takes the rounding of the line of the others too: up to a fen.
    """

    kind: Literal["line", "adjustment", "assessed", "outside_declaration"]
    insured_month: Period
    industry: Name
    tariff_line: TariffLine
    base_yuan: Yuan
    orders: Orders
    exact_yuan: Yuan
    amount_yuan: Yuan
    series: Series | None = None
    insured_on: InsuredDay | None = None


class DeclarationReport(Document):
    """Fee declaration (缴费申报) of one enterprise in one province for one month."""

    profile: Literal["danbao/1"] = PROFILE
    kind: Literal["declaration"] = "declaration"
    report_id: ReportId
    period: Period
    province: Province
    enterprise: Uscc
    statement_id: Name
    due_on: Day
    due_on_is_provisional: bool = False
    orders: Orders
    exact_yuan: Yuan
    amount_yuan: Yuan
    lines: Annotated[list[DeclarationLine], Field(max_length=MOST_LINES)]


class PaymentItem(Document):
    """How far one statement is paid. `arrears_yuan` is principal past a due date that is not provisional."""

    enterprise: Uscc
    statement_id: Name
    due_on: Day
    due_on_is_provisional: bool = False
    due_yuan: Yuan
    remitted_yuan: Yuan
    outstanding_yuan: Yuan
    arrears_yuan: Yuan
    late_fee_yuan: Yuan


class PaymentReport(Document):
    """State of payment (缴费入库) of one province's statements of a month, as of a day."""

    profile: Literal["danbao/1"] = PROFILE
    kind: Literal["payment"] = "payment"
    report_id: ReportId
    period: Period
    province: Province
    as_of: Day
    items: Annotated[list[PaymentItem], Field(max_length=MOST_ITEMS)]


Report = Annotated[CoverageReport | RegistrationReport | DeclarationReport | PaymentReport, Field(discriminator="kind")]
REPORT: Final[TypeAdapter[CoverageReport | RegistrationReport | DeclarationReport | PaymentReport]] = TypeAdapter(
    Report
)


class Receipt(Document):
    """The platform's answer (回执) to a report it keeps; the same report gets the same receipt again."""

    receipt_id: Text
    report_id: ReportId
    body_sha256: Sha256
    received_at: Instant
    unconfirmed: Annotated[list[EmployeeExclusion], Field(max_length=MOST_ITEMS)] = []


RefusalReason = Literal[
    "bad_signature", "bad_schema", "bad_sums", "different_content", "wrong_province", "refused_by_setting"
]


class Refusal(Document):
    """The platform's answer to a report it does not take."""

    report_id: ReportId | None
    reason: RefusalReason
    detail: str


Figure = Annotated[str, Field(max_length=200)]
"""A text that the register may be unable to keep is set aside with its difference; the others are registered."""


class Difference(Document):
    """Declaration against the sum of the daily coverage reports of its month: one named difference (差异)."""

    period: Period
    province: Province
    enterprise: Uscc
    what: Literal["orders", "exact_yuan", "declaration_missing", "reports_missing"]
    declared: Figure
    reported: Figure


class Reconciliation(Document):
    """Every difference of a month; an empty list says that both agree."""

    period: Period
    declarations: Count
    coverage_reports: Count
    differences: Annotated[list[Difference], Field(max_length=MOST_ITEMS)]
