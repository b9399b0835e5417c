"""Clients that are slow on purpose: each step of a request has its time, and one more byte does not lengthen it."""

import asyncio

import pytest

from shared.runtime.http.limits import MOST_HEADER_BYTES
from tests.attacks.http.http_harness import SERVICES, Target, request, wire_to
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

SOON = 6.0
"""Seconds: the limit of the tests' services is 1, and the machine may be busy. Without a limit it is for ever."""


@pytest.mark.parametrize("name", SERVICES)
async def test_half_a_header_is_not_waited_for(targets: dict[str, Target], name: str) -> None:
    async with wire_to(targets[name]) as wire, asyncio.timeout(SOON):
        await wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")
        assert await wire.status() == 408
        await wire.seconds_until_closed()


async def test_a_header_that_drips_has_no_more_time(targets: dict[str, Target]) -> None:
    async with wire_to(targets["reporting"]) as wire, asyncio.timeout(SOON):
        await wire.send(b"GET /healthz HTTP/1.1\r\nX: ")

        async def is_cut_off() -> bool:
            await wire.send(b"x")
            return wire.writer.transport.is_closing() or wire.reader.at_eof()

        await eventually_async(is_cut_off, "the end of a header that drips", pause_seconds=0.2)


async def test_a_connection_on_which_nothing_is_asked_is_closed(targets: dict[str, Target]) -> None:
    async with wire_to(targets["reporting"]) as wire, asyncio.timeout(SOON):
        assert await wire.status() == 0


@pytest.mark.parametrize("name", SERVICES)
async def test_a_body_that_does_not_come_is_not_waited_for(targets: dict[str, Target], name: str) -> None:
    path = "/v1/reports" if name == "national_platform" else "/v1/worker-links"
    path = {"charging": "/v1/rerate", "ledger": "/v1/statements"}.get(name, path)
    target = targets[name]
    async with wire_to(target) as wire, asyncio.timeout(SOON):
        headers = ("Content-Length: 100", "Content-Type: application/json")
        await wire.send(request(target, path, *headers, key=target.key) + b"{")
        assert await wire.status() == 408
        await wire.seconds_until_closed()


async def test_a_client_that_does_not_read_is_cut_off(targets: dict[str, Target]) -> None:
    target = targets["reporting"]
    async with wire_to(target) as wire, asyncio.timeout(4 * SOON):
        await wire.send(request(target, "/openapi.json", method="GET", key=target.key) * 400)

        async def is_cut_off() -> bool:
            await wire.send(b"\r\n")
            return wire.writer.transport.is_closing()

        await eventually_async(is_cut_off, "the end of a connection that nobody reads from", pause_seconds=0.2)


@pytest.mark.parametrize("name", SERVICES)
async def test_a_header_has_a_limit(targets: dict[str, Target], name: str) -> None:
    async with wire_to(targets[name]) as wire, asyncio.timeout(SOON):
        await wire.send(request(targets[name], "/healthz", f"X: {'x' * 2 * MOST_HEADER_BYTES}", method="GET"))
        assert await wire.status() in {400, 431}
