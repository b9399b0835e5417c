"""Batch reader: decodes, rates and encodes the records of one batch, in (topic, partition, offset) order. Pure.

The first received of two events with one key comes first, in any order of the table's rows.

Fast path: well-formed events are encoded with a cached row template, keyed by what decides the rating. Slow path:
every other event is rated alone, with every check. Only the slow path makes templates, and only it parks an event.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import compress
from struct import Struct
from types import MappingProxyType
from typing import Final

import msgspec

from services.charging.ingest.duplicate_filter import DuplicateFilter
from services.charging.ingest.template_cache import TemplateCache
from services.charging.rows.batch import Batch, DeclarationRow, KeptRecord, Record, kept_record_leaf
from services.charging.rows.row_encoding import OrderArrays, encode_rows
from services.charging.rows.row_kinds import CANCEL_REASONS, EXCLUSION_REASONS
from services.charging.rows.row_template import RowTemplate, encode_variable_fields
from shared.adapters.crypto.hashing import hash_all
from shared.adapters.crypto.signing import is_signed
from shared.contracts.events import SOURCE_PREFIX, Acceptance, Cancellation
from shared.contracts.manifests import Outcome
from shared.contracts.topics import orders_topic
from shared.domain.calendar import instant_of
from shared.domain.evidence.declaration_keys import DeclarationKeys
from shared.domain.evidence.leaf import NO_INT64, RowKind, declaration_leaf
from shared.domain.evidence.merkle import leaf_hash
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import Scheme
from shared.intake.bulk_decoder import BulkDecoder
from shared.intake.event_rater import EventRater, park_unstorable
from shared.intake.limits import IntakeLimits
from shared.intake.rated_events import ParkedEvent, RatedOrder, RecordedDeclaration, TotalKey

STEP_EVENTS: Final = 1_024
"""Events read without a pause: some 4 ms, in which a worker answers no request. Fewer cost more, more save nothing."""
_TOKEN: Final = Struct("32s")
_UNKNOWN_TOTAL: Final = TotalKey(-1, "", None, None, Outcome.PARKED, None, None, 0)
_INDUSTRY_CODES: Final = {industry.value: industry.code for industry in Industry}


@dataclass(frozen=True, slots=True)
class EnterpriseTopic:
    """Orders topic of one enterprise: its USCC, its number in the database, and the source of its events."""

    uscc: str
    enterprise: int
    source: str


class EventReader:
    """Opens batches against one scheme; keeps lookups and templates between batches, and nothing of a batch."""

    def __init__(
        self, scheme: Scheme, regions: frozenset[str], enterprise_ids: Mapping[str, int], limits: IntakeLimits
    ) -> None:
        self.topics = {
            orders_topic(uscc): EnterpriseTopic(uscc, enterprise, SOURCE_PREFIX + uscc)
            for uscc, enterprise in enterprise_ids.items()
        }
        keys = DeclarationKeys(scheme.enterprise_keys, is_signed)
        self.decoder = BulkDecoder(regions, [topic.source for topic in self.topics.values()], limits.max_event_bytes)
        self.rater = EventRater(scheme, enterprise_ids, limits, keys)
        self.regions = regions
        self.templates = TemplateCache(regions, limits)
        self.duplicates = DuplicateFilter()
        self.slow_path_events = 0
        """Events that were rated alone since the start."""

    def open(
        self,
        records: Iterable[Record],
        batch_number: int,
        refused: Mapping[int, str] = MappingProxyType({}),
        arrivals: Mapping[int, int] = MappingProxyType({}),
    ) -> "BatchReader":
        """A reader of one batch; `records` are in (topic, partition, offset) order, `batch_number` is in each row.

        `refused`: indexes of records that the database refuses, with the refusal in words; they are parked unread.
        `arrivals`: first arrivals, in ms since the epoch, of records that the operator sent again, by their index.
        """
        batch = Batch(records=list(records), arrivals=arrivals)
        batch.events = len(batch.records)
        batch.leaves, batch.totals = [b""] * batch.events, [_UNKNOWN_TOTAL] * batch.events
        return BatchReader(self, batch, batch_number, refused)

    def read(
        self, records: Iterable[Record], batch_number: int, arrivals: Mapping[int, int] = MappingProxyType({})
    ) -> Batch:
        """Read a batch without a pause."""
        reader = self.open(records, batch_number, arrivals=arrivals)
        for _ in reader.steps():
            continue
        return reader.batch


class BatchReader:
    """Fills one batch, some events a step; `batch` is complete when the steps are over."""

    def __init__(self, reader: EventReader, batch: Batch, batch_number: int, refused: Mapping[int, str]) -> None:
        self.batch = batch
        self._refused = refused
        self._reader = reader
        self._number = batch_number

    def steps(self) -> Iterator[None]:
        """Read STEP_EVENTS a step, so that a process can do other work in between."""
        batch = self.batch
        moments: list[int] = []
        for start in range(0, batch.events, STEP_EVENTS):
            moments += self._read_step(range(start, min(start + STEP_EVENTS, batch.events)))
            yield
        batch.possible_duplicates |= self._reader.duplicates.find(batch, moments)

    def _read_step(self, indexes: range) -> list[int]:
        """Returns the moment of each row, in the order of the records."""
        columns = OrderArrays()
        wanted = [index for index in indexes if index not in self._refused] if self._refused else indexes
        for index in self._take_known(wanted, columns):
            self._read_alone(index, columns)
        for index in [index for index in self._refused if index in indexes]:
            uscc = self._reader.topics[self.batch.records[index].topic].uscc
            self._park(index, self.batch.records[index], park_unstorable(uscc, self._refused[index]))
        columns.sort()
        self._encode(columns)
        return columns.event_times_us()

    def _encode(self, columns: OrderArrays) -> None:
        batch = self.batch
        columns.received = hash_all([batch.records[index].value or b"" for index in columns.indexes])
        rows, leaves = encode_rows(columns, self._number)
        batch.rows += rows
        for index, leaf, template in zip(columns.indexes, leaves, columns.templates, strict=True):
            batch.leaves[index] = leaf
            batch.totals[index] = template.total
        batch.days |= {template.total.insured_on for template in set(columns.templates)}

    def _take_known(self, indexes: Sequence[int], columns: OrderArrays) -> list[int]:
        """Fast path: add well-formed events with a cached template; returns the indexes of the others, ascending."""
        records, decoder = self.batch.records, self._reader.decoder
        new = self._without_resent(indexes)
        decoded = decoder.decode([records[index].value for index in new])
        decoded_at = [new[index] for index in decoded.indexes]
        left = set(indexes).difference(decoded_at) if len(decoded_at) < len(indexes) else set()
        tokens = [token for (token,) in _TOKEN.iter_unpack(decoded.tokens)]
        types = list(map(type, decoded.events))
        for event_type in set(types):
            known, events = OrderArrays(), decoded.events
            known.indexes, known.tokens = decoded_at, tokens
            if types.count(event_type) < len(types):
                is_type = [other is event_type for other in types]
                known.indexes, known.tokens = list(compress(decoded_at, is_type)), list(compress(tokens, is_type))
                events = list(compress(events, is_type))
            own_records = [records[index] for index in known.indexes]
            left.update(self._reader.templates.fill(decoder.kinds[event_type], own_records, events, known))
            columns.add(known)
        return sorted(left)

    def _without_resent(self, indexes: Sequence[int]) -> Sequence[int]:
        """Leave out what was sent again: it has a first arrival, too, and the fast path knows one time of an event."""
        arrivals = self.batch.arrivals
        return [index for index in indexes if index not in arrivals] if arrivals else indexes

    def _read_alone(self, index: int, columns: OrderArrays) -> None:
        """Slow path: rate one event with every check."""
        record = self.batch.records[index]
        self._reader.slow_path_events += 1
        arrived_ms = self.batch.arrivals.get(index)
        match self._reader.rater.rate(record.topic, record.timestamp, record.value, record.headers, arrived_ms):
            case RatedOrder() as order:
                self._add_order(index, record, order, columns)
            case RecordedDeclaration() as declaration:
                self._add_declaration(index, record, declaration)
            case ParkedEvent() as parked:
                self._park(index, record, parked)

    def _add_order(self, index: int, record: Record, order: RatedOrder, columns: OrderArrays) -> None:
        data, sequence, recorded_us = order.data, None, NO_INT64
        if isinstance(data, Acceptance):
            sequence, recorded_us = data.sequence, self.batch.arrivals.get(index, record.timestamp) * 1000
            self._reader.templates.keep_series(data.series)
        if data.acceptance_region not in self._reader.regions:
            self.batch.unlisted_regions.append(int(data.acceptance_region))
        columns.append(
            index, self._template_of(self._reader.topics[record.topic], order), order.accepted_us, order.ended_us,
            sequence, int(data.acceptance_region), bytes.fromhex(data.worker_id), data.order_id,
            encode_variable_fields(data), recorded_us,
        )  # fmt: skip

    def _template_of(self, topic: EnterpriseTopic, order: RatedOrder) -> RowTemplate:
        """The cached template of such orders; made and cached where there is none for this instant."""
        templates = self._reader.templates
        key = templates.key_of(orders_topic(topic.uscc), topic.source, order)
        template = templates.find(key, order.accepted_us)
        if template is None:
            template = _make_template(topic, order)
            templates.keep(key, template)
        return template

    def _add_declaration(self, index: int, record: Record, declaration: RecordedDeclaration) -> None:
        data, enterprise = declaration.data, self._reader.topics[record.topic].enterprise
        received, body = sha256(record.value or b"").digest(), msgspec.json.encode(data)
        row = DeclarationRow(
            index, enterprise, data.declaration_id, data.day, declaration.revision,
            instant_of(self.batch.arrivals.get(index, record.timestamp) * 1_000), body, received, declaration.signed,
        )  # fmt: skip
        uscc, body_hash = declaration.total.enterprise.encode(), sha256(body).digest()
        leaf = declaration_leaf(uscc, data.declaration_id, data.day.toordinal(), received, body_hash)
        self.batch.declarations.append(row)
        self.batch.leaves[index] = leaf_hash(leaf)
        self.batch.totals[index] = declaration.total

    def _park(self, index: int, record: Record, parked: ParkedEvent) -> None:
        arrived_ms = self.batch.arrivals.get(index)
        self.batch.parked.append(KeptRecord(index, record, parked.reason, parked.detail, arrived_ms=arrived_ms))
        self.batch.leaves[index] = kept_record_leaf(RowKind.PARKED, record, parked.reason)
        self.batch.totals[index] = parked.total


def _make_template(topic: EnterpriseTopic, order: RatedOrder) -> RowTemplate:
    data, total, reason, departed = order.data, order.total, 0, None
    if isinstance(data, Acceptance):
        reason = EXCLUSION_REASONS.index(total.reason or "")
    elif isinstance(data, Cancellation):
        reason, departed = CANCEL_REASONS.index(data.reason), data.departed
    return RowTemplate(
        topic.enterprise, order.kind, data.token_key, _INDUSTRY_CODES[data.industry], reason, departed,
        total.base_amount, total, order.rated_from_us, order.rated_until_us,
    )  # fmt: skip
