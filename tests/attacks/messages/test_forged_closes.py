"""Forged questions and answers of a close: none takes the place of a true one, and none is waited for without end."""

from collections.abc import AsyncIterator
from datetime import date

import httpx
import msgspec
import pytest

from services.charging.close.take_closing import ClosingRules
from services.ledger.books.missing_manifests import fill_gaps
from services.ledger.books.open_days import read_books
from services.ledger.operations.alarms import read_alarms
from shared.contracts.manifests import DayClosing, DayCounted, Outcome, PremiumsCharged, question_hash
from shared.contracts.quarantine import QuarantineReason
from shared.contracts.topics import DAYS_CLOSING, DAYS_COUNTED, MANIFESTS
from shared.domain.calendar import day_start
from tests.attacks.messages.poison_readers import Readers, charging_readers, ledger_readers
from tests.integration.charging.charging_harness import House, accepted, cancelled
from tests.integration.ledger.ledger_harness import OPENED_ON, OTHER, Ledger, manifest, total
from tests.support.authors import AUTHORS

DAY = date(2026, 10, 3)
STRANGER = "f" * 32


@pytest.fixture
async def readers(database: str) -> AsyncIterator[Readers]:
    async with ledger_readers(database) as opened:
        yield opened


def ledger_of(readers: Readers) -> Ledger:
    assert readers.ledger is not None
    return readers.ledger


async def answers_of(house: House) -> list[DayCounted]:
    rows = await house.fetch("select payload from charging.outbox where topic = 'days.counted.v1' order by id")
    return [msgspec.json.decode(payload, type=DayCounted) for (payload,) in rows]


async def published(house: House) -> list[PremiumsCharged]:
    rows = await house.fetch("select payload from charging.outbox where topic = 'premiums.charged.v1' order by id")
    return [msgspec.json.decode(payload, type=PremiumsCharged) for (payload,) in rows]


async def test_a_question_before_the_day_is_over_is_quarantined(house: House) -> None:
    charging = charging_readers(house)
    early = DayClosing(day=DAY, attempt=1, cut={}, previous_cut={})
    fault = await charging.read(DAYS_CLOSING, early, day_start(DAY))
    assert fault is not None
    assert fault.reason == QuarantineReason.ABSURD
    assert await answers_of(house) == []


async def test_an_absurd_cut_is_quarantined_and_the_next_question_answered(house: House) -> None:
    charging, worker = charging_readers(house), await house.worker()
    await worker.charge(accepted("o1"))
    cut = await house.cut()
    beyond = {run: number + 1 for run, number in cut.items()}
    for odd in (
        DayClosing(day=DAY, attempt=1, cut=cut | {STRANGER: 1}, previous_cut={}),
        DayClosing(day=DAY, attempt=1, cut=beyond, previous_cut={}),
        DayClosing(day=DAY, attempt=1, cut={}, previous_cut=cut),
    ):
        fault = await charging.read(DAYS_CLOSING, odd)
        assert fault is not None
        assert fault.reason == QuarantineReason.ABSURD
    assert await charging.read(DAYS_CLOSING, DayClosing(day=DAY, attempt=1, cut=cut, previous_cut={})) is None
    (answer,) = await answers_of(house)
    assert sum(total.orders for total in answer.totals) == 1
    two = charging_readers(house, ClosingRules(is_alone=False))
    of_two = DayClosing(day=DAY, attempt=1, cut=cut | {STRANGER: 1}, previous_cut={})
    assert await two.read(DAYS_CLOSING, of_two) is None


async def test_a_forged_question_takes_neither_the_answer_nor_the_settlement_of_the_true_one(house: House) -> None:
    charging, worker = charging_readers(house), await house.worker()
    await worker.charge(accepted("o1"), cancelled("o1"))
    forged = DayClosing(day=DAY, attempt=1, cut={}, previous_cut={})
    assert await charging.read(DAYS_CLOSING, forged) is None
    first = await house.cut()
    half = DayClosing(day=DAY, attempt=1, cut=first, previous_cut={})
    assert await charging.read(DAYS_CLOSING, half) is None
    await worker.charge(accepted("o2"), cancelled("o2"))
    true = DayClosing(day=DAY, attempt=1, cut=await house.cut(), previous_cut={})
    for _ in range(2):
        assert await charging.read(DAYS_CLOSING, true) is None
    answers = await answers_of(house)
    assert [answer.question for answer in answers] == [question_hash(closing) for closing in (forged, half, true, true)]
    assert answers[2] == answers[3]
    assert answers[0].settlement is None
    settlements = [answer.settlement for answer in answers[1:3]]
    assert all(settlement is not None and settlement.totals[0].orders == 1 for settlement in settlements)
    reported = await published(house)
    # With either of these cuts in the ledger's close, the other settlement reaches the books as an ordinary manifest.
    assert all(settlement in reported for settlement in settlements)
    again = msgspec.structs.replace(true, attempt=2)
    assert await charging.read(DAYS_CLOSING, again) is None
    assert (await answers_of(house))[-1].settlement == settlements[1]


async def test_an_answer_to_another_question_is_refused_and_the_day_can_still_be_closed(readers: Readers) -> None:
    ledger = ledger_of(readers)
    await ledger.begin_close(OPENED_ON)
    right = ledger.charging.count(await ledger.last_closing())
    other = question_hash(DayClosing(day=OPENED_ON, attempt=1, cut={}, previous_cut={STRANGER: 1}))
    fault = await readers.read(DAYS_COUNTED, msgspec.structs.replace(right, question=other))
    assert fault is not None
    assert fault.reason == QuarantineReason.UNEXPECTED
    again = await ledger.begin_close(OPENED_ON)
    assert (again.state, again.reason) == ("closing", "attempt 2: an answer was refused")
    closing = await ledger.last_closing()
    answer = msgspec.structs.replace(ledger.charging.count(closing), question=question_hash(closing))
    assert await readers.read(DAYS_COUNTED, answer) is None
    assert await ledger.value("select attempt from ledger.day_closed") == 2


async def test_a_wrong_first_answer_leaves_nothing_and_the_next_attempt_closes_the_day(readers: Readers) -> None:
    ledger = ledger_of(readers)
    await ledger.charge("a" * 32, total(orders=10))
    await ledger.begin_close(OPENED_ON)
    closing = await ledger.last_closing()
    right = ledger.charging.count(closing)
    made_up = manifest("e" * 32, 1, [total(Outcome.REVERSED, 3)])
    wrong = msgspec.structs.replace(right, settlement=made_up, totals=[total(orders=1, enterprise=OTHER)])
    assert await readers.read(DAYS_COUNTED, wrong) is None
    assert await ledger.value("select count(*) from ledger.manifest_booked where run = :run", run="e" * 32) == 0
    fault = await readers.read(DAYS_COUNTED, right)
    assert fault is not None
    assert fault.reason == QuarantineReason.DIFFERENT_CONTENT
    assert (await ledger.begin_close(OPENED_ON)).reason == "attempt 2: the last count differed"
    assert await readers.read(DAYS_COUNTED, ledger.charging.count(await ledger.last_closing())) is None
    assert await ledger.value("select orders from ledger.day_closed") == 10


async def test_a_settlement_of_an_unknown_run_expires_and_the_true_answer_closes_the_day(readers: Readers) -> None:
    ledger = ledger_of(readers)
    await ledger.charge("a" * 32, total(orders=10))
    await ledger.begin_close(OPENED_ON)
    right = ledger.charging.count(await ledger.last_closing())
    made_up = manifest(STRANGER, 7, [total(Outcome.REVERSED, 3)])
    fault = await readers.read(DAYS_COUNTED, msgspec.structs.replace(right, settlement=made_up))
    assert fault is not None
    assert fault.reason == QuarantineReason.EXPIRED
    assert await readers.read(DAYS_COUNTED, right) is None
    assert await ledger.value("select count(*) from ledger.day_closed") == 1
    # Messages stored in the inbox wait for unknown numbers: the wait has an end.
    knows_nothing = httpx.MockTransport(lambda _: httpx.Response(404))
    async with httpx.AsyncClient(transport=knows_nothing, base_url="http://charging") as nobody:
        await fill_gaps(ledger.engine, AUTHORS, nobody, wait_seconds=3_600)
        assert await ledger.value("select count(*) from ledger.manifest_inbox") == 1
        await fill_gaps(ledger.engine, AUTHORS, nobody, wait_seconds=0)
    assert await ledger.value("select count(*) from ledger.manifest_inbox") == 0
    async with ledger.engine.connect() as connection:
        alarms = await read_alarms(connection, await read_books(connection), 60)
    assert alarms == [f"message_refused: {topic}: expired: 1" for topic in (DAYS_COUNTED, MANIFESTS)]


async def test_a_manifest_of_a_made_up_deployment_claims_no_enterprise(readers: Readers) -> None:
    ledger = ledger_of(readers)
    west = msgspec.structs.replace(manifest(STRANGER, 1, [total()]), deployment="west")
    fault = await readers.read(MANIFESTS, west)
    assert fault is not None
    assert fault.reason in {QuarantineReason.UNSIGNED, QuarantineReason.WRONG_AUTHOR}
    assert await readers.read(MANIFESTS, manifest("a" * 32, 1, [total(orders=10)])) is None
    assert await ledger.value("select sum(orders) from ledger.day_line") == 10
