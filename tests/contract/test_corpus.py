"""Nasty and spoiled events: decoder, reader and model agree on each, and none costs more than its share."""

import time
import tracemalloc
from functools import cache
from random import Random

import pytest

from services.charging.rows.batch import Batch
from shared.adapters.files.regions import known_regions
from shared.contracts.topics import orders_topic
from tests.contract.test_decode import reader
from tests.generators.corpus_files import NOON_MS, Nasty, read_corpus
from tests.generators.mangled_events import spoiled
from tests.integration.charging.charging_harness import FREIGHT, RIDES, SCHEME, Record, accepted, demo_scheme
from tests.model.charging import ModelCharging
from tests.model.scheme import ModelScheme, read_scheme

TOPIC = orders_topic(RIDES)
CORPUS = read_corpus()
SPOILED = 3_000
PLAIN = accepted("plain").value or b""
MOST_TIMES = 12
"""Time of an event, by its length, against that of a plain one: a linear scan of another kind, never a search."""
MOST_BYTES = 4 * 1024 * 1024


def ends_of(batch: Batch) -> list[tuple[str, str]]:
    return [(total.outcome.value, total.reason or "") for total in batch.totals]


@cache
def scheme() -> ModelScheme:
    return read_scheme(SCHEME)


def model() -> ModelCharging:
    return ModelCharging(scheme(), set(demo_scheme().enterprises), known_regions())


@pytest.mark.parametrize("nasty", CORPUS, ids=lambda nasty: nasty.name)
def test_services_and_model_agree_on_where_it_ends(nasty: Nasty) -> None:
    record = nasty.record(TOPIC)
    (ours,) = ends_of(reader().read([record], 1))
    (theirs,) = model().take("run", [record])
    assert (ours, (theirs.outcome, theirs.reason)) == (nasty.ends, nasty.ends)


def test_spoiled_samples_are_taken_by_both_or_by_neither() -> None:
    """Taken for the same; for what each is parked is a matter of which of its faults is met first."""
    topic, one, agreed = orders_topic("91000000FAKE00004Q"), reader(), 0
    for seed in range(SPOILED):
        value = spoiled(Random(seed))
        record = Record(topic, 0, 0, NOON_MS, b"k", value)
        batch, (theirs,) = one.read([record], 1), model().take("run", [record])
        (ours,) = ends_of(batch)
        assert len(batch.rows) + len(batch.declarations) + len(batch.parked) == 1, seed
        if ours[0] == theirs.outcome == "parked":
            continue
        assert ours == (theirs.outcome, theirs.reason), f"seed {seed}: {value[:300]!r}"
        agreed += 1
    assert agreed > SPOILED / 20, "hardly any of them is almost valid"


def test_none_takes_more_than_its_share_of_time() -> None:
    plain = seconds(PLAIN) / len(PLAIN)
    durations = {nasty.name: seconds(nasty.sent.value or b"") for nasty in CORPUS}
    sizes = {nasty.name: max(len(PLAIN), len(nasty.sent.value or b"")) for nasty in CORPUS}
    times = {name: taken / sizes[name] / plain for name, taken in durations.items()}
    assert {name: round(ratio, 1) for name, ratio in times.items() if ratio > MOST_TIMES} == {}


def seconds(value: bytes) -> float:
    """The least of some attempts, so that what else runs on the machine does not count."""
    one, records = reader(), [Record(TOPIC, 0, 0, NOON_MS, b"k", value)]
    durations = []
    for _ in range(15):
        began = time.perf_counter()
        one.read(records, 1)
        durations.append(time.perf_counter() - began)
    return min(durations)


def test_none_takes_more_than_its_share_of_memory() -> None:
    one = reader()
    one.read([Record(TOPIC, 0, 0, NOON_MS, b"k", PLAIN)], 1)  # fills the caches
    largest = [Record(orders_topic(FREIGHT), 0, 0, NOON_MS, b"k", b"{" * 20_000_000)]
    for records in [[nasty.record(TOPIC)] for nasty in CORPUS] + [largest]:
        tracemalloc.start()
        try:
            one.read(records, 1)
            assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
        finally:
            tracemalloc.stop()
