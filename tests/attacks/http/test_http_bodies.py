"""Bodies of requests: nobody without a key has one read, and nobody at all has more of one read than its route says."""

import asyncio

import pytest

from shared.runtime.http.limits import BODY_BYTES, KIB, MIB, MOST_BODY_BYTES, BodyLimits
from tests.attacks.http.http_harness import SERVICES, Target, Wire, request, wire_to

pytestmark = pytest.mark.exhaustive

ROUTES = {
    "charging": "/v1/rerate",
    "ledger": "/v1/statements",
    "reporting": "/v1/reconciliations",
    "national_platform": "/v1/reports",
}
BLOCK = b"[]," * 21_845
GROWTH = 24 * MIB
"""Most that a process may grow under a body: it was more than 200 MiB under one of 20 MiB."""


async def pour(wire: Wire, size: int, *, is_chunked: bool) -> None:
    """Send a body of an array that never ends."""
    for _ in range(0, size, len(BLOCK)):
        await wire.send(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK) if is_chunked else BLOCK)


async def is_alive(target: Target) -> bool:
    async with wire_to(target) as wire:
        await wire.send(request(target, "/healthz", method="GET"))
        async with asyncio.timeout(2):
            return await wire.status() == 200


@pytest.mark.parametrize("size", [20 * MIB, 64 * MIB])
@pytest.mark.parametrize("name", SERVICES)
async def test_a_large_body_without_a_key_is_not_read(targets: dict[str, Target], name: str, size: int) -> None:
    target = targets[name]
    target.forget_peak()
    before = target.resident_bytes()
    for headers, is_chunked in (
        ([f"Content-Length: {size}", "Content-Type: application/json"], False),
        (["Transfer-Encoding: chunked", "Content-Type: application/json"], True),
    ):
        async with wire_to(target) as wire:
            await wire.send(request(target, ROUTES[name], *headers))
            pouring = asyncio.create_task(pour(wire, size, is_chunked=is_chunked))
            assert await wire.status() == (401 if is_chunked or size <= BodyLimits(name).largest else 413)
            assert await is_alive(target)
            await pouring
    assert target.peak_bytes() - before < GROWTH


@pytest.mark.parametrize("name", SERVICES)
async def test_the_key_is_asked_for_before_the_body(targets: dict[str, Target], name: str) -> None:
    """The answer comes though no byte of the body does."""
    for key in ("", "a-key-that-nobody-gave"):
        async with wire_to(targets[name]) as wire:
            await wire.send(request(targets[name], ROUTES[name], "Content-Length: 100", key=key))
            assert await wire.status() == 401


@pytest.mark.parametrize("name", SERVICES)
async def test_a_body_that_does_not_say_its_length_is_read_up_to_the_limit(
    targets: dict[str, Target], name: str
) -> None:
    target = targets[name]
    target.forget_peak()
    before = target.resident_bytes()
    async with wire_to(target) as wire:
        headers = ("Transfer-Encoding: chunked", "Content-Type: application/json", "Idempotency-Key: x")
        await wire.send(request(target, ROUTES[name], *headers, key=target.key))
        pouring = asyncio.create_task(pour(wire, 32 * MIB, is_chunked=True))
        assert await wire.status() == 413
        await pouring
    assert target.peak_bytes() - before < GROWTH + 4 * BodyLimits(name).of(ROUTES[name])


@pytest.mark.parametrize("name", SERVICES)
async def test_a_body_of_nothing_but_depth_is_refused_at_once(targets: dict[str, Target], name: str) -> None:
    target, body = targets[name], b"[" * (MOST_BODY_BYTES - 1)
    async with wire_to(target) as wire, asyncio.timeout(2):
        headers = (f"Content-Length: {len(body)}", "Content-Type: application/json")
        await wire.send(request(target, ROUTES[name], *headers, key=target.key) + body)
        assert 400 <= await wire.status() < 500


def test_a_route_has_the_limit_of_the_table() -> None:
    assert BodyLimits("charging").of("/v1/trials") == 512 * KIB
    assert BodyLimits("charging").of("/v1/days/2026-10-01/counted-before") == 1 * MIB
    assert BodyLimits("charging").of("/v1/days/2026/10/counted-before") == MOST_BODY_BYTES
    assert BodyLimits("national_platform").of("/v1/reports") == 16 * MIB
    assert BodyLimits("national_platform").of("/v1/reports/") == MOST_BODY_BYTES
    assert {most > MOST_BODY_BYTES for routes in BODY_BYTES.values() for most in routes.values()} == {True}
