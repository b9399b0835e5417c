"""The count of a close, against a second ledger that books manifests by the rules and nothing else."""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from shared.contracts.manifests import DayCounted, PremiumsCharged, Total
from tests.integration.charging.charging_harness import (
    BEIJING,
    FREIGHT,
    GUANGDONG,
    NOON,
    OTHER_RIDES,
    RIDES,
    House,
    Sent,
    accepted,
    cancelled,
    completed,
    worker,
)

Line = tuple[object, ...]
DAYS = [date(2026, 10, 1) + timedelta(days=n) for n in range(4)]


def line_of(total: Total) -> Line:
    return (
        total.insured_on, total.enterprise, total.province, total.industry, total.tariff_line, total.outcome.value,
        total.reason,
    )  # fmt: skip


@dataclass
class Books:
    """A ledger of a page: posting day of a total is its insured day while that is open, else the oldest open day."""

    open_from: date
    cut: dict[str, int] = field(default_factory=dict)
    previous: dict[str, int] = field(default_factory=dict)
    posted: dict[date, Counter[Line]] = field(default_factory=dict)

    def book(self, manifest: PremiumsCharged) -> None:
        if manifest.number <= self.cut.get(manifest.run, 0):
            return
        assert manifest.number == self.cut.get(manifest.run, 0) + 1
        self.cut[manifest.run] = manifest.number
        for total in manifest.totals:
            if total.outcome.value in ("charged", "excluded", "reversed"):
                assert total.insured_on is not None
                day = self.posted.setdefault(max(total.insured_on, self.open_from), Counter())
                day[line_of(total)] += total.orders
                day[(*line_of(total), "premium")] += total.premium

    def close(self, answer: DayCounted) -> None:
        """Book what was settled for the close, then compare and go on."""
        if answer.settlement is not None:
            self.book(answer.settlement)
        counted: Counter[Line] = Counter()
        for total in answer.totals:
            counted[line_of(total)] += total.orders
            counted[(*line_of(total), "premium")] += total.premium
        assert counted == self.posted.get(answer.day, Counter())
        self.previous = dict(self.cut)
        self.open_from = answer.day + timedelta(days=1)


async def published(house: House) -> list[PremiumsCharged]:
    sql = "select payload from charging.outbox where topic = 'premiums.charged.v1' order by id"
    return [msgspec.json.decode(row[0], type=PremiumsCharged) for row in await house.fetch(sql)]


def some_events(rng: random.Random, known: list[tuple[str, datetime, dict[str, Any]]]) -> list[Sent]:
    """New orders of any of the days, repeats, re-sends, ends of known ones in any order."""
    sent: list[Sent] = []
    for _ in range(rng.randrange(1, 25)):
        kind = rng.random()
        if kind < 0.55 or not known:
            at = NOON.replace(day=1) + timedelta(days=rng.randrange(4), seconds=rng.randrange(-43_200, 43_200))
            uscc = rng.choice([RIDES, OTHER_RIDES, FREIGHT])
            data: dict[str, Any] = {
                "uscc": uscc, "industry": "intracity_freight" if uscc == FREIGHT else "ride_hailing",
                "acceptance_region": rng.choice([GUANGDONG, BEIJING, "370102"]), "worker_id": worker(rng.randrange(9)),
            }  # fmt: skip
            if rng.random() < 0.2:
                data["employer_insurance_no"] = "GS"
            known.append((f"o{len(known)}", at, data))
            order = known[-1]
            if rng.random() < 0.7:
                sent.append(accepted(order[0], order[1], **data))
            continue
        name, at, data = rng.choice(known)
        if kind < 0.7:
            sent.append(accepted(name, at, **data))
        elif kind < 0.78:
            sent.append(accepted(name, at + timedelta(hours=rng.choice([-20, -3, 3, 20])), **data))
        elif kind < 0.9:
            sent.append(cancelled(name, at, rng.choice([5, 59, 60, 500]), departed=rng.random() < 0.3, **data))
        else:
            sent.append(completed(name, at, **data))
    # The record time of all of them is late enough for the ends.
    return [Sent(event.value, NOON.replace(day=9), event.uscc) for event in sent]


@pytest.mark.parametrize("seed", range(4))
async def test_the_count_of_every_close_is_what_a_ledger_has_booked(house: House, seed: int) -> None:
    rng = random.Random(seed)
    workers = [await house.worker() for _ in range(2)]
    books, known = Books(DAYS[0]), list[tuple[str, datetime, dict[str, Any]]]()

    async def some_batches(count: int) -> None:
        for _ in range(count):
            one = rng.choice(workers)
            if rng.random() < 0.25:
                await one.settle()
            else:
                await one.charge(*some_events(rng, known), use_copy=rng.random() < 0.5)

    for day in DAYS:
        await some_batches(8)
        for manifest in await published(house):
            books.book(manifest)
        cut = dict(books.cut)
        await some_batches(4)  # outside the cut
        answers = [await house.close(day.isoformat(), cut, books.previous, attempt) for attempt in (1, 2, 1)]
        assert msgspec.json.encode(answers[0]) == msgspec.json.encode(answers[2])
        same = msgspec.structs.replace(answers[0], attempt=2, question=answers[1].question)
        assert answers[1] == same, "another attempt, the same count"
        books.close(answers[0])
        check_workers(answers[0], await stored_workers(house, answers[0], cut, books.previous))


async def stored_workers(
    house: House, answer: DayCounted, cut: dict[str, int], with_settlement: dict[str, int]
) -> dict[tuple[str | None, str], set[bytes]]:
    """Workers charged on the day itself within the cut, by enterprise and province."""
    sql = """select run, number, e.uscc, lpad((region / 10000)::text, 2, '0'), int8send(worker_key) || worker_rest
        from charging.entry join charging.manifest using (batch) join charging.run on run_id = run.id
        join charging.enterprise e on e.id = enterprise
        where kind = 1 and reason = 0 and (accepted_at at time zone 'Asia/Shanghai')::date = $1"""
    tokens: dict[tuple[str | None, str], set[bytes]] = {}
    for run, number, uscc, province, token in await house.fetch(sql, answer.day):
        if number <= cut.get(run, 0):
            tokens.setdefault((uscc, province), set()).add(token)
            tokens.setdefault((None, province), set()).add(token)
    return tokens


def check_workers(answer: DayCounted, expected: dict[tuple[str | None, str], set[bytes]]) -> None:
    reported = {(w.enterprise, w.province): w.workers for w in answer.workers if w.insured_on == answer.day}
    assert reported == {key: len(tokens) for key, tokens in expected.items()}


async def test_late_rows_are_amendments_that_name_their_day_and_their_new_workers(house: House) -> None:
    one = await house.worker()
    yesterday = NOON - timedelta(days=1)
    await one.charge(accepted("o1", yesterday, worker_id=worker(1)), accepted("o2", yesterday, worker_id=worker(2)))
    first_cut = await house.cut()
    await house.close("2026-10-02", first_cut)
    late = [accepted("o3", yesterday, worker_id=worker(2)), accepted("o4", yesterday, worker_id=worker(3))]
    await one.charge(*late, accepted("o5", yesterday, worker_id=worker(3), uscc=OTHER_RIDES))
    counted = await house.close("2026-10-03", previous=first_cut)
    reported = {(str(t.insured_on), t.enterprise, t.outcome.value): t.orders for t in counted.totals}
    assert reported == {("2026-10-02", RIDES, "charged"): 2, ("2026-10-02", OTHER_RIDES, "charged"): 1}
    workers = {(str(w.insured_on), w.enterprise): w.workers for w in counted.workers}
    assert workers == {("2026-10-02", RIDES): 1, ("2026-10-02", OTHER_RIDES): 1, ("2026-10-02", None): 1}
    assert [(f.province, f.workers) for f in counted.first_time] == [("44", 1)]


async def test_acceptances_are_counted_by_hour_of_their_day_in_shanghai(house: House) -> None:
    one = await house.worker()
    midnight = NOON.replace(hour=0)
    first, last = accepted("o1", midnight), accepted("o2", midnight + timedelta(hours=24, microseconds=-1))
    employee = accepted("o3", midnight + timedelta(hours=23), employer_insurance_no="1")
    ended = completed("o2", midnight + timedelta(hours=24, microseconds=-1))
    await one.charge(first, last, employee, ended, accepted("o4", acceptance_region=BEIJING))
    first_cut = await house.cut()
    counted = await house.close("2026-10-03", first_cut)
    reported = {(str(h.insured_on), h.enterprise, h.province): h.orders for h in counted.hours}
    assert reported == {
        ("2026-10-03", RIDES, "11"): [0] * 12 + [1] + [0] * 11,
        ("2026-10-03", RIDES, "44"): [1] + [0] * 22 + [2],
    }
    await one.charge(accepted("late", midnight + timedelta(hours=7)))
    counted = await house.close("2026-10-04", previous=first_cut)
    assert [(str(h.insured_on), h.province, h.orders.index(1), sum(h.orders)) for h in counted.hours] == [
        ("2026-10-03", "44", 7, 1)
    ]


async def test_a_worker_is_new_in_a_province_once(house: House) -> None:
    one = await house.worker()
    at = [NOON + timedelta(days=n) for n in range(3)]
    await one.charge(accepted("o1", at[0]), accepted("x", at[0], employer_insurance_no="1", worker_id=worker(5)))
    cut = await house.cut()
    first = await house.close("2026-10-03", cut)
    await one.charge(accepted("o2", at[1]), accepted("o3", at[1], acceptance_region=BEIJING))
    await one.charge(accepted("o4", at[1], worker_id=worker(5)))
    second = await house.close("2026-10-04", previous=cut)
    assert [(f.province, f.workers) for f in first.first_time] == [("44", 1)]
    assert [(f.province, f.workers) for f in second.first_time] == [("11", 1), ("44", 1)]


async def test_rows_outside_the_cut_belong_to_the_next_day(house: House) -> None:
    one, two = await house.worker(), await house.worker()
    await one.charge(accepted("o1"))
    cut = await house.cut()
    await one.charge(accepted("o2"))
    await two.charge(accepted("o3"))
    counted = await house.close("2026-10-03", cut)
    assert [(t.orders, t.premium) for t in counted.totals] == [(1, 100)]
    following = await house.close("2026-10-04", previous=cut)
    assert [(str(t.insured_on), t.orders) for t in following.totals] == [("2026-10-03", 2)]


async def test_a_day_without_an_order_is_counted_too(house: House) -> None:
    counted = await house.close("2026-10-03", {"0" * 32: 7})
    assert (counted.totals, counted.workers, counted.first_time, counted.settlement) == ([], [], [], None)
