"""Nasty and spoiled events through the whole consumer: none stops it, none is lost, all end where the model says."""

from collections import Counter
from pathlib import Path
from random import Random

from shared.adapters.files.regions import known_regions
from shared.contracts.topics import orders_topic
from tests.faults.order_stream import FETCHED_TOO_EARLY, metric
from tests.generators.corpus_files import NOON_MS, read_corpus
from tests.generators.mangled_events import spoiled
from tests.integration.charging.charging_harness import RIDES, SCHEME, House, Record, Sent, accepted, demo_scheme
from tests.integration.charging.charging_service import open_field
from tests.integration.histories.history_harness import open_play
from tests.integration.histories.model_template import model_template
from tests.model.charging import ModelCharging
from tests.model.scheme import read_scheme
from tests.support.servers import Broker, Postgres, client_settings
from tests.support.waiting import eventually_async

DELIVERY = "91000000FAKE00004Q"
SPOILED = 600
CODECS = (None, "gzip", "snappy", "lz4", "zstd")
MOST_MEMORY = 400 * 1024 * 1024
ENDS = """
    select topic, record_offset, 'parked', reason from charging.parked
    union all select topic, record_offset, 'conflict', '' from charging.conflict"""
TIMES = "select topic, record_offset, record_time_ms from charging.parked"


def model_ends(records: list[Record]) -> dict[tuple[str, int], tuple[str, str]]:
    scheme = read_scheme(SCHEME)
    model = ModelCharging(scheme, set(demo_scheme().enterprises), known_regions())
    ends = model.take("run", list(records))
    return {(record.topic, record.offset): (end.outcome, end.reason) for record, end in zip(records, ends, strict=True)}


def outcomes_of(ends: dict[tuple[str, int], tuple[str, str]]) -> dict[tuple[str, int], str]:
    return {place: outcome for place, (outcome, _) in ends.items()}


def as_sent() -> list[Sent]:
    """All of the corpus and many spoiled samples, each between two good ones of its enterprise."""
    nasty = [corpu.sent for corpu in read_corpus()]
    nasty += [Sent(spoiled(Random(seed)), uscc=DELIVERY) for seed in range(SPOILED)]
    sent = []
    for number, event in enumerate(nasty):
        sent += [event, accepted(f"good-{number}", uscc=event.uscc)]
    return sent


def as_records(sent: list[Sent]) -> list[Record]:
    """As the log of one partition a topic holds them, in the order that the model reads them."""
    offsets: Counter[str] = Counter()
    records = []
    for event in sent:
        topic = orders_topic(event.uscc)
        time_ms = NOON_MS if event.time_ms is None else event.time_ms
        records.append(Record(topic, 0, offsets[topic], time_ms, event.key, event.value, event.headers))
        offsets[topic] += 1
    return sorted(records, key=lambda record: (record.topic, record.offset))


async def test_the_whole_consumer_takes_them_as_the_model_does(house: House, fresh_broker: Broker) -> None:
    sent = as_sent()
    records = as_records(sent)
    expected = model_ends(records)
    async with open_field(house, client_settings(fresh_broker)) as field:
        await field.make_topics(RIDES, DELIVERY)
        async with field.worker(BATCH_EVENTS="100", PARK_LIMIT_COUNT="1000000") as worker:
            share = len(sent) // len(CODECS) + 1
            for number, codec in enumerate(CODECS):
                await field.send(*sent[number * share : (number + 1) * share], codec=codec)
            await field.has_counted(len(sent))
            await eventually_async(worker.is_ready, "readiness")
            assert worker.child.poll() is None
            assert await metric(worker, 'danbao_charging_batches_dropped_total{why="Stale"}') <= FETCHED_TOO_EARLY
            status = Path(f"/proc/{worker.child.pid}/status").read_text()
            most = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
            assert most < MOST_MEMORY
    reported = {(topic, offset): (outcome, reason) for topic, offset, outcome, reason in await house.fetch(ENDS)}
    outside = {place: end for place, end in expected.items() if end[0] in {"parked", "conflict"}}
    assert outcomes_of(reported) == outcomes_of(outside)
    # A spoiled one with two faults may be parked for either.
    assert {place: end for place, end in reported.items() if place[0] == orders_topic(RIDES)} == {
        place: end for place, end in outside.items() if place[0] == orders_topic(RIDES)
    }
    outcomes = Counter(outcome for outcome, _ in expected.values())
    rows = await house.value("select count(*) from charging.entry where kind <= 3")
    declarations = await house.value("select count(*) from charging.declaration")
    assert rows + declarations == outcomes["charged"] + outcomes["excluded"] + outcomes["recorded"]
    assert await house.value("select sum(events) from charging.position") == len(sent) == sum(outcomes.values())
    kept = await house.kept("parked")
    times = {(topic, offset): time_ms for topic, offset, time_ms in await house.fetch(TIMES)}
    for record in records:
        place = (record.topic, record.offset)
        if expected[place][0] == "parked":
            stored = (kept[place].value, kept[place].key, times[place])
            assert stored == (record.value, record.key, record.timestamp)


async def test_rows_books_and_model_agree_after_them(postgres: Postgres) -> None:
    """Every figure, through booking and the close of two days; sent twice, nothing counts twice."""
    sent = [corpu.sent for corpu in read_corpus()]
    records = [
        {
            "topic": orders_topic(RIDES),
            "partition": 0,
            "ms": NOON_MS if event.time_ms is None else event.time_ms,
            "value": None if event.value is None else {"hex": event.value.hex()},
        }
        for event in sent
    ]
    async with model_template(postgres) as template, open_play(postgres, template) as play:
        for use_copy in (True, False):
            await play.step({"do": "send", "worker": 0, "use_copy": use_copy, "records": records})
        await play.play([
            {"do": "deliver", "picks": [0, 0], "twice": False},
            {"do": "rush", "until": "2026-10-30"},
        ])  # fmt: skip
        assert play.events == 2 * len(records)
