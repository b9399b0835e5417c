"""Records read in (topic, partition, offset) order, rated, and laid out as rows and leaves. Pure.

The first received of two events with one key comes first, whatever the order of rows in the table.

An event goes one of two ways. What is plainly right is laid out by the form of its like, found by what decides its
rate. Everything else is read alone, with every check; that way makes the forms, and is the only one that parks.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import msgspec

from services.charging.batch import (
    SHANGHAI_EPOCH,
    Batch,
    DeclarationRow,
    KeptRecord,
    Limits,
    Record,
    kept_record_leaf,
    since_epoch_us,
)
from services.charging.decode import Parked, decode
from services.charging.doubts import Doubts
from services.charging.forms import Form, Texts, Token, in_stream, texts
from services.charging.glance import CHUNK_EVENTS, Glance, token_of
from services.charging.rows import CANCEL_REASONS, EXCLUSION_REASONS, TotalKey
from shared.contracts.events import (
    SOURCE_PREFIX,
    Cancellation,
    Completion,
    DayDeclared,
    OrderAccepted,
    OrderCancelled,
    OrderCompleted,
)
from shared.contracts.manifests import Outcome
from shared.contracts.parking import ParkReason
from shared.contracts.topics import enterprise_of, orders_topic
from shared.domain.industry import FOOD_DELIVERY_CLOSED_ON, Industry
from shared.domain.leaf import RowKind, declaration_leaf
from shared.domain.merkle import leaf_hash
from shared.domain.rating import Charged, Excluded, ExclusionReason, Scheme

FORMS_LIMIT: Final = 4_096
"""Forms kept for an enterprise; reaching it begins anew. A day needs some hundred."""
SERIES_LIMIT: Final = 65_536
_SECOND_US: Final = 1_000_000
_DAY_US: Final = 86_400 * _SECOND_US
_SHANGHAI_US: Final = since_epoch_us(SHANGHAI_EPOCH)
_FIRST_RECORD_MS: Final = 1_640_995_200_000
"""2022-01-01T00:00Z: no order was insured before."""
_LAST_RECORD_MS: Final = 4_102_444_800_000
"""2100-01-01T00:00Z: a clock in another unit, or a lie."""
_FOOD_CLOSED_DAY: Final = FOOD_DELIVERY_CLOSED_ON.toordinal() - date(1970, 1, 1).toordinal()
_EMPLOYEE: Final = Excluded(ExclusionReason.INSURED_AS_EMPLOYEE)
_FOREVER_US: Final = 2**63
_ACCEPTANCE, _COMPLETION, _CANCELLATION = int(RowKind.ACCEPTANCE), int(RowKind.COMPLETION), int(RowKind.CANCELLATION)
_KINDS: Final[Mapping[type, int]] = {
    OrderAccepted: _ACCEPTANCE,
    OrderCompleted: _COMPLETION,
    OrderCancelled: _CANCELLATION,
}


@dataclass(slots=True)
class Lane:
    """One enterprise's topic."""

    uscc: str
    enterprise: int
    source: str
    forms: dict[tuple[object, ...], Form] = field(default_factory=dict)
    first_record_ms: int = _LAST_RECORD_MS


class Reader:
    """Reads batches against one scheme; what is the same for many orders is looked up once."""

    def __init__(
        self, scheme: Scheme, regions: frozenset[str], enterprise_ids: Mapping[str, int], limits: Limits
    ) -> None:
        self._scheme, self._limits = scheme, limits
        self._lanes = {
            orders_topic(uscc): Lane(uscc, enterprise, SOURCE_PREFIX + uscc)
            for uscc, enterprise in enterprise_ids.items()
        }
        self._regions = {region: (region[:2], int(region)) for region in regions}
        self._texts: dict[str | None, Texts] = {None: texts(None, None, None)}
        self._timelines: dict[tuple[str, str, str], tuple[list[int], list[Any]]] = {}
        self._industry_codes = {industry.value: industry.code for industry in Industry}
        self._skew_us, self._age_us = limits.max_skew_seconds * _SECOND_US, limits.max_age_days * _DAY_US
        self._glance = Glance(regions, [lane.source for lane in self._lanes.values()], limits.max_event_bytes)
        self._zone, self._zone_epoch = SHANGHAI_EPOCH.tzinfo, SHANGHAI_EPOCH
        self._batch, self._number = Batch(), b""
        self._moments: list[int] = []
        self._doubts = Doubts()

    def read(self, records: Iterable[Record], batch_number: int) -> Batch:
        """A batch of records in (topic, partition, offset) order; `batch_number` goes into each row."""
        self._batch = batch = Batch(records=list(records))
        self._number = in_stream(batch_number)
        for lane in self._lanes.values():
            lane.first_record_ms = _LAST_RECORD_MS
        for start in range(0, len(batch.records), CHUNK_EVENTS):
            self._read_chunk(start, batch.records[start : start + CHUNK_EVENTS])
        batch.events = len(batch.records)
        batch.days = {total.insured_on for total in set(batch.totals)} - {-1}
        batch.first_record_ms = {
            lane.enterprise: lane.first_record_ms
            for lane in self._lanes.values()
            if lane.first_record_ms < _LAST_RECORD_MS
        }
        self._doubts.find(batch, self._moments)
        self._moments = []
        self._batch = Batch()  # its records may be large, and are let go with it
        return batch

    def _read_chunk(self, start: int, chunk: Sequence[Record]) -> None:
        seen = self._glance.look([record.value for record in chunk])
        for index, (record, plain) in enumerate(zip(chunk, seen, strict=True), start):
            if plain is None or not self._lay_plain(index, record, *plain):
                self._read_alone(index, record)

    def _lay_plain(self, index: int, record: Record, event: Any, token: Token) -> bool:
        """Lay out an event of a known enterprise, place and rate; False when any of it is not known or not right."""
        lane, data, kind = self._lanes.get(record.topic), event.data, self._glance.kinds[type(event)]
        if lane is None or event.source != lane.source:
            return False
        province, region = self._regions[data.acceptance_region]
        since = self._since(data.accepted_at)
        day = since.days
        form = lane.forms.get(_key(kind, day, province, data))
        if form is None:
            return False
        accepted_us = _SHANGHAI_US + (day * 86_400 + since.seconds) * _SECOND_US + since.microseconds
        now_us = record.timestamp * 1000
        if not (
            form.begin_us <= accepted_us < form.end_us
            and now_us - self._age_us <= accepted_us <= now_us + self._skew_us
            and _FIRST_RECORD_MS <= record.timestamp < _LAST_RECORD_MS
        ):
            return False
        if kind == _ACCEPTANCE:
            said = self._texts.get(data.series)
            if said is None:
                return False
            self._lay(index, record, lane, form, data, accepted_us, None, region, token, said)
            return True
        ended = self._since(data.completed_at if kind == _COMPLETION else data.cancelled_at)
        ended_us = _SHANGHAI_US + (ended.days * 86_400 + ended.seconds) * _SECOND_US + ended.microseconds
        if ended_us < accepted_us + (kind == _COMPLETION) or ended_us > now_us + self._skew_us:
            return False
        self._lay(index, record, lane, form, data, accepted_us, ended_us, region, token, self._texts[None])
        return True

    def _since(self, instant: datetime) -> timedelta:
        """Since the epoch of Shanghai; in the zone of the time before, no offset has to be asked for."""
        if instant.tzinfo is not self._zone:
            self._zone, self._zone_epoch = instant.tzinfo, SHANGHAI_EPOCH.astimezone(instant.tzinfo)
        return instant - self._zone_epoch

    def _lay(
        self, index: int, record: Record, lane: Lane, form: Form, data: Any, accepted_us: int, ended_us: int | None,
        region: int, token: Token, said: Texts,
    ) -> None:  # fmt: skip
        """Append the row, its leaf and its total."""
        batch, agency, insurance_no = self._batch, data.agency_uscc, data.employer_insurance_no
        sequence = data.sequence if ended_us is None else None
        if not (agency is insurance_no is None):
            said = texts(data.series if ended_us is None else None, agency, insurance_no)
        row, leaf = form.lay(
            index, self._number, accepted_us, ended_us, sequence, region, token, sha256(record.value or b"").digest(),
            data.order_id, said,
        )  # fmt: skip
        batch.rows.append(row)
        self._moments.append(accepted_us if ended_us is None else ended_us)
        batch.leaves.append(leaf)
        batch.totals.append(form.total)
        if ended_us is None and record.timestamp < lane.first_record_ms:
            lane.first_record_ms = record.timestamp

    def _read_alone(self, index: int, record: Record) -> None:
        uscc = enterprise_of(record.topic) or ""
        event = decode(record.value, self._limits.max_event_bytes)
        fault = event if isinstance(event, Parked) else self._take(index, record, uscc, event)
        if fault is not None:
            self._park(index, record, uscc, fault, None if isinstance(event, Parked) else event)

    def _take(self, index: int, record: Record, uscc: str, event: Any) -> Parked | None:
        """Lay the event out, or say why it is parked."""
        if event.source != SOURCE_PREFIX + uscc:
            return Parked(ParkReason.OTHER_ENTERPRISE, f"{event.source} on the topic of {uscc or record.topic}")
        lane = self._lanes.get(record.topic)
        if lane is None:
            return Parked(ParkReason.UNKNOWN_ENTERPRISE, f"{uscc} is not registered")
        if not _FIRST_RECORD_MS <= record.timestamp < _LAST_RECORD_MS:
            return Parked(ParkReason.IMPOSSIBLE_TIME, f"record time {record.timestamp} ms")
        if isinstance(event, DayDeclared):
            self._declare(index, record, lane, event)
            return None
        return self._take_order(index, record, lane, _KINDS[type(event)], event.data)

    def _take_order(self, index: int, record: Record, lane: Lane, kind: int, data: Any) -> Parked | None:
        accepted_us = since_epoch_us(data.accepted_at)
        day = (data.accepted_at - SHANGHAI_EPOCH).days
        fault = self._time_fault(data, day, accepted_us, record.timestamp * 1000)
        if fault is not None:
            return fault
        place = self._regions.get(data.acceptance_region)
        if place is None:
            return Parked(ParkReason.UNKNOWN_REGION, f"{data.acceptance_region} is not in GB/T 2260")
        ended_us = None
        if kind != _ACCEPTANCE:
            fault = self._end_fault(data, record)
            ended_us = since_epoch_us(data.completed_at if kind == _COMPLETION else data.cancelled_at)
        form = self._form(lane, kind, day, accepted_us, place[0], data) if fault is None else None
        if form is None:
            return fault or Parked(ParkReason.NO_TARIFF_LINE, f"no line for {data.industry} in province {place[0]}")
        series = data.series if kind == _ACCEPTANCE else None
        if series is not None:
            self._keep_series(series)
        token = token_of(data.worker_id)
        self._lay(index, record, lane, form, data, accepted_us, ended_us, place[1], token, self._texts[series])
        return None

    def _time_fault(self, data: Any, day: int, accepted_us: int, now_us: int) -> Parked | None:
        limits = self._limits
        if accepted_us > now_us + self._skew_us:
            return Parked(ParkReason.IN_FUTURE, f"accepted over {limits.max_skew_seconds} s after the record's time")
        if accepted_us < now_us - self._age_us:
            return Parked(ParkReason.TOO_OLD, f"accepted over {limits.max_age_days} days before the record's time")
        if data.industry == "food_delivery" and day >= _FOOD_CLOSED_DAY:
            return Parked(ParkReason.UNKNOWN_INDUSTRY, "food_delivery was merged into instant_delivery on 2025-07-01")
        return None

    def _end_fault(self, data: Completion | Cancellation, record: Record) -> Parked | None:
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
        if since_epoch_us(ended) > record.timestamp * 1000 + self._skew_us:
            return Parked(ParkReason.IN_FUTURE, f"ended over {self._limits.max_skew_seconds} s after the record's time")
        return None

    def _keep_series(self, series: str) -> None:
        """Lay out a series that was decoded with every check."""
        if series not in self._texts:
            if len(self._texts) >= SERIES_LIMIT:
                self._texts = {None: self._texts[None]}
            self._texts[series] = texts(series, None, None)

    def _form(self, lane: Lane, kind: int, day: int, accepted_us: int, province: str, data: Any) -> Form | None:
        """The form of such an order, made when it is missing; None when no tariff line holds."""
        key = _key(kind, day, province, data)
        form = lane.forms.get(key)
        if form is None or not form.begin_us <= accepted_us < form.end_us:
            if kind == _ACCEPTANCE:
                form = self._accepted_form(lane, day, accepted_us, province, data)
            else:
                form = self._ended_form(lane, kind, day, province, data)
            if form is not None:
                if len(lane.forms) >= FORMS_LIMIT:
                    lane.forms.clear()
                lane.forms[key] = form
        return form

    def _accepted_form(self, lane: Lane, day: int, accepted_us: int, province: str, data: Any) -> Form | None:
        place = (lane.uscc, province, data.industry)
        timeline = self._timelines.get(place)
        if timeline is None:
            timeline = self._timelines[place] = self._scheme.timeline(lane.uscc, province, Industry(data.industry))
        starts, outcomes = timeline
        at = bisect_right(starts, accepted_us)
        outcome = outcomes[at - 1]
        if data.employer_insurance_no is not None and not isinstance(outcome, Excluded):
            outcome = _EMPLOYEE
        total = _acceptance_total(day, lane.uscc, province, data.industry, outcome)
        if total is None:
            return None
        reason = EXCLUSION_REASONS.index(total.reason) if total.reason else 0
        return Form(
            lane.enterprise, _ACCEPTANCE, data.token_key, self._industry_codes[data.industry], reason, None,
            total.base_amount, total, starts[at - 1], starts[at] if at < len(starts) else _FOREVER_US,
        )  # fmt: skip

    def _ended_form(self, lane: Lane, kind: int, day: int, province: str, data: Any) -> Form:
        reason, departed, what = 0, None, "completion"
        if kind == _CANCELLATION:
            reason, departed, what = CANCEL_REASONS.index(data.reason), data.departed, "cancellation"
        total = TotalKey(day, lane.uscc, province, data.industry, Outcome.RECORDED, what, None, 0)
        code = self._industry_codes[data.industry]
        return Form(lane.enterprise, kind, data.token_key, code, reason, departed, 0, total, -_FOREVER_US, _FOREVER_US)

    def _declare(self, index: int, record: Record, lane: Lane, event: DayDeclared) -> None:
        data, received = event.data, sha256(record.value or b"").digest()
        body = msgspec.json.encode(data)
        row = DeclarationRow(index, lane.enterprise, data.declaration_id, data.day, body, received)
        self._batch.declarations.append(row)
        self._batch.leaves.append(
            leaf_hash(
                declaration_leaf(
                    lane.uscc.encode(), data.declaration_id, data.day.toordinal(), received, sha256(body).digest()
                )
            )
        )
        self._batch.totals.append(TotalKey(-1, lane.uscc, None, None, Outcome.RECORDED, "declaration", None, 0))

    def _park(self, index: int, record: Record, uscc: str, fault: Parked, event: Any) -> None:
        region = getattr(event.data, "acceptance_region", None) if event is not None else None
        province = region[:2] if region in self._regions else None
        self._batch.parked.append(KeptRecord(index, record, fault.reason, fault.detail))
        self._batch.leaves.append(kept_record_leaf(RowKind.PARKED, record, fault.reason))
        self._batch.totals.append(TotalKey(-1, uscc, province, None, Outcome.PARKED, fault.reason, None, 0))


def _key(kind: int, day: int, province: str, data: Any) -> tuple[object, ...]:
    """What decides about an order's form, its own instant within the day apart."""
    if kind == _ACCEPTANCE:
        return kind, day, province, data.industry, data.token_key, data.employer_insurance_no is None
    if kind == _COMPLETION:
        return kind, day, province, data.industry, data.token_key
    return kind, day, province, data.industry, data.token_key, data.reason, data.departed


def _acceptance_total(day: int, uscc: str, province: str, industry: str, outcome: object) -> TotalKey | None:
    match outcome:
        case Charged(line):
            return TotalKey(day, uscc, province, industry, Outcome.CHARGED, None, line.number, int(line.base_amount))
        case Excluded(reason):
            return TotalKey(day, uscc, province, industry, Outcome.EXCLUDED, reason.value, None, 0)
        case _:
            return None
