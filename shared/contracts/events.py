"""Defines the events that an enterprise sends: CloudEvents 1.0, structured JSON, one definition for each type.

Decoded by the thousand, hence msgspec (decision 0004). The envelope may carry extension attributes, as CloudEvents
allows; `data` may not: an unknown field there is a misunderstanding, and the event is parked with its name.
"""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from shared.contracts.bounds import END, Count, IndustryName, Instant, Province, Series, Uscc, check_insured_days
from shared.domain.evidence.declaration_keys import LARGEST_REVISION
from shared.domain.money import YUAN_FORM
from shared.domain.scheme.enterprise import USCC_FORM

SOURCE_PREFIX: Final = "urn:uscc:"
MOST_RANGES: Final = 1_000
"""Ranges of numbers in one manifest of a day."""

EventId = Annotated[str, Meta(min_length=1, max_length=128, description="unique for this source; not a key of ours")]
Source = Annotated[
    str,
    Meta(
        pattern="^urn:uscc:" + USCC_FORM + END,
        description="the enterprise (平台企业) that pays, by its unified social credit code; must be the topic's",
    ),
]
OrderId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}" + END, description="order (订单), unique within the enterprise")
]
WorkerId = Annotated[
    str,
    Meta(pattern=r"^[0-9a-f]{64}" + END, description="worker (新就业形态人员): HMAC-SHA-256 token, lower-case hex"),
]
TokenKey = Annotated[int, Meta(ge=1, le=32_767, description="version of the scheme key the token was made with")]
Region = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{6}" + END,
        description="place of acceptance (接单地), GB/T 2260; its first two digits, a province, decide",
    ),
]
Signature = Annotated[
    str,
    Meta(
        description="Ed25519 signature of the enterprise as key id:base64, over enterprise, day, revision and the "
        "bytes of data (docs/contracts, Signed manifests); required from the first day of its first key"
    ),
]
Revision = Annotated[
    int,
    Meta(ge=0, le=LARGEST_REVISION, description="of the manifests of a day the highest holds; absent is 0"),
]
Sequence = Annotated[int, Meta(ge=1, le=2**53 - 1, description="gapless number of the acceptance in its series")]
InsuranceNo = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9-]{1,32}" + END, description="number under which an employer insures the worker"),
]
FORMS: Final[Mapping[str, str]] = MappingProxyType({
    "source": "urn:uscc: and the 18 characters of the unified social credit code",
    "order_id": "1 to 64 letters, digits and _ . : - of ASCII",
    "worker_id": "64 hex digits in lower case",
    "acceptance_region": "six digits",
    "agency_uscc": "the 18 characters of a unified social credit code",
    "employer_insurance_no": "1 to 32 letters, digits and hyphens of ASCII",
    "series": "1 to 16 letters, digits and _ - of ASCII",
    "declaration_id": "1 to 64 letters, digits and _ . : - of ASCII",
    "province": "two digits",
    "premium_yuan": "yuan as a decimal number without leading zeros, such as 12.50",
    "industry": "a name of the closed list",
})  # fmt: skip
"""The form of each field whose text has one, in words for its sender."""
Unread = Annotated[object, Meta(description="of CloudEvents; not read")]
Yuan = Annotated[str, Meta(pattern="^" + YUAN_FORM + END, description="yuan, decimal, exact")]


class Order(Struct, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """What the three order events share."""

    order_id: OrderId
    worker_id: WorkerId
    token_key: TokenKey
    industry: IndustryName
    acceptance_region: Region
    accepted_at: Instant
    agency_uscc: Uscc | None = None
    employer_insurance_no: InsuranceNo | None = None


class Acceptance(Order, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """The worker accepted the order: cover begins, a premium is due."""

    series: Series
    sequence: Sequence


class Completion(Order, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """The order was carried out: cover ends."""

    completed_at: Instant


class Cancellation(Order, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """The order was called off; the dated rule says whether the premium is reversed."""

    cancelled_at: Instant
    reason: Literal["customer", "worker", "enterprise", "other"]
    departed: Annotated[bool, Meta(description="the worker had set out")]


class NumberRange(Struct, frozen=True, forbid_unknown_fields=True):
    """Consecutive sequence numbers, both ends included."""

    first: Sequence
    last: Sequence


class DeclaredSeries(Struct, frozen=True, forbid_unknown_fields=True):
    """What the enterprise says one series numbered on the day."""

    series: Series
    used: Annotated[list[NumberRange], Meta(max_length=MOST_RANGES)]
    unused: Annotated[list[NumberRange], Meta(max_length=MOST_RANGES, description="numbers given to no order")] = []


class DeclaredTotal(Struct, frozen=True, forbid_unknown_fields=True):
    """What the enterprise counts for one province and industry on the day: orders that are charged, with their premium.

    By accepted day; an order that was cancelled later stays counted, an order without premium is not.
    """

    province: Province
    industry: IndustryName
    orders: Count
    premium_yuan: Yuan


class Declaration(Struct, frozen=True, forbid_unknown_fields=True):
    """An enterprise's own manifest of a day, given before the day is closed (docs/decisions/0004).

    Numbers are those given on the day. Of the manifests of a day the highest revision holds, a signed one before any
    that is not; of equal revisions the first signed or the last unsigned one, by record time. Saying other than one
    before is a finding. A manifest holds at most 1,000 ranges, used and unused in all series together.
    """

    declaration_id: OrderId
    day: Annotated[date, Meta(description="accepted on, Asia/Shanghai")]
    series: Annotated[list[DeclaredSeries], Meta(max_length=1_000)]
    totals: Annotated[list[DeclaredTotal], Meta(max_length=1_000)]

    def __post_init__(self) -> None:
        check_insured_days(self.day)
        count = sum(len(said.used) + len(said.unused) for said in self.series)
        if count > MOST_RANGES:
            raise ValueError(f"Expected at most {MOST_RANGES} ranges of numbers in all series, got {count}")


class Envelope(Struct, frozen=True, tag_field="type", kw_only=True, gc=False):
    """The attributes of CloudEvents that this project reads; `type` determines the type of `data`.

    Attributes that decide nothing are not checked: an event is never parked for one of them.
    """

    specversion: Literal["1.0"]
    id: EventId
    source: Source
    time: Unread = None
    subject: Unread = None
    datacontenttype: Unread = None
    dataschema: Unread = None


class OrderAccepted(Envelope, frozen=True, tag="order.accepted.v1", kw_only=True, gc=False):
    """`order.accepted.v1`"""

    data: Acceptance


class OrderCompleted(Envelope, frozen=True, tag="order.completed.v1", kw_only=True, gc=False):
    """`order.completed.v1`"""

    data: Completion


class OrderCancelled(Envelope, frozen=True, tag="order.cancelled.v1", kw_only=True, gc=False):
    """`order.cancelled.v1`"""

    data: Cancellation


class DayDeclared(Envelope, frozen=True, tag="day.declared.v1", kw_only=True, gc=False):
    """`day.declared.v1`"""

    signature: Signature | None = None
    revision: Revision | None = None
    data: Declaration


Event = OrderAccepted | OrderCompleted | OrderCancelled | DayDeclared
"""Every event of an orders topic. Decode with `msgspec.json.Decoder(Event)`."""
