"""One batch: records read in (topic, partition, offset) order, rated, and laid out as rows and leaves. Pure.

The first received of two events with one key comes first, whatever the order of rows in the table.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Protocol

import msgspec

from services.charging.decode import Parked, decode
from services.charging.rows import CANCEL_REASONS, EXCLUSION_REASONS, Row, TotalKey
from shared.contracts.events import (
    SOURCE_PREFIX,
    Acceptance,
    Cancellation,
    Completion,
    DayDeclared,
    Order,
    OrderAccepted,
)
from shared.contracts.manifests import Outcome, Total
from shared.contracts.parking import ParkReason
from shared.contracts.topics import enterprise_of
from shared.domain.industry import FOOD_DELIVERY_CLOSED_ON, Industry
from shared.domain.leaf import NO_INT64, RowKind, declaration_leaf, kept_leaf, order_leaf
from shared.domain.merkle import leaf_hash
from shared.domain.rating import Charged, Excluded, ExclusionReason, Scheme

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SHANGHAI_EPOCH: Final = EPOCH - timedelta(hours=8)
_DAY_US: Final = 86_400_000_000
_FIRST_RECORD_MS: Final = int((datetime(2022, 1, 1, tzinfo=UTC) - EPOCH).total_seconds() * 1000)
_LAST_RECORD_MS: Final = int((datetime(2100, 1, 1, tzinfo=UTC) - EPOCH).total_seconds() * 1000)
_FOOD_CLOSED_DAY: Final = FOOD_DELIVERY_CLOSED_ON.toordinal() - date(1970, 1, 1).toordinal()
_EMPLOYEE: Final = Excluded(ExclusionReason.INSURED_AS_EMPLOYEE)


class Record(Protocol):
    """What is read of a Kafka record; `timestamp` is milliseconds since 1970, the event's "now" (design D15)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is parked rather than taken; see `Settings` for the meaning."""

    max_event_bytes: int
    max_skew_seconds: int
    max_age_days: int


@dataclass(slots=True)
class KeptRecord:
    """A record that stays outside the books, with its bytes: parked or in conflict."""

    leaf_index: int
    record: Record
    reason: str
    detail: str
    key: Row = ()


@dataclass(slots=True)
class DeclarationRow:
    """A `day.declared.v1` as it is stored; `body` is `data` in canonical JSON."""

    leaf_index: int
    enterprise: int
    declaration_id: str
    day: date
    body: bytes
    received: bytes


@dataclass(slots=True)
class Batch:
    """What one batch will write. Lists that are parallel are indexed by the record's number in the batch."""

    events: int = 0
    rows: list[Row] = field(default_factory=list)
    parked: list[KeptRecord] = field(default_factory=list)
    declarations: list[DeclarationRow] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    totals: list[TotalKey] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    days: set[int] = field(default_factory=set)
    first_record_ms: dict[int, int] = field(default_factory=dict)
    """Enterprise's id to the earliest record time of its acceptances."""


class Reader:
    """Reads batches against one scheme; what is the same for many orders is looked up once."""

    def __init__(
        self, scheme: Scheme, regions: frozenset[str], enterprise_ids: Mapping[str, int], limits: Limits
    ) -> None:
        self._scheme, self._regions, self._limits = scheme, regions, limits
        self._ids = enterprise_ids
        self._timelines: dict[tuple[str, str, str], tuple[list[int], list[Any]]] = {}
        self._total_keys: dict[tuple[object, ...], TotalKey] = {}
        self._industry_codes = {industry.value: industry.code for industry in Industry}
        self._batch, self._number = Batch(), 0

    def read(self, records: Iterable[Record], batch_number: int) -> Batch:
        """A batch of records in (topic, partition, offset) order; `batch_number` goes into each row."""
        self._batch = batch = Batch()
        self._number = batch_number
        max_bytes = self._limits.max_event_bytes
        for index, record in enumerate(records):
            batch.records.append(record)
            uscc = enterprise_of(record.topic) or ""
            event = decode(record.value, max_bytes)
            fault = event if isinstance(event, Parked) else self._take(index, record, uscc, event)
            if fault is not None:
                self._park(index, record, uscc, fault, None if isinstance(event, Parked) else event)
        batch.events = len(batch.records)
        return batch

    def _take(self, index: int, record: Record, uscc: str, event: Any) -> Parked | None:
        """Lay the event out, or say why it is parked."""
        if event.source != SOURCE_PREFIX + uscc:
            return Parked(ParkReason.OTHER_ENTERPRISE, f"{event.source} on the topic of {uscc or record.topic}")
        enterprise = self._ids.get(uscc)
        if enterprise is None:
            return Parked(ParkReason.UNKNOWN_ENTERPRISE, f"{uscc} is not registered")
        if not _FIRST_RECORD_MS <= record.timestamp < _LAST_RECORD_MS:
            return Parked(ParkReason.IMPOSSIBLE_TIME, f"record time {record.timestamp} ms")
        if isinstance(event, DayDeclared):
            self._declare(index, record, uscc, enterprise, event)
            return None
        data: Order = event.data
        since = data.accepted_at - SHANGHAI_EPOCH
        day, accepted_us = since.days, _microseconds(since) - 8 * 3_600_000_000
        fault = self._time_fault(data, day, accepted_us, record.timestamp * 1000)
        if fault is not None:
            return fault
        if data.acceptance_region not in self._regions:
            return Parked(ParkReason.UNKNOWN_REGION, f"{data.acceptance_region} is not in GB/T 2260")
        if isinstance(event, OrderAccepted):
            return self._accept(index, record, uscc, enterprise, day, accepted_us, event.data)
        return self._end(index, record, uscc, enterprise, day, accepted_us, event.data)

    def _time_fault(self, data: Order, day: int, accepted_us: int, now_us: int) -> Parked | None:
        limits = self._limits
        if accepted_us > now_us + limits.max_skew_seconds * 1_000_000:
            return Parked(ParkReason.IN_FUTURE, f"accepted over {limits.max_skew_seconds} s after the record's time")
        if accepted_us < now_us - limits.max_age_days * _DAY_US:
            return Parked(ParkReason.TOO_OLD, f"accepted over {limits.max_age_days} days before the record's time")
        if data.industry == "food_delivery" and day >= _FOOD_CLOSED_DAY:
            return Parked(ParkReason.UNKNOWN_INDUSTRY, "food_delivery was merged into instant_delivery on 2025-07-01")
        return None

    def _accept(
        self,
        index: int,
        record: Record,
        uscc: str,
        enterprise: int,
        day: int,
        accepted_us: int,
        data: Acceptance,
    ) -> Parked | None:
        province = data.acceptance_region[:2]
        place = (uscc, province, data.industry)
        timeline = self._timelines.get(place)
        if timeline is None:
            timeline = self._timelines[place] = self._scheme.timeline(uscc, province, Industry(data.industry))
        outcome = timeline[1][bisect_right(timeline[0], accepted_us) - 1]
        if data.employer_insurance_no is not None and not isinstance(outcome, Excluded):
            outcome = _EMPLOYEE
        total = self._total_keys.get((day, place, outcome))
        if total is None:
            total = _acceptance_total(day, uscc, province, data.industry, outcome)
            if total is None:
                return Parked(ParkReason.NO_TARIFF_LINE, f"no line for {data.industry} in province {province}")
            self._total_keys[day, place, outcome] = total
        reason = EXCLUSION_REASONS.index(total.reason) if total.reason else 0
        self._lay(
            index, record, uscc, enterprise, RowKind.ACCEPTANCE, accepted_us, None, data, data.sequence,
            total.base_amount, total.tariff_line or 0, reason, None, data.series, total,
        )  # fmt: skip
        first = self._batch.first_record_ms
        if record.timestamp < first.get(enterprise, _LAST_RECORD_MS):
            first[enterprise] = record.timestamp
        self._batch.days.add(day)
        return None

    def _end(
        self,
        index: int,
        record: Record,
        uscc: str,
        enterprise: int,
        day: int,
        accepted_us: int,
        data: Completion | Cancellation,
    ) -> Parked | None:
        place = (uscc, data.acceptance_region[:2], data.industry)
        fault = self._end_fault(data, record)
        if fault is not None:
            return fault
        if isinstance(data, Completion):
            kind, ended, reason, departed, what = RowKind.COMPLETION, data.completed_at, 0, None, "completion"
        else:
            kind, ended, what = RowKind.CANCELLATION, data.cancelled_at, "cancellation"
            reason, departed = CANCEL_REASONS.index(data.reason), data.departed
        total = self._total_keys.get((day, place, what))
        if total is None:
            total = TotalKey(day, *place, Outcome.RECORDED, what, None, 0)
            self._total_keys[day, place, what] = total
        self._lay(
            index, record, uscc, enterprise, kind, accepted_us, ended, data, None,
            0, 0, reason, departed, None, total,
        )  # fmt: skip
        self._batch.days.add(day)
        return None

    def _end_fault(self, data: Completion | Cancellation, record: Record) -> Parked | None:
        latest = record.timestamp + self._limits.max_skew_seconds * 1000
        if isinstance(data, Completion):
            ended = data.completed_at
            if ended <= data.accepted_at:
                reason = ParkReason.COMPLETION_NOT_AFTER_ACCEPTANCE
                return Parked(reason, f"completed at {ended}, accepted at {data.accepted_at}")
        else:
            ended = data.cancelled_at
            if ended < data.accepted_at:
                reason = ParkReason.CANCELLATION_BEFORE_ACCEPTANCE
                return Parked(reason, f"cancelled at {ended}, accepted at {data.accepted_at}")
        if since_epoch_us(ended) > latest * 1000:
            return Parked(ParkReason.IN_FUTURE, f"ended over {self._limits.max_skew_seconds} s after the record's time")
        return None

    def _lay(
        self, index: int, record: Record, uscc: str, enterprise: int, kind: RowKind, accepted_us: int,
        ended: datetime | None, data: Order, sequence: int | None, premium: int, tariff_line: int, reason: int,
        departed: bool | None, series: str | None, total: TotalKey,
    ) -> None:  # fmt: skip
        """Append the row, its leaf and its total."""
        worker = bytes.fromhex(data.worker_id)
        received = sha256(record.value or b"").digest()
        region, industry = int(data.acceptance_region), self._industry_codes[data.industry]
        batch = self._batch
        batch.rows.append((
            data.accepted_at, enterprise, data.order_id, int.from_bytes(worker[:8], signed=True), int(kind), index,
            self._number, ended, sequence, premium, region, tariff_line, data.token_key, industry, reason, departed,
            worker[8:], received, series, data.agency_uscc, data.employer_insurance_no,
        ))  # fmt: skip
        batch.leaves.append(
            leaf_hash(
                order_leaf(
                    kind, uscc.encode(), accepted_us, NO_INT64 if ended is None else since_epoch_us(ended),
                    NO_INT64 if sequence is None else sequence, premium, region, tariff_line, data.token_key, industry,
                    reason, -1 if departed is None else departed, worker, received, data.order_id.encode(),
                    _encoded(series), _encoded(data.agency_uscc),
                    _encoded(data.employer_insurance_no),
                )
            )
        )  # fmt: skip
        batch.totals.append(total)

    def _declare(self, index: int, record: Record, uscc: str, enterprise: int, event: DayDeclared) -> None:
        data, received = event.data, sha256(record.value or b"").digest()
        body = msgspec.json.encode(data)
        row = DeclarationRow(index, enterprise, data.declaration_id, data.day, body, received)
        self._batch.declarations.append(row)
        self._batch.leaves.append(
            leaf_hash(
                declaration_leaf(
                    uscc.encode(), data.declaration_id, data.day.toordinal(), received, sha256(body).digest()
                )
            )
        )
        self._batch.totals.append(TotalKey(-1, uscc, None, None, Outcome.RECORDED, "declaration", None, 0))

    def _park(self, index: int, record: Record, uscc: str, fault: Parked, event: Any) -> None:
        region = getattr(event.data, "acceptance_region", None) if event is not None else None
        province = region[:2] if region in self._regions else None
        self._batch.parked.append(KeptRecord(index, record, fault.reason, fault.detail))
        self._batch.leaves.append(kept_record_leaf(RowKind.PARKED, record, fault.reason))
        self._batch.totals.append(TotalKey(-1, uscc, province, None, Outcome.PARKED, fault.reason, None, 0))


def kept_record_leaf(kind: RowKind, record: Record, reason: str) -> bytes:
    """Leaf hash of a record that is kept with its bytes."""
    received = sha256(record.value or b"").digest()
    return leaf_hash(kept_leaf(kind, record.topic, record.partition, record.offset, record.timestamp, reason, received))


def sum_totals(keys: Iterable[TotalKey]) -> list[Total]:
    """Totals as a manifest carries them, in a fixed order."""
    counted = Counter(keys)
    return [
        Total(
            insured_on=None if key.insured_on < 0 else date.fromordinal(key.insured_on + _ORDINAL_1970),
            enterprise=key.enterprise,
            province=key.province,
            industry=key.industry,
            outcome=key.outcome,
            reason=key.reason,
            tariff_line=key.tariff_line,
            orders=count,
            premium=count * key.base_amount,
        )
        for key, count in sorted(counted.items(), key=lambda item: str(item[0]))
    ]


_ORDINAL_1970: Final = date(1970, 1, 1).toordinal()


def _acceptance_total(day: int, uscc: str, province: str, industry: str, outcome: object) -> TotalKey | None:
    match outcome:
        case Charged(line):
            return TotalKey(day, uscc, province, industry, Outcome.CHARGED, None, line.number, int(line.base_amount))
        case Excluded(reason):
            return TotalKey(day, uscc, province, industry, Outcome.EXCLUDED, reason.value, None, 0)
        case _:
            return None


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _microseconds(span: timedelta) -> int:
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def since_epoch_us(instant: datetime) -> int:
    """Whole microseconds since 1970-01-01T00:00Z."""
    return _microseconds(instant - EPOCH)
