"""What a close finds odd in numbers and manifests, and what an enterprise reads about its own series."""

from datetime import date, timedelta
from typing import Any

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from services.charging.api.series_routes import make_series_router
from services.charging.cut import Batches, find_late, resolve
from services.charging.numbers.number_findings import series_findings
from services.charging.numbers.seen_ranges import Reach, account_numbers
from shared.contracts.findings import Finding
from shared.runtime.access import AccessKeys, Reader, sha256_hex
from tests.integration.charging.charging_harness import (
    NOON,
    OTHER_RIDES,
    RIDES,
    STRANGER,
    House,
    accepted,
    cancelled,
    worker,
)
from tests.integration.charging.test_charging_numbers import DAY, Closes, manifest, number

ONE = timedelta(days=1)


async def findings(house: House, day: date) -> list[Finding]:
    async with house.pool.acquire() as connection:
        return await series_findings(connection, day)


def kinds(found: list[Finding]) -> list[tuple[str, str, int]]:
    return sorted((finding.kind.value, finding.key.partition(".")[2], finding.count) for finding in found)


async def test_clean_days_raise_no_finding(house: House) -> None:
    one, close = await house.worker(), Closes(house)
    for n in range(5):
        day, first = DAY + n * ONE, 10 * n + 1
        at = NOON + n * ONE
        orders = [number(value, at + timedelta(minutes=value)) for value in range(first, first + 8)]
        orders.append(number(first + 8, at.replace(hour=23, minute=59)))
        tomorrow = number(first + 9, (at + ONE).replace(hour=0))
        employee = number(n + 1, at, series="b", employer_insurance_no="GS")
        again = number(first, at + timedelta(minutes=first, seconds=2))
        called_off = cancelled(f"o{first}", at + timedelta(minutes=first), worker_id=worker(first % 7))
        await one.charge(*orders, tomorrow, employee, orders[0], again, called_off)
        used = [(first - 1, first + 8)] if n else [(1, 9)]
        count = 10 if n else 9
        totals = [("44", count, f"{count * 0.01:.2f}")]
        await one.charge(manifest(day, used, totals=totals, more={"b": [(n + 1, n + 1)]}))
    for n in range(5):
        await close(DAY + n * ONE)
        assert await findings(house, DAY + n * ONE) == []


async def test_a_gap_at_the_end_of_a_day_is_not_judged_again_as_one_before_the_next(house: House) -> None:
    one, close = await house.worker(), Closes(house)
    await one.charge(*[number(n) for n in range(1, 9)], *[number(n, NOON + ONE) for n in range(11, 16)])
    await one.charge(manifest(DAY, [(1, 10)]), manifest(DAY + ONE, [(11, 15)]))
    reported = []
    for n in range(4):
        await close(DAY + n * ONE)
        reported += [kind for kind in kinds(await findings(house, DAY + n * ONE)) if kind[0] == "sequence_gap"]
    assert reported == [("sequence_gap", f"main.{DAY}", 2)]


async def test_each_fault_is_found_at_its_close_and_found_again_alike(house: House) -> None:
    one, close = await house.worker(), Closes(house)
    await one.charge(*[number(n) for n in (1, 2, 3, 6, 7)], accepted("other", sequence=2), number(50, uscc=OTHER_RIDES))
    await one.charge(manifest(DAY, [(1, 6)], [(7, 7)], totals=[("44", 8, "0.08"), ("11", 1, "0.01")]))
    await close(DAY)
    first = await findings(house, DAY)
    assert kinds(first) == [
        ("manifest_missing", f"{DAY}", 1),
        ("number_used_twice", f"main.{DAY}", 1),
    ]
    twice = next(finding for finding in first if finding.kind == "number_used_twice")
    assert [order.order_id for order in twice.orders] == ["o2", "other"]
    assert twice.evidence == {"series": "main", "numbers": ["2"]}
    assert next(finding for finding in first if finding.kind == "manifest_missing").enterprise == OTHER_RIDES
    tomorrow = DAY + ONE
    changed = manifest(DAY, [(1, 7)], name="second", totals=[("44", 8, "0.08")], at=NOON + 2 * ONE)
    same_id = manifest(DAY, [(1, 8)], at=NOON + 2 * ONE)
    await close(tomorrow)
    assert kinds(await findings(house, tomorrow)) == [
        ("declared_differently", f"{DAY}.11.ride_hailing", 1),
        ("declared_differently", f"{DAY}.44.ride_hailing", 2),
        ("declared_differently", f"{DAY}.series.main", 1),
        ("sequence_gap", f"main.{DAY}", 2),
    ]
    await one.charge(changed, same_id)
    await close(tomorrow + ONE)
    assert kinds(await findings(house, tomorrow + ONE)) == [
        ("manifest_changed", f"{DAY}.second", 1),
        ("manifest_changed", f"d{DAY}", 1),
        ("manifest_late", f"{DAY}.second", 1),
    ]
    await close(tomorrow + 2 * ONE)
    presumed = await findings(house, tomorrow + 2 * ONE)
    assert kinds(presumed) == [("presumed_orders", f"main.{DAY}", 2)]
    assert presumed[0].evidence == {"series": "main", "numbers": ["4-5"], "declared_used": 2}
    assert await findings(house, DAY) == first, "queried again after later closes"
    assert await findings(house, DAY + 20 * ONE) == []


async def test_numbers_at_random_are_one_finding_and_no_gaps(house: House) -> None:
    one, close = await house.worker(), Closes(house)
    await one.charge(*[number(n * n) for n in range(1, 9)], number(1, series="b"), number(3, series="b"))
    await one.charge(number(90, NOON + ONE), manifest(DAY, [(1, 64)], more={"b": [(1, 3)]}))
    async with house.pool.acquire() as connection, connection.transaction():
        cut = await resolve(connection, await house.cut())
        reach = Reach(cut, Batches([]), await find_late(connection, cut, Batches([]), DAY))
        await account_numbers(connection, DAY, reach, most_ranges=7)
    await close(DAY)
    named = kinds(await findings(house, DAY))
    assert [item for item in named if item[0] == "sequence_gap"] == [("sequence_gap", f"main.{DAY}.scattered", 1)]
    await close(DAY + ONE)
    gaps = [kind for kind in kinds(await findings(house, DAY + ONE)) if kind[0] == "sequence_gap"]
    assert gaps == [("sequence_gap", f"b.{DAY}", 1)], "nothing of a scattered series is missing"


def client_of(house: House) -> AsyncClient:
    keys = AccessKeys(
        (sha256_hex(name), Reader(name, frozenset({scope})))
        for name, scope in {
            "service": "service", "own": f"enterprise:{RIDES}", "other": f"enterprise:{OTHER_RIDES}",
            "gd": "province:44",
        }.items()
    )  # fmt: skip
    app = FastAPI()
    app.include_router(make_series_router(keys, house.pool))
    return AsyncClient(transport=ASGITransport(app), base_url="http://charging")


async def test_an_enterprise_is_told_what_became_of_every_number(house: House) -> None:
    one, close = await house.worker(), Closes(house)
    excluded = number(3, employer_insurance_no="GS")
    conflict, parked = number(2, acceptance_region="440305"), number(8, acceptance_region="999999")
    twice = accepted("other", sequence=6)
    await one.charge(number(1), number(2), excluded, number(6), conflict, parked, twice, number(10))
    await one.charge(number(20, NOON + ONE), number(1, series="b"))
    await one.charge(manifest(DAY, [(1, 3)], [(4, 4)]))
    await close(DAY)
    await close(DAY + ONE)
    async with client_of(house) as client:

        async def fetch_series(key: str, uscc: str = RIDES, **params: Any) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {key}"}
            answer = await client.get(f"/v1/enterprises/{uscc}/series", params=params, headers=headers)
            return answer.status_code, answer.json()

        status, reported = await fetch_series("own", day=str(DAY))
        assert status == 200
        assert reported["accounted_through"] == str(DAY + ONE)
        assert [series["series"] for series in reported["series"]] == ["b", "main"]
        assert [declaration["declaration_id"] for declaration in reported["declarations"]] == [f"d{DAY}"]
        main = reported["series"][1]
        assert main["ranges"] == [
            {"first": 1, "last": 1, "states": ["seen"]},
            {"first": 2, "last": 2, "states": ["seen", "conflict"]},
            {"first": 3, "last": 3, "states": ["seen", "excluded"]},
            {"first": 4, "last": 4, "states": ["declared_unused"]},
            {"first": 5, "last": 5, "states": ["missing"]},
            {"first": 6, "last": 6, "states": ["seen", "repeated"]},
            {"first": 7, "last": 7, "states": ["missing"]},
            {"first": 8, "last": 8, "states": ["parked"]},
            {"first": 9, "last": 9, "states": ["missing"]},
            {"first": 10, "last": 10, "states": ["seen"]},
        ]
        assert main["counts"] == {
            "seen": 5, "excluded": 1, "repeated": 1, "conflict": 1, "parked": 1, "scattered": 0, "declared_unused": 1,
            "missing": 3,
        }  # fmt: skip
        _, whole = await fetch_series("service", series="main", after=4, limit=2)
        assert whole["series"][0]["last"] == 20
        assert [span["first"] for span in whole["series"][0]["ranges"]] == [4, 5]
        assert whole["series"][0]["next"] == 6
        assert (await fetch_series("other", day=str(DAY)))[0] == 403
        assert (await fetch_series("gd", day=str(DAY)))[0] == 403
        assert (await fetch_series("own"))[0] == 422
        assert (await fetch_series("service", STRANGER, day=str(DAY)))[0] == 404
