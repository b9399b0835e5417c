"""Floods: what one address, or strangers together, can take of a service; who is known is answered meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from shared.adapters.run_service import make_service
from shared.runtime.http.limits import MOST_REMEMBERED
from shared.runtime.http.token_buckets import Recent, TokenBuckets
from shared.runtime.service import Service
from shared.runtime.settings import Settings
from tests.attacks.http.http_harness import SETTINGS, Target, request, wire_to
from tests.support.access_keys import opened_by
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

KEY = "key-of-the-services"
OF_ADDRESS, ALL = int(SETTINGS["DANBAO_HTTP_CONNECTIONS_OF_ADDRESS"]), int(SETTINGS["DANBAO_HTTP_CONNECTIONS"])


async def status_from(target: Target, source: str) -> int:
    async with wire_to(target, source) as wire, asyncio.timeout(5):
        await wire.send(request(target, "/healthz", method="GET"))
        return await wire.status()


async def test_one_address_does_not_take_all_connections(targets: dict[str, Target]) -> None:
    target = targets["ledger"]
    async with AsyncExitStack() as stack:
        for _ in range(OF_ADDRESS):
            await stack.enter_async_context(wire_to(target, "127.0.0.2"))
        assert await status_from(target, "127.0.0.2") == 503
        assert await status_from(target, "127.0.0.3") == 200
        for _ in range(ALL - OF_ADDRESS):
            await stack.enter_async_context(wire_to(target, "127.0.0.4"))
        assert await status_from(target, "127.0.0.5") == 503


class Slow:
    """A service with a route that answers when it is let, and a condition of readiness that counts its askers."""

    def __init__(self, **settings: Any) -> None:
        self.may_answer, self.checks, self.waiting = asyncio.Event(), 0, 0
        self.service = make_service("test", Settings(**settings), self._compose)
        self.service.keys = opened_by(KEY)

    @asynccontextmanager
    async def _compose(self, service: Service[Settings]) -> AsyncIterator[None]:
        @service.app.get("/slow")
        @service.app.get("/v1/slow")
        async def slow() -> None:
            self.waiting += 1
            await self.may_answer.wait()

        @service.app.get("/quick")
        async def quick() -> None:
            return None

        async def ready() -> str | None:
            self.checks += 1
            return "the database at postgresql://danbao:secret@10.0.0.7:5432/danbao is away"

        service.add_readiness("database", ready)
        yield

    async def are_waiting(self, count: int) -> None:
        """Return once so many requests are under way."""

        async def are() -> bool:
            return self.waiting == count

        await eventually_async(are, f"{count} requests under way")

    @asynccontextmanager
    async def client(self, address: str = "192.0.2.1", key: str = "") -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.service.app, client=(address, 1))
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            yield client


async def test_strangers_under_way_leave_room_for_who_is_known() -> None:
    slow = Slow(http_requests=8, http_requests_of_address=3)
    async with slow.service.app.router.lifespan_context(slow.service.app), AsyncExitStack() as stack:
        ours = await stack.enter_async_context(slow.client(key=KEY))
        assert (await ours.get("/openapi.json")).status_code == 200
        first = await stack.enter_async_context(slow.client("192.0.2.1"))
        other = await stack.enter_async_context(slow.client("192.0.2.2"))
        waiting = [asyncio.create_task(first.get("/slow")) for _ in range(3)]
        await slow.are_waiting(3)
        full = await first.get("/quick")
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert (await other.get("/quick")).status_code == 200
        waiting.append(asyncio.create_task(other.get("/slow")))
        await slow.are_waiting(4)
        assert (await other.get("/quick")).status_code == 503, "strangers have half of all"
        waiting += [asyncio.create_task(ours.get("/v1/slow")) for _ in range(4)]
        await slow.are_waiting(8)
        assert (await ours.get("/v1/slow")).status_code == 503
        assert (await first.get("/healthz")).status_code == 200
        slow.may_answer.set()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
        assert (await first.get("/quick")).status_code == 200


async def test_a_stranger_that_asks_too_often_waits_and_others_do_not() -> None:
    slow = Slow(http_stranger_rate=0.001, http_stranger_burst=5)
    async with slow.service.app.router.lifespan_context(slow.service.app), AsyncExitStack() as stack:
        stranger = await stack.enter_async_context(slow.client("2001:db8::1"))
        neighbour = await stack.enter_async_context(slow.client("2001:db8::2"))
        other = await stack.enter_async_context(slow.client("2001:db8:1::1"))
        ours = await stack.enter_async_context(slow.client("192.0.2.9", KEY))
        assert (await ours.get("/openapi.json")).status_code == 200
        assert [(await stranger.get("/v1/slow")).status_code for _ in range(7)] == [401] * 5 + [429] * 2
        assert (await neighbour.get("/quick")).status_code == 429, "one machine has all addresses of a /64"
        assert (await other.get("/quick")).status_code == 200
        for _ in range(20):
            assert (await ours.get("/openapi.json")).status_code == 200


async def test_readiness_is_asked_once_a_second_for_everybody_and_names_no_address() -> None:
    slow = Slow()
    async with slow.service.app.router.lifespan_context(slow.service.app), slow.client() as client:
        answers = await asyncio.gather(*(client.get("/readyz") for _ in range(100)))
        assert {answer.status_code for answer in answers} == {503}
        assert slow.checks == 1
        assert answers[0].json()["reasons"] == {"database": "the database at <address> is away"}


async def test_what_the_service_is_stays_with_who_has_a_key(targets: dict[str, Target]) -> None:
    for target in targets.values():
        async with httpx.AsyncClient(base_url=target.url) as client:
            refused = await client.get("/openapi.json")
            assert refused.status_code == 401
            assert "server" not in refused.headers
            known = await client.get("/openapi.json", headers={"Authorization": f"Bearer {target.key}"})
            assert known.status_code == 200


def test_a_bucket_fills_again() -> None:
    now = [0.0]
    buckets = TokenBuckets(2.0, 3.0, lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    now[0] = 0.5
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    buckets.give_back("a")
    assert buckets.take("a")
    now[0] = 1_000.0
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    for number in range(MOST_REMEMBERED):
        buckets.take(str(number))
    assert buckets.take("a"), "what was used longest ago is forgotten"


def test_what_was_noted_is_known_for_a_while() -> None:
    now = [0.0]
    recent = Recent(10.0, lambda: now[0])
    recent.note("a")
    assert "a" in recent
    now[0] = 11.0
    assert "a" not in recent


@pytest.mark.parametrize("path", ["/v1/slow", "/openapi.json"])
async def test_a_key_of_nobody_is_looked_up_once(path: str) -> None:
    slow = Slow()
    identified = 0
    known = slow.service.gate.identify

    async def counted(request: Any) -> Any:
        nonlocal identified
        identified += 1
        return await known(request)

    slow.service.gate.identify = counted
    async with slow.service.app.router.lifespan_context(slow.service.app), slow.client(key="nobodys") as client:
        assert {(await client.get(path)).status_code for _ in range(9)} == {401}
    assert identified == 1
