"""What the national platform (全国信息平台) is told, and what it answers.

No public specification of its interface was found, so this profile is our own and carries a version; a real one
would replace `shared/adapters/http/national_platform.py` and this module. Money is decimal strings in yuan; days are
Asia/Shanghai. The body that is sent is signed as bytes (Ed25519) in the header `Danbao-Signature`, base64; the header
`Idempotency-Key` is the report's id.
"""

from datetime import date, datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

PROFILE: Final = "danbao/1"
Yuan = Annotated[str, Field(pattern=r"^-?[0-9]{1,15}\.[0-9]{2,4}$")]
Province = Annotated[str, Field(pattern=r"^[0-9]{2}$")]
Uscc = Annotated[str, Field(pattern=r"^[0-9A-Z]{18}$")]
Token = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Period = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}$")]
ReportId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]


class Document(BaseModel):
    """Closed and immutable: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PremiumLine(Document):
    """Orders of one enterprise under one tariff line, net of reversals; `insured_on` before the report's day is late.

    `orders` = charged - reversed and may be negative in an amendment.
    """

    insured_on: date
    enterprise: Uscc
    industry: str
    tariff_line: int
    base_yuan: Yuan
    charged: int
    reversed: int
    orders: int
    premium_yuan: Yuan


class Exclusion(Document):
    """Orders of one enterprise that owe no premium, by reason."""

    insured_on: date
    enterprise: Uscc
    industry: str
    reason: str
    orders: int


class EmployeeExclusion(Document):
    """Orders excluded because the worker is insured as an employee; the platform's roster confirms it or not."""

    enterprise: Uscc
    worker_id: Token
    employer_insurance_no: str
    orders: int


class EnterpriseWorkers(Document):
    """Distinct workers charged for one enterprise; does not add up over enterprises, provinces or days.

    For a day before the report's: those not counted on that day before.
    """

    insured_on: date
    enterprise: Uscc
    workers: int


class CoverageReport(Document):
    """Order volume (平台单量) of one closed day in one province. `orders` and `premium_yuan` sum all lines."""

    profile: Literal["danbao/1"] = PROFILE
    kind: Literal["coverage"] = "coverage"
    report_id: ReportId
    day: date
    province: Province
    orders: int
    premium_yuan: Yuan
    lines: list[PremiumLine]
    exclusions: list[Exclusion]
    employee_exclusions: list[EmployeeExclusion]
    workers: list[EnterpriseWorkers]
    province_workers: Annotated[int, Field(ge=0, description="distinct over all enterprises, on the day itself")]
    first_time_workers: Annotated[int, Field(ge=0)]


class RegistrationReport(Document):
    """Participation registration (参保登记): workers insured in this province for the first time, in parts."""

    profile: Literal["danbao/1"] = PROFILE
    kind: Literal["registration"] = "registration"
    report_id: ReportId
    day: date
    province: Province
    part: Annotated[int, Field(ge=1)]
    parts: Annotated[int, Field(ge=1)]
    workers: list[Token]


class DeclarationLine(Document):
    """One statement line as filed; of an assessed one `series` and `insured_on` say which missing numbers it is for."""

    kind: Literal["line", "adjustment", "assessed"]
    insured_month: Period
    industry: str
    tariff_line: int
    base_yuan: Yuan
    orders: int
    exact_yuan: Yuan
    amount_yuan: Yuan
    series: str | None = None
    insured_on: date | None = None


class DeclarationReport(Document):
    """Fee declaration (缴费申报) of one enterprise in one province for one month."""

    profile: Literal["danbao/1"] = PROFILE
    kind: Literal["declaration"] = "declaration"
    report_id: ReportId
    period: Period
    province: Province
    enterprise: Uscc
    statement_id: str
    due_on: date
    orders: int
    exact_yuan: Yuan
    amount_yuan: Yuan
    lines: list[DeclarationLine]


class PaymentItem(Document):
    """Where one statement stands. `arrears_yuan` is principal past its due date."""

    enterprise: Uscc
    statement_id: str
    due_on: date
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
    as_of: date
    items: list[PaymentItem]


Report = Annotated[CoverageReport | RegistrationReport | DeclarationReport | PaymentReport, Field(discriminator="kind")]
REPORT: Final[TypeAdapter[CoverageReport | RegistrationReport | DeclarationReport | PaymentReport]] = TypeAdapter(
    Report
)


class Receipt(Document):
    """The platform's answer (回执) to a report it keeps; the same report gets the same receipt again."""

    receipt_id: str
    report_id: ReportId
    body_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    received_at: datetime
    unconfirmed: list[EmployeeExclusion] = []


RefusalReason = Literal[
    "bad_signature", "bad_schema", "bad_sums", "different_content", "wrong_province", "refused_by_setting"
]


class Refusal(Document):
    """The platform's answer to a report it does not take."""

    report_id: str | None
    reason: RefusalReason
    detail: str


class Difference(Document):
    """Declaration against the sum of the daily coverage reports of its month: one named difference (差异)."""

    period: Period
    province: Province
    enterprise: Uscc
    what: Literal["orders", "exact_yuan", "declaration_missing", "reports_missing"]
    declared: str
    reported: str


class Reconciliation(Document):
    """Every difference of a month; an empty list says that both agree."""

    period: Period
    declarations: int
    coverage_reports: int
    differences: list[Difference]
