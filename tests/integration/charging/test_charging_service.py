"""Charging as a separate process, between a real broker and a real database."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer

from services.charging.store.derived_rows import lock_settling
from shared.contracts.manifests import DayClosing, DayCounted, PremiumsCharged, question_hash
from shared.contracts.parking import ParkReason
from shared.contracts.topics import DAYS_CLOSING, DAYS_COUNTED, MANIFESTS, orders_topic
from tests.attacks.messages.poison_messages import poison
from tests.integration.charging.charging_harness import (
    NOON,
    OTHER_RIDES,
    RIDES,
    ROOT,
    House,
    Sent,
    accepted,
    cancelled,
    completed,
)
from tests.integration.charging.charging_service import Field, open_field, open_producer
from tests.support.authors import headers_of
from tests.support.servers import Broker, client_settings
from tests.support.waiting import eventually_async

SOME_POISON = {
    "hello", "nothing", "null", "zeros", "no text", "deep", "half a surrogate", "a number of 5,000 digits",
    "the last day of the calendar", "a cut to 2^70", "a cut of 300,000 runs", "an attempt beyond int4",
}  # fmt: skip


@pytest.fixture
async def field(house: House, fresh_broker: Broker) -> AsyncIterator[Field]:
    async with open_field(house, client_settings(fresh_broker)) as opened:
        yield opened


async def test_a_month_in_small(field: Field) -> None:
    """All codecs, bad input, a settlement, a close: one worker, from topics to topics."""
    async with field.worker() as worker:
        for codec in (None, "gzip", "snappy", "lz4", "zstd"):
            await field.send(*(accepted(f"{codec}-{n}") for n in range(20)), codec=codec)
        await field.send(*(cancelled(f"zstd-{n}") for n in range(20)))
        await field.send(
            Sent(None), Sent(b""), Sent(b"\xff"), Sent(b"\xef\xbb\xbf{}"), Sent(b"[" * 5_000_000),
            Sent(b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
            Sent(accepted("negative").value, time_ms=-1_000), Sent(accepted("far").value, time_ms=884_541_000_000_000),
            Sent(accepted("nul").value, headers=[("a\0b", b"\0\xff"), ("none", None), ("none", b"1")], key=None),
            uscc_in_body_of_another(),
        )  # fmt: skip
        await field.has_counted(130)
        kept = dict(await field.house.fetch("select reason, count(*) from charging.parked group by 1"))
        assert kept == {
            "empty": 2, "not_utf8": 1, "not_json": 1, "too_large": 1, "too_deep": 1, "impossible_time": 2,
            "other_enterprise": 1,
        }  # fmt: skip
        length = "select bytes from charging.parked where reason = 'too_large'"
        assert await field.house.value(length) == 5_000_000
        times = "select record_time_ms from charging.parked where reason = 'impossible_time' order by 1"
        assert await field.house.fetch(times) == [(-1_000,), (884_541_000_000_000,)]

        async def is_settled() -> bool:
            return bool(await field.house.value("select count(*) = 20 from charging.entry where kind = 4"))

        await eventually_async(is_settled, "settling of 20 cancellations")

        async def is_published() -> bool:
            return bool((await worker.get("/v1/status"))["unpublished"] == 0)

        await eventually_async(is_published, "an empty outbox")
        runs = (await worker.get("/v1/status"))["runs"]
        async with open_producer(field.client) as producer:
            closing = DayClosing(day=NOON.date(), attempt=1, cut=runs, previous_cut={})
            value = msgspec.json.encode(closing)
            await producer.send_and_wait(DAYS_CLOSING, value, headers=[*headers_of(DAYS_CLOSING, value)])
        manifests = [
            msgspec.json.decode(v, type=PremiumsCharged) for v in await read(field, MANIFESTS, sum(runs.values()))
        ]
        assert {(m.run, m.number) for m in manifests} == {(r, n + 1) for r, last in runs.items() for n in range(last)}
        (answer,) = [msgspec.json.decode(v, type=DayCounted) for v in await read(field, DAYS_COUNTED, 1)]
        assert [(t.outcome.value, t.orders, t.premium) for t in answer.totals] == [
            ("charged", 101, 10_100),
            ("reversed", 20, -2_000),
        ]
        assert worker.child.stop() == 0


def uscc_in_body_of_another() -> Sent:
    return Sent(accepted("foreign", uscc=OTHER_RIDES).value, uscc=RIDES)


async def read(field: Field, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, **field.client, auto_offset_reset="earliest")
    await consumer.start()
    payloads: list[bytes] = []

    async def has_all() -> bool:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            payloads.extend(record.value or b"" for record in records)
        return len(payloads) >= count

    try:
        await eventually_async(has_all, f"{count} messages on {topic}")
    finally:
        await consumer.stop()
    return payloads


@pytest.mark.exhaustive
async def test_poison_on_the_topic_of_questions_leaves_charging_at_work(field: Field) -> None:
    """Five bytes once ended charging for good; it answers the next valid question after any poison."""
    async with field.worker() as worker:
        await field.send(accepted("o1"))
        await field.has_counted(1)
        runs = (await worker.get("/v1/status"))["runs"]
        closing = DayClosing(day=NOON.date(), attempt=1, cut=runs, previous_cut={})
        bad = [body for name, body in poison(DAYS_CLOSING).items() if name in SOME_POISON]
        async with open_producer(field.client) as producer:
            for value in [*bad, msgspec.json.encode(closing)]:
                await producer.send_and_wait(DAYS_CLOSING, value, headers=[*headers_of(DAYS_CLOSING, value)])
        (answer,) = [msgspec.json.decode(value, type=DayCounted) for value in await read(field, DAYS_COUNTED, 1)]
        assert answer.question == question_hash(closing)
        kept = "select count(*) from charging.refused_message where topic = $1"
        assert await field.house.value(kept, DAYS_CLOSING) == len(bad) == len(SOME_POISON)
        assert not await worker.has_ended()
        assert await worker.is_ready()


async def test_the_api_tells_what_was_charged(field: Field) -> None:
    async with field.worker() as worker:
        token = "ab" * 32
        await field.send(
            accepted("o1", worker_id=token), completed("o1", worker_id=token), accepted("o2", uscc=OTHER_RIDES),
            Sent(b"nonsense"), accepted("o3", employer_insurance_no="GS-1", worker_id=token),
        )  # fmt: skip
        await field.has_counted(5)
        status = await worker.get("/v1/status")
        assert set(status) >= {"runs", "positions", "paused", "unpublished"}
        assert (status["paused"], status["parked"]) == ({}, {"not_json": 1})
        assert sum(p["events"] for p in status["positions"]) == 5
        ((run, last),) = status["runs"].items()
        payload = await worker.api.get(f"/v1/manifests/{run}/{last}")
        assert msgspec.json.decode(payload.content, type=PremiumsCharged).number == last
        missing = [f"/v1/manifests/{run}/{last + 1}", f"/v1/manifests/{'0' * 32}/1"]
        assert [(await worker.api.get(path)).status_code for path in missing] == [404, 404]
        rows = (await worker.get(f"/v1/orders/{RIDES}/o1", day="2026-10-03"))["rows"]
        assert [(row["kind"], row["premium_yuan"], row["province"]) for row in rows] == [
            ("acceptance", "0.01", "44"),
            ("completion", "0.00", "44"),
        ]
        covers = await worker.get(f"/v1/workers/{token}/covers", at="2026-10-03T12:05:00+08:00")
        assert [cover["order_id"] for cover in covers["covers"]] == ["o1", "o3"]
        covers = await worker.get(f"/v1/workers/{token}/covers", at="2026-10-03T12:10:00.000001+08:00")
        assert [cover["order_id"] for cover in covers["covers"]] == ["o3"]
        parked = (await worker.get("/v1/parked"))["parked"]
        assert [(p["reason"], p["value_base64"]) for p in parked] == [("not_json", "bm9uc2Vuc2U=")]
        assert (await worker.get("/v1/parked", after=parked[0]["cursor"]))["parked"] == []
        assert (await worker.get("/v1/parked", reason="empty"))["parked"] == []
        await refuses_nonsense(worker.api)
        await needs_the_key(worker.api)


async def test_settling_says_whether_it_looked(field: Field) -> None:
    async with field.worker(SETTLE_SECONDS="0") as worker:
        await field.send(accepted("o1"), cancelled("o1"))
        await field.has_counted(2)
        async with field.house.pool.acquire() as counting, counting.transaction():
            await lock_settling(counting)
            assert await worker.post("/v1/settle") == {"state": "busy", "reversed": 0}
        assert await worker.post("/v1/settle") == {"state": "settled", "reversed": 1}
        assert await worker.post("/v1/settle") == {"state": "settled", "reversed": 0}


def resent(events: int) -> dict[str, int]:
    return {"resent": events, "erased": 0, "altered": 0, "too_large": 0}


async def refuses_nonsense(api: httpx.AsyncClient) -> None:
    nonsense = [
        "/v1/manifests/x/1",
        f"/v1/manifests/{'0' * 32}/99999999999999999999",
        "/v1/parked?after=x",
        "/v1/parked?limit=0",
        "/v1/parked?reason=whim", "/v1/days/2026-13-01/registrations?province=44", "/v1/parked?enterprise=%00",
        "/v1/days/2026-10-03/registrations?province=4x", "/v1/days/2026-10-03/registrations?province=44&after=zz",
        "/v1/workers/xyz/covers?at=2026-10-03T12:00:00%2B08:00",
        f"/v1/workers/{'0' * 64}/covers?at=2026-10-03T12:00:00",
        f"/v1/workers/{'0' * 64}/covers?at=0001-01-01T00:00:00Z", "/v1/orders/x%00/y?day=2026-10-03",
        f"/v1/orders/{RIDES}/y%00?day=2026-10-03", f"/v1/orders/{RIDES}/y?day=9999-12-31",
        "/v1/days/9999-12-31/employee-exclusions?province=44", f"/v1/parked?after={'9' * 18}.{'9' * 9}",
    ]  # fmt: skip
    answers = {path: (await api.get(path)).status_code for path in nonsense}
    assert {path: status for path, status in answers.items() if status >= 500} == {}


async def needs_the_key(api: httpx.AsyncClient) -> None:
    paths = ["/v1/status", "/v1/parked", f"/v1/orders/{RIDES}/o1?day=2026-10-03"]
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
        answers = [(await api.get(path, headers=headers)).status_code for path in paths]
        assert answers == [401] * 3
    pages = ("/healthz", "/readyz")
    open_pages = [(await api.get(path, headers={"Authorization": ""})).status_code for path in pages]
    assert open_pages == [200, 200]


@pytest.mark.exhaustive
async def test_an_order_without_a_tariff_line_is_charged_after_the_mend(field: Field) -> None:
    lacking = field.folder / "tariffs"
    lacking.mkdir()
    for file in (ROOT / "deploy" / "tariffs").glob("*.csv"):
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        (lacking / file.name).write_text("".join(line for line in lines if not line.startswith("234,")))
    scheme = f"{lacking}:{ROOT / 'deploy' / 'demo'}"
    async with field.worker(SCHEME=scheme) as worker:
        await field.send(*(accepted(f"o{n}") for n in range(3)), accepted("o9", acceptance_region="110105"))
        await field.has_counted(4)
        assert (await worker.get("/v1/status"))["parked"] == {"no_tariff_line": 3}
        assert await worker.post("/v1/parked/resend", reason=ParkReason.NO_TARIFF_LINE) == resent(3)
        await field.has_counted(7)
        assert (await worker.get("/v1/status"))["parked"] == {"no_tariff_line": 3}, "parked again: still to be mended"
    async with field.worker() as worker:
        assert await worker.post("/v1/parked/resend", reason="no_tariff_line", enterprise=RIDES) == resent(3)
        await field.has_counted(10)
        assert (await worker.get("/v1/status"))["parked"] == {}
        charged = "select order_id, premium, accepted_at from charging.entry where region = 440106 order by 1"
        assert await field.house.fetch(charged) == [(f"o{n}", 100, NOON) for n in range(3)]
        assert await field.house.value("select count(*) from charging.parked") == 6, "a parked event is never changed"
        assert await worker.post("/v1/parked/resend", reason="no_tariff_line") == resent(0)


@pytest.mark.exhaustive
async def test_a_large_parked_event_is_sent_again_whole(field: Field) -> None:
    large = accepted("o1")
    padded = Sent((large.value or b"").replace(b'"data"', b'"note": "' + b"x" * 3_000_000 + b'", "data"'))
    async with field.worker() as worker:
        await field.send(padded)
        await field.has_counted(1)
        assert (await worker.get("/v1/status"))["parked"] == {"too_large": 1}
    async with field.worker(MAX_EVENT_BYTES="4000000") as worker:
        assert await worker.post("/v1/parked/resend", reason="too_large") == resent(1)
        await field.has_counted(2)
        assert await field.house.fetch("select order_id, premium from charging.entry") == [("o1", 100)]
        assert orders_topic(RIDES) in {p["topic"] for p in (await worker.get("/v1/status"))["positions"]}
