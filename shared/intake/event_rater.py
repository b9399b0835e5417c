"""Event rater: decodes, checks and rates one event as charging does, without a database. Pure.

Charging calls it for every event that its fast path does not take; an HTTP gateway calls it to answer an enterprise
with the outcome that charging will book. Whether an event is a repeat or a conflict only the database knows.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from shared.contracts.events import (
    SOURCE_PREFIX,
    Acceptance,
    Cancellation,
    Completion,
    DayDeclared,
    Event,
    Order,
    OrderAccepted,
    OrderCancelled,
    OrderCompleted,
)
from shared.contracts.manifests import Outcome
from shared.contracts.parking import ParkReason
from shared.contracts.topics import enterprise_of
from shared.domain.calendar import SHANGHAI_EPOCH, day_number, since_epoch_us
from shared.domain.evidence.declaration_keys import DeclarationKeys
from shared.domain.evidence.leaf import RowKind
from shared.domain.scheme.industry import FOOD_DELIVERY_CLOSED_ON, Industry
from shared.domain.scheme.province import PROVINCES
from shared.domain.scheme.rating import Charged, Excluded, ExclusionReason, Scheme, Uncovered
from shared.domain.scheme.rating import Outcome as Rating
from shared.domain.times import exact_time
from shared.intake.content_modes import Headers, name_mode
from shared.intake.declaration_signatures import find_signature
from shared.intake.free_fields import find_declaration_fault, find_fault
from shared.intake.limits import IntakeLimits, is_possible_record_time
from shared.intake.rated_events import ParkedEvent, RatedEvent, RatedOrder, RecordedDeclaration, TotalKey
from shared.intake.strict_decoder import Parked, decode

NO_DAY: Final = -1
"""In a total: the event belongs to no insured day."""
FOREVER_US: Final = 2**63 - 1
_FOOD_CLOSED_DAY: Final = day_number(FOOD_DELIVERY_CLOSED_ON)
_EMPLOYEE: Final = Excluded(ExclusionReason.INSURED_AS_EMPLOYEE)
_COMPLETED_BEFORE: Final = ParkReason.COMPLETION_BEFORE_ACCEPTANCE
_CANCELLED_BEFORE: Final = ParkReason.CANCELLATION_BEFORE_ACCEPTANCE
_KINDS: Final[Mapping[type, RowKind]] = {
    OrderAccepted: RowKind.ACCEPTANCE,
    OrderCompleted: RowKind.COMPLETION,
    OrderCancelled: RowKind.CANCELLATION,
}


class _Times(NamedTuple):
    """Of a record, in ms since the epoch: when it came, and when its event arrived first."""

    recorded_ms: int
    arrived_ms: int


class EventRater:
    """Rates events of these registered enterprises against one scheme."""

    def __init__(
        self,
        scheme: Scheme,
        enterprises: Iterable[str],
        limits: IntakeLimits,
        keys: DeclarationKeys,
    ) -> None:
        self._scheme = scheme
        self._limits = limits
        self._keys = keys
        self._enterprises = frozenset(enterprises)
        self._timelines: dict[tuple[str, str, str], tuple[list[int], list[Rating]]] = {}

    def rate(
        self,
        topic: str,
        recorded_ms: int,
        value: bytes | None,
        headers: Headers = (),
        arrived_ms: int | None = None,
    ) -> RatedEvent:
        """Rate the event in a record of an orders topic; `recorded_ms` is the record's time, the event's "now".

        The headers of the record only help to name a form that is not read. `arrived_ms` is when an event that the
        operator sent again came first: by that time its age is measured, for the enterprise sent it then.

        Never raises for bad input: an event that fails a check is a `ParkedEvent`, by the first check that it fails.
        """
        uscc = enterprise_of(topic) or ""
        event = decode(value, self._limits.max_event_bytes)
        if isinstance(event, Parked):
            return _park(name_mode(event, value, headers), uscc, None)
        times = _Times(recorded_ms, recorded_ms if arrived_ms is None else arrived_ms)
        rated = self._rate_decoded(topic, uscc, times, event, value or b"")
        return _park(rated, uscc, _province_of(event.data)) if isinstance(rated, Parked) else rated

    def _rate_decoded(
        self, topic: str, uscc: str, times: _Times, event: Event, value: bytes
    ) -> RatedOrder | RecordedDeclaration | Parked:
        if event.source != SOURCE_PREFIX + uscc:
            return Parked(ParkReason.OTHER_ENTERPRISE, f"{event.source} on the topic of {uscc or topic}")
        if uscc not in self._enterprises:
            return Parked(ParkReason.UNKNOWN_ENTERPRISE, f"{uscc} is not registered")
        if not is_possible_record_time(times.recorded_ms):
            return Parked(ParkReason.IMPOSSIBLE_TIME, f"record time {times.recorded_ms} ms")
        if isinstance(event, DayDeclared):
            return self._check_declaration(uscc, event, value)
        return self._rate_order(uscc, times, _KINDS[type(event)], event.data)

    def _check_declaration(self, uscc: str, event: DayDeclared, value: bytes) -> RecordedDeclaration | Parked:
        signed = find_signature(self._keys, uscc, event, value)
        if isinstance(signed, Parked):
            return signed
        fault = find_declaration_fault(event.data)
        total = TotalKey(NO_DAY, uscc, None, None, Outcome.RECORDED, "declaration", None, 0)
        return fault or RecordedDeclaration(event.data, event.revision or 0, signed, total)

    def _rate_order(
        self, uscc: str, times: _Times, kind: RowKind, data: Acceptance | Completion | Cancellation
    ) -> RatedOrder | Parked:
        series = data.series if isinstance(data, Acceptance) else None
        accepted_us = since_epoch_us(data.accepted_at)
        day = (data.accepted_at - SHANGHAI_EPOCH).days
        fault = (
            find_fault(data.agency_uscc, data.employer_insurance_no, series)
            or self._acceptance_time_fault(data, day, accepted_us, times)
            or _region_fault(data)
            or self._end_fault(data, times.recorded_ms * 1000)
        )
        if fault is not None:
            return fault
        province = data.acceptance_region[:2]
        if not isinstance(data, Acceptance):
            total = _end_total(day, uscc, province, data)
            ended_us = since_epoch_us(_end_of(data))
            return RatedOrder(kind, data, accepted_us, ended_us, total, -FOREVER_US, FOREVER_US)
        rating, from_us, until_us = self._rating_of(uscc, province, data, accepted_us)
        if isinstance(rating, Uncovered):
            return Parked(ParkReason.NO_TARIFF_LINE, f"no line for {data.industry} in province {province}")
        total = _acceptance_total(day, uscc, province, data.industry, rating)
        return RatedOrder(kind, data, accepted_us, None, total, from_us, until_us)

    def _acceptance_time_fault(self, data: Order, day: int, accepted_us: int, times: _Times) -> Parked | None:
        limits = self._limits
        if accepted_us > times.recorded_ms * 1000 + limits.max_skew_us:
            return Parked(ParkReason.IN_FUTURE, f"accepted over {limits.max_skew_seconds} s after the record's time")
        if accepted_us < times.arrived_ms * 1000 - limits.max_age_us:
            return Parked(ParkReason.TOO_OLD, f"accepted over {limits.max_age_days} days before the record's time")
        if data.industry == "food_delivery" and day >= _FOOD_CLOSED_DAY:
            words = f"food_delivery was merged into instant_delivery on {FOOD_DELIVERY_CLOSED_ON}"
            return Parked(ParkReason.UNKNOWN_INDUSTRY, words)
        return None

    def _end_fault(self, data: Acceptance | Completion | Cancellation, now_us: int) -> Parked | None:
        if isinstance(data, Acceptance):
            return None
        ended = _end_of(data)
        if ended < data.accepted_at:
            words = f"ended at {exact_time(ended)}, accepted at {exact_time(data.accepted_at)}"
            is_completion = isinstance(data, Completion)
            return Parked(_COMPLETED_BEFORE if is_completion else _CANCELLED_BEFORE, words)
        if since_epoch_us(ended) > now_us + self._limits.max_skew_us:
            return Parked(ParkReason.IN_FUTURE, f"ended over {self._limits.max_skew_seconds} s after the record's time")
        return None

    def _rating_of(self, uscc: str, province: str, data: Acceptance, accepted_us: int) -> tuple[Rating, int, int]:
        """Rate the order; returns the rating, and from when until before when it holds."""
        key = (uscc, province, data.industry)
        timeline = self._timelines.get(key)
        if timeline is None:
            timeline = self._timelines[key] = self._scheme.timeline(uscc, province, Industry(data.industry))
        starts, ratings = timeline
        following = bisect_right(starts, accepted_us)
        rating = ratings[following - 1]
        if data.employer_insurance_no is not None and not isinstance(rating, Excluded):
            rating = _EMPLOYEE
        return rating, starts[following - 1], starts[following] if following < len(starts) else FOREVER_US


def _region_fault(data: Order) -> Parked | None:
    """Only the province decides about money: a code that no list has yet is charged, with an alarm (`load_regions`)."""
    if data.acceptance_region[:2] in PROVINCES:
        return None
    return Parked(ParkReason.UNKNOWN_REGION, f"{data.acceptance_region} begins with no province of GB/T 2260")


def _province_of(data: Any) -> str | None:
    province = getattr(data, "acceptance_region", "")[:2]
    return province if province in PROVINCES else None


def _end_of(data: Completion | Cancellation) -> datetime:
    return data.completed_at if isinstance(data, Completion) else data.cancelled_at


def _acceptance_total(day: int, uscc: str, province: str, industry: str, rating: Charged | Excluded) -> TotalKey:
    if isinstance(rating, Excluded):
        return TotalKey(day, uscc, province, industry, Outcome.EXCLUDED, rating.reason.value, None, 0)
    line = rating.line
    return TotalKey(day, uscc, province, industry, Outcome.CHARGED, None, line.number, int(line.base_amount))


def _end_total(day: int, uscc: str, province: str, data: Completion | Cancellation) -> TotalKey:
    kind = "completion" if isinstance(data, Completion) else "cancellation"
    return TotalKey(day, uscc, province, data.industry, Outcome.RECORDED, kind, None, 0)


def park_unstorable(uscc: str, detail: str) -> ParkedEvent:
    """Park an event that the database refuses."""
    return _park(Parked(ParkReason.UNSTORABLE, detail), uscc, None)


def _park(fault: Parked, uscc: str, province: str | None) -> ParkedEvent:
    total = TotalKey(NO_DAY, uscc, province, None, Outcome.PARKED, fault.reason, None, 0)
    return ParkedEvent(fault.reason, fault.detail, total)
