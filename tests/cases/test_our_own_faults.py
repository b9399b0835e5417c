"""What is our fault is not held against an enterprise: what we parked and sent again arrived when it first came."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta

import asyncpg
import pytest

from services.charging.close.order_findings import DayFinder
from services.charging.ingest.batch_reader import EventReader
from services.charging.queries.orders import OrderQueries
from shared.adapters.files.regions import known_regions
from shared.contracts.parking import ParkReason
from shared.contracts.topics import orders_topic
from shared.runtime import clock
from tests.integration.charging.charging_harness import (
    LIMITS,
    NOON,
    RIDES,
    House,
    Sent,
    Worker,
    accepted,
    worker,
)
from tests.integration.charging.charging_service import open_field
from tests.integration.charging.test_charging_numbers import DAY, Closes, manifest, number
from tests.support.servers import Broker, client_settings
from tests.support.waiting import eventually_async

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


async def worker_without_enrolment(house: House) -> Worker:
    """A worker whose scheme is older than the enterprise."""
    one = await house.worker()
    ids = {row["uscc"]: row["id"] for row in await house.pool.fetch("select uscc, id from charging.enterprise")}
    one.reader = EventReader(house.scheme, known_regions(), {uscc: ids[uscc] for uscc in ids.keys() - {RIDES}}, LIMITS)
    return one


async def parked_places(house: House) -> list[tuple[int, int]]:
    rows = await house.pool.fetch("select batch, leaf_index from charging.parked order by batch, leaf_index")
    return [(row["batch"], row["leaf_index"]) for row in rows]


def again(event: Sent, place: tuple[int, int], at: timedelta) -> Sent:
    """The event as it lies in the log once more, so much later, with the header that names its parked one."""
    return Sent(event.value, NOON + at, event.uscc, headers=[("danbao-parked", f"{place[0]}.{place[1]}".encode())])


async def decide(house: House, *places: tuple[int, int]) -> None:
    for place in places:
        await house.pool.execute("insert into charging.resending (batch, leaf_index) values ($1, $2)", *place)


async def send_again(house: House, one: Worker, events: Sequence[Sent], at: timedelta) -> None:
    """What the operator's command does: decide, send, note where the broker has it."""
    places = (await parked_places(house))[-len(events) :]
    await decide(house, *places)
    offset = house.offsets[orders_topic(RIDES)]
    await one.charge(*[again(event, place, at) for event, place in zip(events, places, strict=True)])
    for index, place in enumerate(places):
        await house.pool.execute("insert into charging.resent values ($1, $2, 0, $3)", *place, offset + index)


async def kinds(house: House, day: date) -> set[str]:
    reported = await DayFinder(house.pool, 600, 3).find(day)
    assert reported is not None
    return {finding.kind.value for finding in reported.findings}


async def delays(house: House) -> list[timedelta]:
    """How late each acceptance was sent; one that was sent within the minute, at once."""
    rows = await house.pool.fetch("select recorded_at - accepted_at as late from charging.entry where kind = 1")
    return [row["late"] or timedelta(0) for row in rows]


async def test_an_order_parked_for_want_of_an_enrolment_was_sent_when_it_first_came(house: House) -> None:
    """Case 7: no late acceptance, and no acceptance after the injury notice of 12:30."""
    old, mended, close = await worker_without_enrolment(house), await house.worker(), Closes(house)
    order = Sent(accepted("T-9", worker_id=worker(9)).value, NOON + 2 * MINUTE)
    await old.charge(order)
    await send_again(house, mended, [order], 6 * HOUR)
    await close(DAY)
    assert await kinds(house, DAY) == {"manifest_missing"}, "neither late nor parked"
    (cover,) = await OrderQueries(house.pool, house.scheme.order_spans).covers(worker(9), NOON + HOUR / 3)
    assert cover.recorded_at == NOON + 2 * MINUTE, "before the notice, which came half an hour later"


async def test_orders_parked_while_the_clock_of_the_broker_was_slow_are_not_late(house: House) -> None:
    """Case 23: 150 good orders of now, whose records carry a time ten minutes ago."""
    one, close = await house.worker(), Closes(house)
    orders = [Sent(number(n).value, NOON - HOUR / 6) for n in range(1, 151)]
    await one.charge(*orders)
    assert await house.value("select count(*) from charging.parked where reason = 'in_future'") == 150
    await send_again(house, one, orders, 2 * HOUR)
    await close(DAY)
    assert await kinds(house, DAY) == {"manifest_missing"}
    assert await delays(house) == [timedelta(0)] * 150


async def test_an_event_that_we_parked_does_not_grow_too_old(house: House) -> None:
    old, mended = await worker_without_enrolment(house), await house.worker()
    await old.charge(Sent(number(1).value, NOON + 2 * MINUTE))
    await send_again(house, mended, [number(1)], timedelta(days=40))
    assert await delays(house) == [2 * MINUTE]


async def test_what_is_parked_a_second_time_keeps_its_first_arrival(house: House) -> None:
    old, mended = await worker_without_enrolment(house), await house.worker()
    await old.charge(Sent(number(1).value, NOON + 2 * MINUTE))
    await send_again(house, old, [number(1)], HOUR)
    await send_again(house, mended, [number(1)], 2 * HOUR)
    assert await house.value("select count(*) from charging.parked") == 2
    assert await delays(house) == [2 * MINUTE]


async def test_a_record_that_is_read_before_its_place_is_noted_is_known(house: House) -> None:
    old, mended = await worker_without_enrolment(house), await house.worker()
    await old.charge(Sent(number(1).value, NOON + 2 * MINUTE))
    (place,) = await parked_places(house)
    await decide(house, place)
    await mended.charge(again(number(1), place, HOUR))
    assert await delays(house) == [2 * MINUTE]


async def test_a_manifest_that_counts_what_we_parked_differs_by_our_fault(house: House) -> None:
    """The declared comparison: two of three orders lie parked for want of an enrolment."""
    old, one, close = await worker_without_enrolment(house), await house.worker(), Closes(house)
    await old.charge(number(2), number(3))
    await one.charge(number(1), manifest(DAY, [(1, 3)], totals=[("44", 3, "0.03")]))
    await close(DAY)
    await close(DAY + timedelta(days=1))
    reported = await DayFinder(house.pool, 600, 3).find(DAY + timedelta(days=1))
    assert reported is not None
    (finding,) = [finding for finding in reported.findings if finding.kind == "declared_differently"]
    assert (finding.count, finding.evidence["parked"], finding.evidence["fault"]) == (2, 2, "ours")


async def test_events_that_we_lost_and_the_enterprise_sent_again_are_late_by_our_fault(house: House) -> None:
    one, close = await house.worker(), Closes(house)
    await one.charge(Sent(number(1).value, NOON + HOUR))
    owner = await asyncpg.connect(house.owner_url)
    await owner.execute(
        """insert into charging.moved_on (cluster_id, topic, partition, first_offset, from_offset, to_offset, events,
            reason, who, why, moved_at) values ('cluster', $1, 0, 0, 0, 5, 0, 'expired', 'anna', 'retention', $2)""",
        orders_topic(RIDES), NOON + HOUR / 2,
    )  # fmt: skip
    await owner.close()
    await close(DAY)
    reported = await DayFinder(house.pool, 600, 3).find(DAY)
    assert reported is not None
    (late,) = [finding for finding in reported.findings if finding.kind == "late_acceptances"]
    assert (late.evidence["fault"], len(late.evidence["outages"])) == ("ours", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("forgery", ["no decision", "another place", "other bytes", "no such event", "no place"])
async def test_an_enterprise_cannot_date_its_own_arrival_back(house: House, forgery: str) -> None:
    """The header is the sender's word; the tables say whether the operator sent this record."""
    old, mended, close = await worker_without_enrolment(house), await house.worker(), Closes(house)
    await old.charge(Sent(number(1).value, NOON + 2 * MINUTE))
    (place,) = await parked_places(house)
    sent = again(number(1), place, HOUR)
    if forgery != "no decision":
        await decide(house, place)
    if forgery == "another place":
        await house.pool.execute("insert into charging.resent values ($1, $2, 0, 1000)", *place)
    if forgery == "other bytes":
        sent = again(number(2), place, HOUR)
    if forgery in {"no such event", "no place"}:
        header = b"9" * 18 + b".1" if forgery == "no such event" else b"9" * 30 + b".x"
        sent = Sent(sent.value, sent.at, headers=[("danbao-parked", header)])
    await mended.charge(sent)
    assert await delays(house) == [HOUR]
    await close(DAY)
    assert "late_acceptances" in await kinds(house, DAY)


async def test_the_command_keeps_the_first_arrival_on_a_broker(house: House, fresh_broker: Broker) -> None:
    """Cases 7 and 23: through Kafka, with the service and its route."""
    async with open_field(house, client_settings(fresh_broker)) as field:
        await field.make_topics(RIDES)
        now = clock.now().astimezone(NOON.tzinfo).replace(microsecond=0)
        slow = now - HOUR / 6
        async with field.worker() as process:
            await field.send(Sent(accepted("o1", now).value, slow))
            await eventually_async(all_of(house, "select count(*) from charging.parked", 1), "a parked event")
            answer = await process.post("/v1/parked/resend", reason=ParkReason.IN_FUTURE.value)
            assert answer["resent"] == 1
            await eventually_async(all_of(house, "select count(*) from charging.entry", 1), "the order charged")
    assert await delays(house) == [timedelta(0)]


def all_of(house: House, sql: str, wanted: int) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return bool(await house.value(sql) == wanted)

    return is_so
