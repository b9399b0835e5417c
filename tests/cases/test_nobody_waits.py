"""What cannot be done is set aside with a reason, named by an alarm, and its neighbours are done."""

from collections.abc import AsyncIterator, Collection
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from services.archive.day_by_day import try_days
from services.charging.ingest.batch_charger import BatchCharger
from services.charging.ingest.topic_pauses import ParkRateLimit, TopicPauses
from services.charging.metrics import Metrics
from services.charging.rows.batch import Batch, KeptRecord, Record
from services.charging.rows.kept_records import RESENT_HEADER
from services.charging.store.positions import Move
from services.ledger.books.open_days import read_books
from services.ledger.books.set_aside import Step, open_quarantine
from services.ledger.operations.alarms import read_alarms
from shared.adapters.postgres.faults import Fault
from shared.adapters.postgres.pool import Pool
from shared.adapters.postgres.quarantine import PATIENCE_SECONDS, Item
from shared.contracts.notices import InjuryNoticed, TotalReported
from shared.domain.calendar import SHANGHAI
from shared.domain.errors import Refused, Retry
from tests.attacks.messages.test_one_bad_item import unbuildable, values
from tests.integration.charging.charging_harness import (
    CLUSTER,
    accepted,
    migrate_charging,
    moves_of,
    open_house,
)
from tests.integration.charging.charging_harness import House as ChargingHouse
from tests.integration.ledger.ledger_harness import open_ledger
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    GREEN,
    WORKER,
    House,
    closed_day,
    first_time,
    make_keys,
    reporting_house,
    total,
)
from tests.support.waiting import eventually_async

FIRST, SECOND, THIRD = (date(2026, 10, number) for number in (1, 2, 3))
NOON: Final = datetime(2026, 10, 2, 12, tzinfo=SHANGHAI)
Opened = tuple[House, asyncpg.Connection]


@pytest.fixture
async def opened(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[Opened]:
    """Reporting, and a connection of the tables' owner."""
    async with reporting_house(database, platform_database, make_keys(tmp_path), OtherServices()) as house:
        owner = await asyncpg.connect(database)
        try:
            yield house, owner
        finally:
            await owner.close()


async def wait_for(owner: asyncpg.Connection, query: str, expected: set[Any]) -> None:
    async def is_so() -> bool:
        return await values(owner, query) == expected

    await eventually_async(is_so, query)


async def end_patience(owner: asyncpg.Connection, *items: str) -> None:
    """Let these items have failed for as long as they may."""
    await wait_for(owner, "select item from reporting.set_aside where resolved_at is null", set(items))
    earlier = timedelta(seconds=PATIENCE_SECONDS)
    await owner.execute("update reporting.set_aside set first_at = first_at - $1::interval", earlier)


async def test_a_day_that_charging_always_answers_with_an_error_holds_up_no_later_day(opened: Opened) -> None:
    """Case 8's kind: behind such a day later days, totals and injuries waited for ever."""
    house, owner = opened
    house.others.refusals[f"/v1/days/{FIRST}/findings"] = (503, "away")
    await house.receive(closed_day(FIRST, []), closed_day(SECOND, []))
    await house.receive(TotalReported(source="tax-bureau", enterprise=GREEN, day=SECOND, count=0))
    await wait_for(owner, "select item from reporting.set_aside", {str(FIRST)})
    assert await values(owner, "select day from reporting.day_examined") == set(), "a day waits for the one before"
    assert (await house.client.get("/v1/set-aside")).json()["count"] == 0, "what is expected to pass is no alarm yet"
    await end_patience(owner, str(FIRST))
    await wait_for(owner, "select day from reporting.day_examined", {SECOND})
    await wait_for(owner, "select count(*) from reporting.total_check", {1})
    finding = (await unbuildable(house))[f"examine_day.{FIRST}"]
    assert "unanswered: charging: HTTP 503: away, again and again since" in finding["detail"]
    house.others.refusals.clear()
    await house.client.post("/v1/set-aside/retry", json={})
    await wait_for(owner, "select day from reporting.day_examined", {FIRST, SECOND})
    assert (await unbuildable(house, "corrected")).keys() == {f"examine_day.{FIRST}"}


async def test_provinces_that_are_never_answered_hold_up_no_later_day(opened: Opened) -> None:
    """The builder stopped at three days without an answer, and began with the same three at its next step."""
    house, owner = opened
    bad = [date(2026, 10, number) for number in (1, 2, 3, 4)]
    for day in bad:
        house.others.refusals[f"/v1/days/{day}/registrations"] = (500, "broken")
        sums = [total(day, "charged", 9)]
        await house.receive(closed_day(day, sums, first_time=[first_time(1)]))
    good = date(2026, 10, 5)
    await house.receive(closed_day(good, [total(good, "charged", 9)]))
    await end_patience(owner, *map(str, bad[:3]))
    await wait_for(owner, "select report_id from reporting.report", {f"coverage.{good}.44"})


async def test_a_notice_about_an_archived_day_is_named_so_and_the_next_one_is_judged(opened: Opened) -> None:
    """Case 8."""
    house, owner = opened
    old, new = "cd" * 32, WORKER
    words = f"{FIRST} is archived: danbao archive restore {FIRST}"
    house.others.refusals[f"/v1/workers/{old}/covers"] = (410, words)
    notice = partial(InjuryNoticed, injured_at=NOON, noticed_at=NOON)
    await house.receive(notice(notice_id="n-1-old", worker_id=old), notice(notice_id="n-2-new", worker_id=new))
    await house.receive(closed_day(SECOND, []))
    await wait_for(owner, "select notice_id from reporting.injury_check", {"n-2-new"})
    (finding,) = (await unbuildable(house)).values()
    assert finding["detail"] == f"injury notice n-1-old cannot be checked: archived: charging: {words}"
    house.others.refusals.clear()
    await house.client.post("/v1/set-aside/retry", json={})
    await wait_for(owner, "select notice_id from reporting.injury_check", {"n-1-old", "n-2-new"})


async def test_an_item_that_goes_on_failing_is_an_alarm_by_its_name(database: str) -> None:
    """Kind A: also where what fails is expected to pass, and of any step."""
    async with open_ledger(database) as ledger:
        quarantine, item = open_quarantine(ledger.engine), Item(Step.DUTY, "late fees", None)

        async def fail(minutes_later: int) -> bool:
            async with ledger.engine.begin() as connection:
                earlier = f"update ledger.set_aside set first_at = first_at - interval '{minutes_later} min'"
                await connection.exec_driver_sql(earlier)
                return await quarantine.fail(connection, item, Retry("charging: HTTP 503"))

        async def named() -> list[str]:
            async with ledger.engine.connect() as connection:
                return await read_alarms(connection, await read_books(connection), 60.0)

        assert [await fail(0), await fail(1)] == [False, False]
        assert await named() == []
        assert [await fail(5), await fail(0)] == [True, True]
        (alarm,) = await named()
        assert alarm.startswith("set_aside: duty late fees: unanswered: charging: HTTP 503")


@pytest.fixture
async def charging(database: str) -> AsyncIterator[ChargingHouse]:
    await migrate_charging(database)
    async with open_house(database) as opened:
        yield opened


async def test_events_that_the_database_refuses_are_parked_and_the_rest_is_charged(
    charging: ChargingHouse, database: str
) -> None:
    """Kind A: such a batch ended charging for all, again after every start."""
    owner = await asyncpg.connect(database)
    await owner.execute("alter table charging.entry add constraint no_seven check (order_id not like 'bad%')")
    await owner.close()
    worker = await charging.worker()
    sent = [accepted("bad-1"), *(accepted(f"o{n}", sequence=n) for n in range(1, 40)), accepted("bad-2", sequence=77)]
    records = await charging.place(sent)
    metrics = Metrics(CollectorRegistry())
    pauses = TopicPauses(charging.pool, ParkRateLimit(10_000, 0.5, 1_000), metrics)
    charger = BatchCharger(charging.pool, worker.reader, worker.run, worker.partitions, pauses, metrics)
    await charger.charge(CLUSTER, records, moves_of(records))
    assert await charging.value("select count(*) from charging.entry where kind = 1") == 39
    parked = await charging.fetch("select reason, detail from charging.parked order by leaf_index")
    assert [row[0] for row in parked] == ["unstorable"] * 2
    assert "no_seven" in parked[0][1]
    assert await charging.value("select next_offset from charging.position") == 41


async def test_a_day_that_cannot_be_archived_is_named_and_the_next_one_is_archived() -> None:
    """Kind A; a database that is away ends the run, for it is of no single day."""

    async def archive(day: date) -> str:
        if day == SECOND:
            raise Refused(f"{day}: 2 manifests with rows of it are covered by no checkpoint yet")
        return f"rows of {day}"

    results = [done async for done in try_days([FIRST, SECOND, THIRD], archive)]
    assert [isinstance(done, Fault) for _, done in results] == [False, True, False]

    async def lose_database(_: date) -> str:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        [done async for done in try_days([FIRST], lose_database)]


def test_events_sent_again_in_vain_pause_no_topic() -> None:
    """Found besides: `danbao parked resend` of what cannot be mended paused the enterprise's topic."""
    pauses = TopicPauses(cast("Pool", None), ParkRateLimit(100, 0.5, 10), Metrics(CollectorRegistry()))
    moves = [Move("t", 0, 0, 50, 50)]

    def parked(*headers: tuple[str, bytes], arrivals: Collection[int] = ()) -> Batch:
        record = cast("Record", SimpleNamespace(topic="t", headers=headers))
        kept = [KeptRecord(index, record, "bad_value", "") for index in range(50)]
        return Batch(parked=kept, arrivals=dict.fromkeys(arrivals, 0))

    assert pauses.overruns(moves, parked((RESENT_HEADER, b"1.2"), arrivals=range(50))) == []
    assert len(pauses.overruns(moves, parked())) == 1
    assert len(pauses.overruns(moves, parked((RESENT_HEADER, b"1.2")))) == 1, "the tables decide, not the header"
