"""Records read in (topic, partition, offset) order, rated, and laid out as rows and leaves. Pure.

The first received of two events with one key comes first, whatever the order of rows in the table.

An event goes one of two ways. What is plainly right is laid out by the form of its like, found by what decides its
rate. Everything else is read alone, with every check; that way makes the forms, and is the only one that parks.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from itertools import compress
from struct import Struct
from typing import Any, Final

import msgspec

from services.charging.ingest.duplicate_filter import DuplicateFilter
from services.charging.ingest.template_cache import FIRST_RECORD_MS, LAST_RECORD_MS, TemplateCache, template_keys
from services.charging.rows.batch import (
    SHANGHAI_EPOCH,
    Batch,
    DeclarationRow,
    KeptRecord,
    Limits,
    Record,
    kept_record_leaf,
    since_epoch_us,
)
from services.charging.rows.row_encoding import Orders, lay_out
from services.charging.rows.row_kinds import CANCEL_REASONS, EXCLUSION_REASONS, TotalKey
from services.charging.rows.row_template import Form, texts
from shared.adapters.crypto.hashing import hash_all
from shared.adapters.crypto.signing import is_signed
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
from shared.domain.evidence.declaration_keys import DeclarationKeys, Signed
from shared.domain.evidence.leaf import NO_INT64, RowKind, declaration_leaf
from shared.domain.evidence.merkle import leaf_hash
from shared.domain.scheme.industry import FOOD_DELIVERY_CLOSED_ON, Industry
from shared.domain.scheme.rating import Charged, Excluded, ExclusionReason, Scheme
from shared.intake.bulk_decoder import BulkDecoder
from shared.intake.declaration_signatures import find_signature
from shared.intake.free_fields import find_declaration_fault, find_fault
from shared.intake.strict_decoder import Parked, decode

STEP_EVENTS: Final = 1_024
"""Read without a pause: some 4 ms, in which a worker answers no question. Fewer would cost more, more save nothing."""
_FOOD_CLOSED_DAY: Final = FOOD_DELIVERY_CLOSED_ON.toordinal() - date(1970, 1, 1).toordinal()
_TOKEN: Final = Struct("32s")
_NOTHING_YET: Final = TotalKey(-1, "", None, None, Outcome.PARKED, None, None, 0)
_EMPLOYEE: Final = Excluded(ExclusionReason.INSURED_AS_EMPLOYEE)
_FOREVER_US: Final = 2**63 - 1
_ACCEPTANCE, _COMPLETION, _CANCELLATION = int(RowKind.ACCEPTANCE), int(RowKind.COMPLETION), int(RowKind.CANCELLATION)
_KINDS: Final[Mapping[type, int]] = {
    OrderAccepted: _ACCEPTANCE,
    OrderCompleted: _COMPLETION,
    OrderCancelled: _CANCELLATION,
}


@dataclass(frozen=True, slots=True)
class EnterpriseTopic:
    """One enterprise's topic."""

    uscc: str
    enterprise: int
    source: str


class BatchReader:
    """Reads batches against one scheme; what is the same for many orders is looked up once."""

    def __init__(
        self, scheme: Scheme, regions: frozenset[str], enterprise_ids: Mapping[str, int], limits: Limits
    ) -> None:
        self._scheme, self._limits = scheme, limits
        self._keys = DeclarationKeys(scheme.enterprise_keys, is_signed)
        self._lanes = {
            orders_topic(uscc): EnterpriseTopic(uscc, enterprise, SOURCE_PREFIX + uscc)
            for uscc, enterprise in enterprise_ids.items()
        }
        self._regions = {region: (region[:2], int(region)) for region in regions}
        self._timelines: dict[tuple[str, str, str], tuple[list[int], list[Any]]] = {}
        self._industry_codes = {industry.value: industry.code for industry in Industry}
        self._decoder = BulkDecoder(regions, [lane.source for lane in self._lanes.values()], limits.max_event_bytes)
        self._alike = TemplateCache(self._regions, limits)
        self._batch, self._orders = Batch(), Orders()
        self._doubts = DuplicateFilter()

    def read(self, records: Iterable[Record], batch_number: int) -> Batch:
        """A batch of records in (topic, partition, offset) order; `batch_number` goes into each row."""
        batch = Batch(records=list(records))
        for _ in self.steps(batch, batch_number):
            continue
        return batch

    def steps(self, batch: Batch, batch_number: int) -> Iterator[None]:
        """Read what `batch` has of records, some at a time: what else a process does comes in between."""
        self._batch = batch
        batch.events, moments = len(batch.records), list[int]()
        batch.leaves, batch.totals = [b""] * batch.events, [_NOTHING_YET] * batch.events
        for start in range(0, batch.events, STEP_EVENTS):
            self._orders = Orders()
            self._read_step(range(start, min(start + STEP_EVENTS, batch.events)), batch_number)
            moments += self._orders.moments()
            yield
        self._doubts.find(batch, moments)
        self._batch, self._orders = Batch(), Orders()  # its records may be large, and are let go with it

    def _read_step(self, places: range, batch_number: int) -> None:
        batch, orders = self._batch, self._orders
        for place in self._take_alike(places):
            self._read_alone(place, batch.records[place])
        orders.sort()
        orders.received = hash_all([batch.records[place].value or b"" for place in orders.indexes])
        rows, leaves = lay_out(orders, batch_number)
        batch.rows += rows
        for place, leaf, form in zip(orders.indexes, leaves, orders.forms, strict=True):
            batch.leaves[place], batch.totals[place] = leaf, form.total
        batch.days |= {form.total.insured_on for form in set(orders.forms)}

    def _take_alike(self, places: range) -> list[int]:
        """Take the events that are plainly right and have a like; returns the places of the others, in their order."""
        records = self._batch.records
        seen = self._decoder.decode([records[place].value for place in places])
        right = [places[place] for place in seen.indexes]
        left = set(places).difference(right) if len(right) < len(places) else set()
        tokens, kinds = [token for (token,) in _TOKEN.iter_unpack(seen.tokens)], list(map(type, seen.events))
        for struct in set(kinds):
            columns, events = Orders(), seen.events
            columns.indexes, columns.tokens = right, tokens
            if kinds.count(struct) < len(kinds):
                mine = [kind is struct for kind in kinds]
                columns.indexes, columns.tokens = list(compress(right, mine)), list(compress(tokens, mine))
                events = list(compress(events, mine))
            own = [records[place] for place in columns.indexes]
            left.update(self._alike.take(self._decoder.kinds[struct], own, events, columns))
            self._orders.add(columns)
        return sorted(left)

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
        if not FIRST_RECORD_MS <= record.timestamp < LAST_RECORD_MS:
            return Parked(ParkReason.IMPOSSIBLE_TIME, f"record time {record.timestamp} ms")
        if isinstance(event, DayDeclared):
            signed = find_signature(self._keys, uscc, event, record.value or b"")
            if isinstance(signed, Parked):
                return signed
            fault = find_declaration_fault(event.data)
            if fault is None:
                self._declare(index, record, lane, event, signed)
            return fault
        return self._take_order(index, record, lane, _KINDS[type(event)], event.data)

    def _take_order(self, index: int, record: Record, lane: EnterpriseTopic, kind: int, data: Any) -> Parked | None:
        series = data.series if kind == _ACCEPTANCE else None
        fault = find_fault(data.agency_uscc, data.employer_insurance_no, series)
        if fault is not None:
            return fault
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
        sequence, recorded_us = None, NO_INT64
        if kind == _ACCEPTANCE:
            sequence, recorded_us = data.sequence, record.timestamp * 1000
        if series is not None:
            self._alike.keep_series(series)
        self._orders.append(
            index, form, accepted_us, ended_us, sequence, place[1], bytes.fromhex(data.worker_id), data.order_id,
            texts(series, data.agency_uscc, data.employer_insurance_no), recorded_us,
        )  # fmt: skip
        return None

    def _time_fault(self, data: Any, day: int, accepted_us: int, now_us: int) -> Parked | None:
        limits = self._limits
        if accepted_us > now_us + limits.max_skew_us:
            return Parked(ParkReason.IN_FUTURE, f"accepted over {limits.max_skew_seconds} s after the record's time")
        if accepted_us < now_us - limits.max_age_us:
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
        if since_epoch_us(ended) > record.timestamp * 1000 + self._limits.max_skew_us:
            return Parked(ParkReason.IN_FUTURE, f"ended over {self._limits.max_skew_seconds} s after the record's time")
        return None

    def _form(
        self, lane: EnterpriseTopic, kind: int, day: int, accepted_us: int, province: str, data: Any
    ) -> Form | None:
        """The form of such an order, made when it is missing; None when no tariff line holds."""
        (key,) = template_keys(kind, [orders_topic(lane.uscc)], [lane.source], [day], [province], [data])
        form = self._alike.form(key)
        if form is None or not form.begin_us <= accepted_us < form.end_us:
            if kind == _ACCEPTANCE:
                form = self._accepted_form(lane, day, accepted_us, province, data)
            else:
                form = self._ended_form(lane, kind, day, province, data)
            if form is not None:
                self._alike.keep(key, form)
        return form

    def _accepted_form(
        self, lane: EnterpriseTopic, day: int, accepted_us: int, province: str, data: Any
    ) -> Form | None:
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

    def _ended_form(self, lane: EnterpriseTopic, kind: int, day: int, province: str, data: Any) -> Form:
        reason, departed, what = 0, None, "completion"
        if kind == _CANCELLATION:
            reason, departed, what = CANCEL_REASONS.index(data.reason), data.departed, "cancellation"
        total = TotalKey(day, lane.uscc, province, data.industry, Outcome.RECORDED, what, None, 0)
        code = self._industry_codes[data.industry]
        return Form(lane.enterprise, kind, data.token_key, code, reason, departed, 0, total, -_FOREVER_US, _FOREVER_US)

    def _declare(
        self, index: int, record: Record, lane: EnterpriseTopic, event: DayDeclared, signed: Signed | None
    ) -> None:
        data, received = event.data, sha256(record.value or b"").digest()
        body = msgspec.json.encode(data)
        row = DeclarationRow(index, lane.enterprise, data.declaration_id, data.day, body, received, signed)
        self._batch.declarations.append(row)
        self._batch.leaves[index] = leaf_hash(
            declaration_leaf(
                lane.uscc.encode(), data.declaration_id, data.day.toordinal(), received, sha256(body).digest()
            )
        )
        self._batch.totals[index] = TotalKey(-1, lane.uscc, None, None, Outcome.RECORDED, "declaration", None, 0)

    def _park(self, index: int, record: Record, uscc: str, fault: Parked, event: Any) -> None:
        region = getattr(event.data, "acceptance_region", None) if event is not None else None
        province = region[:2] if region in self._regions else None
        self._batch.parked.append(KeptRecord(index, record, fault.reason, fault.detail))
        self._batch.leaves[index] = kept_record_leaf(RowKind.PARKED, record, fault.reason)
        self._batch.totals[index] = TotalKey(-1, uscc, province, None, Outcome.PARKED, fault.reason, None, 0)


def _acceptance_total(day: int, uscc: str, province: str, industry: str, outcome: object) -> TotalKey | None:
    match outcome:
        case Charged(line):
            return TotalKey(day, uscc, province, industry, Outcome.CHARGED, None, line.number, int(line.base_amount))
        case Excluded(reason):
            return TotalKey(day, uscc, province, industry, Outcome.EXCLUDED, reason.value, None, 0)
        case _:
            return None
