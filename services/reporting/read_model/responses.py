"""Response documents of the queries, for pages and API alike; frozen.

Money is whole numbers of 0.0001 yuan inside; in JSON it is a decimal string under a name that ends in `_yuan`.
"""

from datetime import date, datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, computed_field

from shared.domain.books.delays import BOUNDS_SECONDS, BUCKETS
from shared.domain.money import Amount, yuan
from shared.runtime.http.types import USCC

PROVINCE: Final = r"^[0-9]{2}$"
Province = Annotated[str, Field(pattern=PROVINCE, description="the first two digits of GB/T 2260", examples=["44"])]
Uscc = Annotated[str, Field(pattern=USCC, description="统一社会信用代码", examples=["91110000MA0BLUE021"])]
Money = Annotated[
    int,
    PlainSerializer(lambda amount: yuan(Amount(amount)), return_type=str),
    Field(description="yuan, exact", examples=["3085.25"]),
]
Count = Annotated[int, Field(examples=[12_341])]
Day = Annotated[date, Field(examples=["2026-10-03"])]


class Answer(BaseModel):
    """Closed and immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Where(Answer):
    """Scope of a sheet; a name that is not set means all."""

    province: Province | None = None
    enterprise: Uscc | None = None
    industry: Annotated[str, Field(examples=["instant_delivery"])] | None = None


class Figures(Answer):
    """Orders of insured days to date: what came late, was taken back or re-rated since is in them."""

    charged: Count = 0
    reversed: Annotated[int, Field(description="taken back: cancelled, sent again, re-rated", examples=[4])] = 0
    presumed: Annotated[int, Field(description="of the orders: numbers without an event", examples=[0])] = 0
    excluded: Annotated[int, Field(description="accepted, and owing nothing", examples=[3])] = 0
    premium: Annotated[Money, Field(serialization_alias="premium_yuan")] = 0

    @computed_field(description="insured orders: charged less reversed", examples=[12_337])  # type: ignore[prop-decorator]
    @property
    def orders(self) -> int:
        return self.charged - self.reversed

    @computed_field(description="insured orders over those and the excluded ones", examples=["0.9998"])  # type: ignore[prop-decorator]
    @property
    def insured_share(self) -> str | None:
        """Four places, halves up; None where there are none."""
        whole = self.orders + self.excluded
        if whole <= 0:
            return None
        parts = (20_000 * self.orders + whole) // (2 * whole)
        return f"{parts // 10_000}.{parts % 10_000:04d}"


class Part(Figures):
    """Figures of one province, enterprise or industry (`code`), and its worker-days."""

    code: Annotated[str, Field(examples=["44"])]
    worker_days: Annotated[
        int | None,
        Field(
            description="distinct workers, counted in each insured day and province (of an industry: not known)",
            examples=[4_001],
        ),
    ] = None


class DayPart(Figures):
    """Figures of one insured day."""

    day: Day
    worker_days: Annotated[int | None, Field(examples=[4_203])] = None


class MonthPart(Figures):
    """Figures of the insured days of a month, to date."""

    month: Annotated[str, Field(examples=["2026-10"])]


class Period(Figures):
    """Figures of some days in a row, both ends included."""

    first: Day
    last: Day


class Reason(Answer):
    """Orders excluded or reversed for one reason."""

    outcome: Annotated[str, Field(examples=["excluded"])]
    reason: Annotated[str, Field(examples=["insured_as_employee"])]
    orders: Count


class Delays(Answer):
    """Acceptances by how late they were sent: `orders[i]` below `bounds_seconds[i]`, the last at or above the last."""

    bounds_seconds: tuple[int, ...] = BOUNDS_SECONDS
    orders: Annotated[tuple[int, ...], Field(examples=[[9_000, 300, 40, 3, 0, 0, 0, 0]])] = (0,) * BUCKETS


class Participation(Answer):
    """Workers insured (按日参保). Distinct counts do not add up: in another day or province a worker counts again."""

    worker_days: Annotated[
        int | None, Field(description="distinct workers, counted in each insured day and province", examples=[4_203])
    ] = None
    is_distinct: Annotated[bool, Field(description="one day and one province: no worker counts twice")] = False
    first_time: Annotated[
        int | None, Field(description="workers insured in a province for the first time", examples=[12])
    ] = None
    since_start: Annotated[
        int | None, Field(description="workers ever insured, counted in each province", examples=[8_211])
    ] = None


class Amendment(Figures):
    """What the close of `day` reported for an earlier insured day."""

    day: Day
    insured_on: Day


class Sheet(Answer):
    """One shape for a province, an enterprise, an industry, a day or a month: some days in a row of some place."""

    where: Where
    figures: Period
    before: Annotated[Period, Field(description="as many days before, or the month before")]
    provinces: list[Part]
    enterprises: list[Part]
    industries: list[Part]
    days: Annotated[list[DayPart], Field(description="of the month; of a single day, the thirty up to it")]
    reasons: list[Reason]
    delays: Annotated[Delays | None, Field(description="null in a sheet of one industry: not counted by industry")]
    hours: Annotated[
        tuple[int, ...] | None,
        Field(description="acceptances by hour (Asia/Shanghai); null where none are known, or of one industry"),
    ]
    participation: Participation
    amendments: Annotated[
        list[Amendment],
        Field(description="of these days by later closes, and by their own closes of earlier days; newest first"),
    ]
    amendment_count: Annotated[int, Field(description="of all amendments", examples=[12])]


class MapPart(Answer):
    """One of the 32 reporting units; without figures where it is not in the pilot on that day or had no order."""

    province: Province
    chinese: Annotated[str, Field(examples=["广东省"])]
    english: Annotated[str, Field(examples=["Guangdong"])]
    joined_on: Day | None
    is_in_pilot: bool
    figures: Part | None


class Overview(Answer):
    """The last closed day, and what led to it; `day` null while there is none."""

    day: Day | None
    sheet: Sheet | None
    map: list[MapPart]
    months: Annotated[list[MonthPart], Field(description="the last thirteen")]
    since_start: Figures
    open_discrepancies: Count


class Statement(Answer):
    """A month's statement as it is listed."""

    statement_id: Annotated[str, Field(examples=["2026-10.44.91110000MA0BLUE021"])]
    period: Annotated[str, Field(examples=["2026-10"])]
    province: Province
    enterprise: Uscc
    issued_as_of: datetime
    due_on: Day
    due_on_is_provisional: Annotated[bool, Field(description="a notice of holidays may still move it later")]
    orders: Count
    exact_amount: Annotated[Money, Field(serialization_alias="exact_yuan")]
    amount: Annotated[Money, Field(serialization_alias="amount_yuan")]
    adjustments: Annotated[int, Field(description="lines for earlier months", examples=[1])]
    adjusted: Annotated[Money, Field(serialization_alias="adjusted_yuan", description="what they are of the amount")]
    assessed: Annotated[int, Field(description="lines for numbers without an event", examples=[0])]
    receipt_id: Annotated[str | None, Field(description="of the declaration")]
    declared_at: datetime | None


class StatementLineShown(Answer):
    """A line; an adjustment names the earlier month it belongs to, an assessed one its series and day.

    One of kind outside_declaration is for orders outside the signed declaration, which the other lines leave out.
    """

    number: Annotated[int, Field(examples=[1])]
    kind: Annotated[str, Field(examples=["line"])]
    insured_month: Annotated[str, Field(examples=["2026-10"])]
    industry: Annotated[str, Field(examples=["instant_delivery"])]
    tariff_line: Annotated[int, Field(examples=[7])]
    base_amount: Annotated[Money, Field(serialization_alias="base_yuan")]
    orders: Count
    exact_amount: Annotated[Money, Field(serialization_alias="exact_yuan")]
    amount: Annotated[Money, Field(serialization_alias="amount_yuan")]
    series: str | None
    insured_on: date | None


class Remittance(Answer):
    """Money that arrived (缴费入库); below zero and naming another one where it takes that one back (冲销)."""

    remittance_id: Annotated[str, Field(examples=["R-2026-11-16-0007"])]
    province: Province
    enterprise: Uscc
    amount: Annotated[Money, Field(serialization_alias="amount_yuan")]
    received_on: Day
    reverses: str | None
    reason: str | None


class StatementShown(Answer):
    """A statement with its lines, and what its enterprise remitted in that province, the newest of so many."""

    statement: Statement
    lines: list[StatementLineShown]
    remittances: list[Remittance]
    remittance_count: int
