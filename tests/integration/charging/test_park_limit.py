"""The park limit on a real broker: a poisoned topic is paused, the others go on, somebody resumes it."""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.charging.ingest.topic_pauses import ParkRateLimit, ParkRateWindow
from shared.contracts.topics import orders_topic
from tests.integration.charging.charging_harness import OTHER_RIDES, RIDES, House, Sent, accepted
from tests.integration.charging.charging_service import KEY, Field, Process, open_field
from tests.support.access_keys import write_access_keys
from tests.support.servers import Broker, client_settings
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

TOPIC = orders_topic(RIDES)
LIMIT: dict[str, Any] = {
    "BATCH_EVENTS": "20",
    "PARK_WINDOW_EVENTS": "40",
    "PARK_LIMIT_SHARE": "0.5",
    "PARK_LIMIT_COUNT": "10",
}


@pytest.fixture
async def field(house: House, fresh_broker: Broker) -> AsyncIterator[Field]:
    async with open_field(house, client_settings(fresh_broker)) as opened:
        await opened.make_topics(RIDES, OTHER_RIDES)
        yield opened


def poison(count: int) -> list[Sent]:
    return [Sent(b"poison %d" % n) for n in range(count)]


async def position(field: Field, topic: str = TOPIC) -> int:
    sql = "select coalesce(sum(next_offset), 0)::int from charging.position where topic = $1"
    return int(await field.house.value(sql, topic))


async def wait_paused(worker: Process) -> str:
    async def is_paused() -> bool:
        return TOPIC in (await worker.get("/v1/status"))["paused"]

    await eventually_async(is_paused, f"{TOPIC} to be paused")
    reason: str = (await worker.get("/v1/status"))["paused"][TOPIC]
    return reason


async def wait_position(field: Field, wanted: int, topic: str = TOPIC) -> None:
    async def is_there() -> bool:
        return await position(field, topic) == wanted

    await eventually_async(is_there, f"position {wanted} of {topic}, is {await position(field, topic)}")


async def test_a_poisoned_topic_is_paused_and_resumed_and_no_other_stops(field: Field) -> None:
    async with field.worker(**LIMIT) as worker:
        await field.send(*(accepted(f"o{n}") for n in range(20)))
        await field.has_counted(20)
        await field.send(*poison(200))
        assert "were parked; mend, then danbao parked resume" in await wait_paused(worker)
        stood_at = await position(field)
        assert 30 <= stood_at < 120, "drained, or paused at once"
        await field.send(*(accepted(f"b{n}", uscc=OTHER_RIDES) for n in range(300)))
        await wait_position(field, 300, orders_topic(OTHER_RIDES))
        assert await position(field) == stood_at
        await worker.wait_for_reason(TOPIC)
        assert f'danbao_charging_topic_paused{{topic="{TOPIC}"}} 1.0' in (await worker.api.get("/metrics")).text

        assert await worker.post(f"/v1/topics/{TOPIC}/resume") == {"topic": TOPIC, "state": "resumed"}

        async def has_moved_and_stopped_again() -> bool:
            return await position(field) > stood_at and TOPIC in (await worker.get("/v1/status"))["paused"]

        await eventually_async(has_moved_and_stopped_again, "another batch of poison, and another pause")
        while await position(field) < 220:
            at = await position(field)

            async def goes_on(at: int = at) -> bool:
                await worker.post(f"/v1/topics/{TOPIC}/resume")  # again where the pause came after the last one
                return await position(field) > at or at == 220

            await eventually_async(goes_on, "the resumed topic to be read")
        await worker.post(f"/v1/topics/{TOPIC}/resume")
        await field.send(*(accepted(f"after{n}") for n in range(5)))
        await wait_position(field, 225)
        assert await worker.post(f"/v1/topics/{TOPIC}/resume") == {"topic": TOPIC, "state": "not_paused"}
        assert await worker.is_ready()
    kinds = [row[0] for row in await field.house.fetch("select is_paused from charging.pause order by id")]
    assert kinds[:3] == [True, False, True]
    assert await field.house.value("select count(*) from charging.parked") == 200


async def test_a_pause_outlives_its_worker_and_holds_for_all(field: Field) -> None:
    async with field.worker(**LIMIT) as worker:
        await field.send(*poison(100))
        await wait_paused(worker)
        worker.kill()
    stood_at = await position(field)
    assert stood_at < 100
    async with field.worker(wait=False, **LIMIT) as second:
        await second.wait_for_reason(TOPIC)
        await field.send(*(accepted(f"b{n}", uscc=OTHER_RIDES) for n in range(5)))
        await wait_position(field, 5, orders_topic(OTHER_RIDES))
        assert await position(field) == stood_at
        assert (await second.post(f"/v1/topics/{TOPIC}/resume"))["state"] == "resumed"
        await wait_more(field, stood_at)


async def wait_more(field: Field, before: int) -> None:
    async def is_more() -> bool:
        return await position(field) > before

    await eventually_async(is_more, f"more than {before}")


async def test_another_worker_notices_a_pause_and_a_resumption(field: Field) -> None:
    async with field.worker(**LIMIT) as one, field.worker(**LIMIT) as two:
        await field.send(*poison(60))
        await wait_paused(one)
        await wait_paused(two)
        stood_at = await position(field)
        holder_unknown = (one, two)
        for process in holder_unknown:
            await process.post(f"/v1/topics/{TOPIC}/resume")
        await wait_more(field, stood_at)


async def test_some_bad_events_among_many_pause_nothing(field: Field) -> None:
    async with field.worker(**LIMIT) as worker:
        mixed = [event for n in range(60) for event in (accepted(f"o{n}"), Sent(b"bad %d" % n))]
        await field.send(*mixed)
        await field.has_counted(120)
        assert (await worker.get("/v1/status"))["paused"] == {}


async def test_an_enterprise_sees_its_own_parked_events_and_no_others(field: Field) -> None:
    keys = field.folder / "keys.toml"
    scopes = {"blue": f"enterprise:{RIDES}", "green": f"enterprise:{OTHER_RIDES}", "south": "province:44"}
    keys.write_text(
        "\n".join(
            f'[[key]]\nname = "{name}"\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\nscopes = ["{scope}"]\n'
            for name, scope in scopes.items()
        )
    )
    async with field.worker(ACCESS_KEYS=str(write_access_keys(keys, KEY))) as worker:
        await field.send(Sent(b"mine"), Sent(b"theirs", uscc=OTHER_RIDES))
        await field.has_counted(2)
        assert len((await worker.get("/v1/parked"))["parked"]) == 2
        (mine,) = await parked_as(worker, "blue")
        assert (mine["topic"], mine["reason"], mine["detail"] != "") == (TOPIC, "not_json", True)
        (theirs,) = await parked_as(worker, "green")
        assert theirs["topic"] == orders_topic(OTHER_RIDES)
        path = "/v1/parked/{}/{}"
        own, other = (path.format(*event["cursor"].split(".")) for event in (mine, theirs))
        answers = [(await asked_as(worker, "blue", url)).status_code for url in (own, other)]
        assert answers == [200, 404]
        for path in (f"/v1/parked?enterprise={OTHER_RIDES}", "/v1/status", f"/v1/orders/{RIDES}/o1?day=2026-10-03"):
            assert (await asked_as(worker, "blue", path)).status_code == 403, path
        assert (await asked_as(worker, "south", "/v1/parked")).status_code == 403
        for path in ("/v1/parked/resend", f"/v1/topics/{TOPIC}/resume", "/v1/rerate"):
            headers = {"Authorization": "Bearer blue"}
            assert (await worker.api.post(path, json={}, headers=headers)).status_code == 403, path


async def asked_as(worker: Process, key: str, path: str) -> httpx.Response:
    return await worker.api.get(path, headers={"Authorization": f"Bearer {key}"})


async def parked_as(worker: Process, key: str) -> list[dict[str, str]]:
    parked: list[dict[str, str]] = (await asked_as(worker, key, "/v1/parked")).json()["parked"]
    return parked


class TestWindows:
    """What counts towards the limit, to the event."""

    @pytest.mark.parametrize(
        ("batches", "is_over"),
        [
            ([(10, 9)], False), ([(10, 10)], True), ([(10, 5), (10, 5)], False), ([(10, 5), (10, 6)], True),
            ([(40, 40), (40, 0)], False), ([(30, 30), (10, 0)], True), ([(39, 0), (20, 12)], False),
            ([(40, 0), (40, 21)], True), ([(40, 0), (40, 20)], False),
        ],
    )  # fmt: skip
    def test_a_share_of_the_last_events(self, batches: list[tuple[int, int]], is_over: bool) -> None:
        windows = ParkRateWindow(ParkRateLimit(window_events=40, share=0.5, count=10))
        *before, last = batches
        for events, parked in before:
            windows.note(Counter(t=events), Counter(t=parked))
        overruns = windows.overruns(Counter(t=last[0], other=1), Counter(t=last[1]))
        assert [overrun.topic for overrun in overruns] == (["t"] if is_over else [])

    def test_it_begins_anew_when_forgotten(self) -> None:
        windows = ParkRateWindow(ParkRateLimit(window_events=40, share=0.5, count=10))
        windows.note(Counter(t=9), Counter(t=9))
        windows.forget("t")
        assert windows.overruns(Counter(t=9), Counter(t=9)) == []
