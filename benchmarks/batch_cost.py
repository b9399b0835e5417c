"""What one batch costs a worker, stage by stage, fed from memory: CPU microseconds an order, the best of many rounds.

`python -m benchmarks.batch_cost`. No broker and no database: it shows where a worker's time goes, however busy the
machine is.
"""

import gc
import time
from collections.abc import Callable
from typing import Final

import msgspec

from benchmarks.authors import CHARGING
from benchmarks.orders import SCHEME, acceptances, ride_hailing_enterprises
from benchmarks.records import LIMITS, Record
from services.charging.ingest.batch_reader import EventReader
from services.charging.rows.batch import Batch
from services.charging.rows.row_encoding import copy_stream
from services.charging.store.leaf_groups import Groups
from services.charging.store.manifests import sum_totals
from shared.adapters.files.regions import known_regions
from shared.adapters.files.scheme import load_scheme
from shared.contracts.events import SOURCE_PREFIX
from shared.contracts.manifests import PremiumsCharged, sign_manifest
from shared.contracts.topics import MANIFESTS
from shared.intake.bulk_decoder import BulkDecoder
from shared.intake.strict_decoder import decode

EVENTS: Final = 8_000
ROUNDS: Final = 25


def measure() -> dict[str, float]:
    """CPU microseconds an order by stage."""
    records = [
        Record(topic, 0, offset, at_ms, key, value)
        for offset, (topic, key, value, at_ms) in enumerate(acceptances(EVENTS))
    ]
    values = [record.value for record in records]
    reader = _reader()
    decoder = BulkDecoder(
        known_regions(), map(SOURCE_PREFIX.__add__, ride_hailing_enterprises()), LIMITS.max_event_bytes
    )
    batch = reader.read(records, 1)
    rows = sorted(batch.rows)
    gc.freeze()
    gc.disable()
    return {
        "decode, each with every check": _cost(lambda: [decode(value, LIMITS.max_event_bytes) for value in values]),
        "decode at a glance": _cost(lambda: decoder.decode(values)),
        "read: decode, rate, hash, encode": _cost(lambda: reader.read(records, 1)),
        "sort": _cost(lambda: sorted(batch.rows)),
        "stream for COPY": _cost(lambda: copy_stream(rows)),
        "totals": _cost(lambda: sum_totals(batch.totals)),
        "Merkle root": _cost(lambda: Groups.of(batch.leaves).root),
        "manifest, unsigned": _cost(lambda: msgspec.json.encode(_manifest(batch))),
        "manifest and message, signed": _cost(lambda: _signed(_manifest(batch))),
        "all of it": _cost(lambda: _all(reader, records)),
    }


def _reader() -> EventReader:
    scheme = load_scheme(SCHEME)
    ids = {uscc: number for number, uscc in enumerate(sorted(scheme.enterprises), 1)}
    return EventReader(scheme, known_regions(), ids, LIMITS)


def _all(reader: EventReader, records: list[Record]) -> Batch:
    batch = reader.read(records, 1)
    copy_stream(sorted(batch.rows))
    sum_totals(batch.totals)
    Groups.of(batch.leaves).root  # noqa: B018 - a property that computes
    return batch


def _manifest(batch: Batch) -> PremiumsCharged:
    totals = sum_totals(batch.totals)
    return PremiumsCharged(run="0" * 32, number=1, kind="orders", leaves=EVENTS, root="0" * 64, totals=totals)


def _signed(manifest: PremiumsCharged) -> bytes:
    payload = msgspec.json.encode(sign_manifest(manifest, CHARGING.key_id, CHARGING.sign))
    return CHARGING.sign_message(MANIFESTS, payload)


def _cost(work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return round(min(once() for _ in range(ROUNDS)) / EVENTS * 1e6, 2)


if __name__ == "__main__":
    for name, cost in measure().items():
        print(f"{name:36} {cost:6.2f}")
