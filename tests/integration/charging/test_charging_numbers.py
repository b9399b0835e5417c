"""Number accounting at the close, against sets of numbers worked out from what was sent."""

import random
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from shared.contracts.events import DayDeclared, Declaration, DeclaredSeries, DeclaredTotal, NumberRange
from shared.domain.books.number_ranges import Ranges, ranges_of_bitmap, united
from tests.integration.charging.charging_harness import NOON, OTHER_RIDES, RIDES, House, Sent, accepted, worker

DAY = NOON.date()


def number(value: int, at: datetime = NOON, **data: Any) -> Sent:
    """The acceptance with this number of a series."""
    order_id = f"{data.get('series', 'o')}{value}"
    return accepted(order_id, at, **{"sequence": value, "worker_id": worker(value % 7), **data})


def manifest(
    day: date,
    used: Iterable[tuple[int, int]],
    unused: Iterable[tuple[int, int]] = (),
    *,
    name: str = "",
    totals: Iterable[tuple[str, int, str]] = (),
    at: datetime | None = None,
    more: dict[str, list[tuple[int, int]]] | None = None,
    uscc: str = RIDES,
) -> Sent:
    """A `day.declared.v1`; totals are (province, orders, yuan) of ride-hailing. Sent in the morning after.

    `used` and `unused` are of the series main, `more` are numbers used of others.
    """
    reported = Declaration(
        declaration_id=name or f"d{day}",
        day=day,
        series=[
            DeclaredSeries(name, [NumberRange(*span) for span in some], [NumberRange(*span) for span in rest])
            for name, some, rest in [("main", used, unused), *((key, spans, ()) for key, spans in (more or {}).items())]
        ],
        totals=[DeclaredTotal(total[0], "ride_hailing", *total[1:]) for total in totals],
    )
    event = DayDeclared(specversion="1.0", id=reported.declaration_id, source=f"urn:uscc:{uscc}", data=reported)
    return Sent(msgspec.json.encode(event), at or NOON + timedelta(days=(day - DAY).days + 1, hours=-4), uscc)


class Closes:
    """Closes day after day, over everything that came."""

    def __init__(self, house: House) -> None:
        self.house, self.previous = house, dict[str, int]()

    async def __call__(self, day: date, gap_days: int = 3) -> None:
        cut = await self.house.cut()
        await self.house.close(day.isoformat(), cut, self.previous, gap_days=gap_days)
        self.previous = await self.house.cut()


async def ranges(house: House, state: str, column: str = "insured_on") -> dict[tuple[Any, ...], Ranges]:
    rows = await house.fetch(
        f"""select e.uscc, series, {column}, first, last from charging.number_range
        join charging.enterprise e on e.id = enterprise where state = $1 order by 1, 2, 3, 4""",
        state,
    )
    stored: dict[tuple[Any, ...], Ranges] = {}
    for *key, first, last in rows:
        stored.setdefault(tuple(key), []).append((first, last))
    return stored


async def gaps(house: House, *, is_presumed: bool) -> dict[tuple[date, str], Ranges]:
    stored: dict[tuple[date, str], Ranges] = {}
    sql = "select insured_on, series, first, last from charging.number_gap where is_presumed = $1 order by 1, 2, 3"
    for day, series, first, last in await house.fetch(sql, is_presumed):
        stored.setdefault((day, series), []).append((first, last))
    return stored


def as_ranges(numbers: Iterable[int]) -> Ranges:
    return united((n, n) for n in numbers)


async def test_every_number_of_random_days_is_found_where_it_belongs(house: House) -> None:
    rng, one, close = random.Random(7), await house.worker(), Closes(house)
    seen: dict[tuple[str, str, date], set[int]] = {}
    excluded: set[tuple[str, str, int]] = set()
    late: list[Sent] = []
    for n in range(4):
        events, late = late, []
        for uscc, series in ((RIDES, "a"), (RIDES, "b"), (OTHER_RIDES, "a")):
            for value in range(1 + 200 * n, 201 + 200 * n if n < 3 else 0):
                if rng.random() < 0.1:
                    continue
                data: dict[str, Any] = {"employer_insurance_no": "GS"} if rng.random() < 0.2 else {}
                event = number(value, NOON + timedelta(days=n, seconds=value), uscc=uscc, series=series, **data)
                (late if rng.random() < 0.05 else events).append(Sent(event.value, NOON + timedelta(days=5), uscc))
                seen.setdefault((uscc, series, DAY + timedelta(days=n)), set()).add(value)
                excluded |= {(uscc, series, value)} if data else set()
        await one.charge(*events)
        await close(DAY + timedelta(days=n))
    stored = await ranges(house, "seen")
    assert {key: united(spans) for key, spans in stored.items()} == {key: as_ranges(ns) for key, ns in seen.items()}
    marked = await house.fetch("""select e.uscc, series, first, excluded from charging.number_range
        join charging.enterprise e on e.id = enterprise""")
    assert excluded == {
        (uscc, series, value)
        for uscc, series, first, bits in marked
        for low, high in ranges_of_bitmap(first, bits)
        for value in range(low, high + 1)
    }
    late_ones = "select count(*) from charging.number_range where found_on > insured_on"
    assert await house.value(late_ones) > 20
    assert await ranges(house, "repeated") == {}


async def test_a_number_on_two_orders_is_repeated_and_one_sent_again_is_not(house: House) -> None:
    one, close = await house.worker(), Closes(house)
    again = number(3, NOON + timedelta(seconds=2))
    other = accepted("other", NOON, sequence=5)
    await one.charge(*[number(n) for n in range(1, 9)], again, other)
    await close(DAY)
    assert await ranges(house, "repeated") == {(RIDES, "main", None): [(5, 5)]}
    tomorrow = NOON + timedelta(days=1)
    await one.charge(accepted("next", tomorrow, sequence=7), accepted("late", NOON + timedelta(hours=1), sequence=9),
                     accepted("late2", NOON + timedelta(hours=1), sequence=2))  # fmt: skip
    await close(DAY + timedelta(days=1))
    assert await ranges(house, "repeated", "found_on") == {
        (RIDES, "main", DAY): [(5, 5)],
        (RIDES, "main", DAY + timedelta(days=1)): [(2, 2), (7, 7)],
    }


@pytest.mark.parametrize("is_first_on_the_day", [True, False])
@pytest.mark.parametrize("again", [2, 9])
@pytest.mark.parametrize("other", [5, 6])
async def test_an_order_sent_again_hides_no_number_of_two_orders(
    house: House, other: int, again: int, is_first_on_the_day: bool
) -> None:
    """With its own number or another one, which makes up for a number too few; of the day or of the day before."""
    one, close = await house.worker(), Closes(house)
    first = NOON if is_first_on_the_day else NOON - timedelta(hours=13)
    await one.charge(
        *map(number, (1, 3, 4, 5)),
        accepted("other", sequence=other),
        accepted("twice", first, sequence=2),
        accepted("twice", NOON + timedelta(minutes=1), sequence=again),
    )
    for day in (DAY - timedelta(days=1), DAY):
        await close(day)
    assert await house.value("select count(*) from charging.resend") == 1
    assert await ranges(house, "repeated") == ({(RIDES, "main", None): [(5, 5)]} if other == 5 else {})


async def test_numbers_of_parked_events_and_conflicts_are_read_from_their_bytes(house: House) -> None:
    one, close = await house.worker(), Closes(house)
    conflict = number(2, acceptance_region="440305")
    parked = number(4, acceptance_region="999999")
    unreadable = Sent(b'{"type":"order.accepted.v1","data":{"series":"main","sequence":9', NOON)
    foreign = Sent((number(6).value or b"").replace(RIDES.encode(), OTHER_RIDES.encode()), NOON)
    await one.charge(number(1), number(2), number(3), conflict, parked, unreadable, foreign, number(8))
    await close(DAY)
    assert await ranges(house, "conflict") == {(RIDES, "main", None): [(2, 2)]}
    assert await ranges(house, "parked") == {(RIDES, "main", None): [(4, 4)]}
    await close(DAY + timedelta(days=1))
    assert await gaps(house, is_presumed=False) == {(DAY, "main"): [(5, 7)]}
    assert await house.value("select count(*) from charging.number_range where found_on > $1", DAY) == 0


async def test_numbers_given_around_midnight_are_no_gap(house: House) -> None:
    one, close = await house.worker(), Closes(house)
    late, early = NOON.replace(hour=23, minute=59), NOON.replace(hour=0, minute=0) + timedelta(days=1)
    await one.charge(*[number(n) for n in range(1, 10)], number(11, late), number(13, late))
    await one.charge(*[number(n, early) for n in (10, 12, 14)])
    await one.charge(manifest(DAY, [(1, 9), (11, 11)]), manifest(DAY + timedelta(days=1), [(10, 10), (12, 14)]))
    for n in range(4):
        await close(DAY + timedelta(days=n))
    assert await gaps(house, is_presumed=False) == {}
    assert await gaps(house, is_presumed=True) == {}


async def test_a_gap_is_told_at_the_next_close_and_presumed_when_its_days_have_passed(house: House) -> None:
    one, close = await house.worker(), Closes(house)
    await one.charge(*[number(n) for n in (1, 2, 3, 7, 8, 12, 15)], manifest(DAY, [(1, 12), (15, 20)], [(13, 13)]))
    await close(DAY)
    assert await gaps(house, is_presumed=False) == {}, "numbers around midnight may come with the next day"
    await one.charge(*[number(n, NOON + timedelta(days=1)) for n in (30, 31)])
    await close(DAY + timedelta(days=1))
    assert await gaps(house, is_presumed=False) == {(DAY, "main"): [(4, 6), (9, 11), (14, 14), (16, 20)]}
    await one.charge(*[number(n, NOON + timedelta(seconds=n)) for n in (4, 10)])
    correction = manifest(DAY, [(1, 12), (15, 15)], [(13, 14), (16, 20)], name="corrected", at=NOON + timedelta(days=2))
    await one.charge(correction)
    await close(DAY + timedelta(days=2))
    assert await gaps(house, is_presumed=True) == {}
    await close(DAY + timedelta(days=3))
    assert await gaps(house, is_presumed=True) == {(DAY, "main"): [(5, 6), (9, 9), (11, 11)]}
    assert (await gaps(house, is_presumed=False))[DAY + timedelta(days=1), "main"] == [(21, 29)]
    declared = "select first from charging.number_gap where is_presumed and is_declared"
    assert await house.fetch(declared) == [(5,), (9,), (11,)]


async def test_a_day_is_accounted_for_once_whatever_the_attempt(house: House) -> None:
    one = await house.worker()
    await one.charge(number(1), number(3))
    cut = await house.cut()
    for attempt in (1, 2):
        await house.close(DAY.isoformat(), cut, {}, attempt)
    assert await house.value("select count(*) from charging.number_range") == 2
