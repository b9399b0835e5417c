"""Results of the intake of one event: a rated order, a recorded declaration, or a parked event."""

from typing import NamedTuple

from msgspec import Struct

from shared.contracts.events import Acceptance, Cancellation, Completion, Declaration
from shared.contracts.manifests import Outcome
from shared.contracts.parking import ParkReason
from shared.domain.evidence.declaration_keys import Signed
from shared.domain.evidence.leaf import RowKind


class TotalKey(NamedTuple):
    """Key by which a manifest sums; `insured_on` as a day number since 1970-01-01 (Shanghai), -1 for none."""

    insured_on: int
    enterprise: str
    province: str | None
    industry: str | None
    outcome: Outcome
    reason: str | None
    tariff_line: int | None
    base_amount: int


class RatedOrder(Struct, frozen=True):
    """An order event that passed every check, and how it counts.

    Times are microseconds since 1970-01-01T00:00Z; `ended_us` is the completion or cancellation, None for an
    acceptance. `total` is the same for every such order accepted from `rated_from_us` until before `rated_until_us`.
    """

    kind: RowKind
    data: Acceptance | Completion | Cancellation
    accepted_us: int
    ended_us: int | None
    total: TotalKey
    rated_from_us: int
    rated_until_us: int


class RecordedDeclaration(Struct, frozen=True):
    """A `day.declared.v1` that passed every check; `signed` is its signature where the enterprise has to sign."""

    data: Declaration
    revision: int
    signed: Signed | None
    total: TotalKey


class ParkedEvent(Struct, frozen=True):
    """An event that cannot be taken: a reason of the closed list, and a sentence for the person who mends it."""

    reason: ParkReason
    detail: str
    total: TotalKey


RatedEvent = RatedOrder | RecordedDeclaration | ParkedEvent
