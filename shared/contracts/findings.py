"""Defines the findings of the discrepancy register (差异登记): a closed list of kinds, and their form on the wire.

A finding names something that does not agree. Where the facts say who is at fault, the entry `fault` of its evidence
does (shared/contracts/parking.py); without it nobody is. JSON, msgspec. Every field is bounded
(shared/contracts/bounds.py), so the register can keep every finding that decodes.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from shared.contracts.bounds import (
    END,
    LARGEST_SUM,
    MOST_TOTALS,
    Count,
    Instant,
    Name,
    Province,
    Uscc,
    check_insured_days,
)
from shared.contracts.events import OrderId, WorkerId
from shared.domain.books.delays import BUCKETS

MOST_ORDERS: Final = 100
"""Orders that a finding names; `count` says how many there are."""

MOST_EVIDENCE: Final = 100
"""Entries of a finding's evidence."""
MOST_WORDS: Final = 1_000
"""Words of one entry."""
FindingText = Annotated[str, Meta(pattern=r"^[^\x00]{1,4000}" + END, description="PostgreSQL keeps no NUL")]
FindingKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,256}" + END)]
FindingFigure = Annotated[int, Meta(ge=-LARGEST_SUM, le=LARGEST_SUM)]
EvidenceText = Annotated[str, Meta(pattern=r"^[^\x00]{0,512}" + END)]
Evidence = Annotated[
    dict[Name, EvidenceText | FindingFigure | Annotated[list[EvidenceText], Meta(max_length=MOST_WORDS)]],
    Meta(max_length=MOST_EVIDENCE),
]


class FindingKind(StrEnum):
    """All kinds. The register, its API and its pages use these words; a kind may be added, none is renamed."""

    # What an enterprise sent, against its own numbers and manifests (services/charging/numbers/number_findings.py)
    SEQUENCE_GAP = "sequence_gap"
    """Numbers of a series that have no acceptance and that were not declared unused."""
    PRESUMED_ORDERS = "presumed_orders"
    """Such numbers after the days in which they may still come: presumed to be orders that were not sent."""
    NUMBER_USED_TWICE = "number_used_twice"
    DECLARED_DIFFERENTLY = "declared_differently"
    """The enterprise's manifest of a day against what was received."""
    OUTSIDE_DECLARATION = "outside_declaration"
    """Orders outside the signed manifest of their day; none any more where it counts nothing, which corrects it."""
    MANIFEST_MISSING = "manifest_missing"
    MANIFEST_LATE = "manifest_late"
    """It came after the day's close."""
    MANIFEST_CHANGED = "manifest_changed"
    PARKED_EVENTS = "parked_events"
    """Events of a close that were parked and are not taken in yet; none any more where it counts nothing."""
    # Single orders of an enterprise (services/charging/close/order_findings.py)
    OTHER_CONTENT = "other_content"
    """An order once more with other content; the first one holds."""
    SEVERAL_ACCEPTANCE_TIMES = "several_acceptance_times"
    """An order under several acceptance times; the first received holds."""
    COMPLETION_WITHOUT_ACCEPTANCE = "completion_without_acceptance"
    CANCELLATION_WITHOUT_ACCEPTANCE = "cancellation_without_acceptance"
    LATE_ACCEPTANCES = "late_acceptances"
    """Sent later than a set delay after the order was accepted."""
    NOT_ENROLLED = "not_enrolled"
    """Orders in an industry or a province for which the enterprise is not enrolled."""
    IDENTITY_LIKE_ORDER_IDS = "identity_like_order_ids"
    """More of a day's order ids read as citizen's or mobile numbers than chance makes (identity_share.py)."""
    # What needs history or other sources (services/reporting)
    EXCLUDED_SHARE = "excluded_share"
    """The share of excluded orders rose beyond what its own history makes plausible."""
    IMPLAUSIBLE_COUNT = "implausible_count"
    """A day's orders lie outside what their own history makes plausible."""
    INJURY_WITHOUT_ORDER = "injury_without_order"
    ORDER_AFTER_INJURY = "order_after_injury"
    """The acceptance came after the injury notice that it answers."""
    INDEPENDENT_TOTAL = "independent_total"
    """Somebody else's count of a day against what was received."""
    # Between us and the national platform (services/reporting)
    REFUSED = "refused"
    UNDELIVERABLE = "undeliverable"
    RECEIPT_MISMATCH = "receipt_mismatch"
    UNCONFIRMED_EXCLUSION = "unconfirmed_exclusion"
    REGISTRATION_COUNT = "registration_count"
    UNBUILDABLE = "unbuildable"
    ORDERS = "orders"
    EXACT_YUAN = "exact_yuan"
    DECLARATION_MISSING = "declaration_missing"
    REPORTS_MISSING = "reports_missing"
    NOT_HELD = "not_held"
    HELD_UNKNOWN = "held_unknown"
    HELD_DIFFERENTLY = "held_differently"
    # Messages
    DIFFERENT_CONTENT = "different_content"
    """An id sent again with other content; the first one holds."""
    UNREADABLE_MESSAGE = "unreadable_message"


class OrderRef(Struct, frozen=True, kw_only=True):
    """An order behind a finding; `accepted_at` as its events say, None where none of them could be placed."""

    order_id: OrderId
    accepted_at: Instant | None
    worker_id: WorkerId | None

    def __post_init__(self) -> None:
        check_insured_days(self.accepted_at)


class Finding(Struct, frozen=True, kw_only=True):
    """One named difference. `kind` and `key` are its identity: found again with the same, it is seen again."""

    kind: FindingKind
    key: Annotated[FindingKey, Meta(description="stable within the kind, e.g. <uscc>.<day>")]
    enterprise: Uscc | None
    insured_on: date | None
    province: Province | None = None
    count: Annotated[FindingFigure, Meta(description="orders, numbers or amounts that differ")]
    detail: Annotated[FindingText, Meta(description="one sentence")]
    evidence: Evidence
    orders: Annotated[list[OrderRef], Meta(max_length=MOST_ORDERS)]
    is_settled: Annotated[bool, Meta(description="what an earlier close named under this identity is so no more")] = (
        False
    )

    def __post_init__(self) -> None:
        check_insured_days(self.insured_on)


class Delays(Struct, frozen=True, kw_only=True):
    """Acceptances by how late they were sent; an order sent again under another time counts once.

    `orders` are by the buckets of `shared.domain.books.delays`; their sum is what was received of the insured day.
    """

    enterprise: Uscc
    province: Province
    insured_on: date
    orders: Annotated[list[Count], Meta(min_length=BUCKETS, max_length=BUCKETS)]

    def __post_init__(self) -> None:
        check_insured_days(self.insured_on)


class DayFindings(Struct, frozen=True, kw_only=True):
    """The answer of charging's `GET /v1/days/{day}/findings`: what the day's close counted, no more and no less."""

    findings: Annotated[list[Finding], Meta(max_length=MOST_TOTALS)]
    delays: Annotated[list[Delays], Meta(max_length=MOST_TOTALS)]
