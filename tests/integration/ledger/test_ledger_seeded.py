"""A week driven by a seed: shuffled, repeated and late manifests, settlements at any time, every close equal.

A failing run is one seed.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest

from services.ledger.billing.issue_statements import issue_statements
from services.ledger.books.booking import book_all_waiting
from shared.contracts.manifests import Outcome, PremiumsCharged, Total
from shared.domain.calendar import Month, day_start
from tests.integration.ledger.ledger_harness import ENTERPRISE, OTHER, Ledger, new_run, open_ledger, total
from tests.support.deployed_calendar import deployed_calendar

OPENED_ON, LAST = date(2026, 9, 24), date(2026, 9, 30)
SEPTEMBER = Month(2026, 9)


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database, OPENED_ON) as opened:
        yield opened


class Week:
    """Seven days of manifests; remembers what it charged, so that it never reverses more."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger, self.random = ledger, random.Random(seed)
        self.runs = [new_run() for _ in range(3)]
        self.settling = new_run()
        self.charged: Counter[tuple[date, str, str]] = Counter()
        self.on_the_way: list[PremiumsCharged] = []

    def some_day(self, today: date) -> date:
        """Mostly today, sometimes a little ahead of the close, sometimes late."""
        days = self.random.choice([0, 0, 0, 0, 1, -1, -2, -5])
        return min(max(today + timedelta(days=days), OPENED_ON - timedelta(days=3)), LAST)

    def write_orders(self, today: date) -> None:
        """A batch of one worker."""
        totals = []
        for _ in range(self.random.randint(0, 5)):
            key = (self.some_day(today), self.random.choice([ENTERPRISE, OTHER]), self.random.choice(["31", "44"]))
            orders = self.random.randint(1, 50)
            self.charged[key] += orders
            totals.append(total(orders=orders, day=key[0], enterprise=key[1], province=key[2], base=733))
            totals.append(total(Outcome.EXCLUDED, orders, day=key[0], enterprise=key[1], province=key[2], reason="x"))
        totals.append(total(Outcome.PARKED, 1, day=None, reason="not_json"))
        self.on_the_way.append(self.ledger.charging.write(self.random.choice(self.runs), *totals))

    def reversals(self) -> list[Total]:
        """Some of what was charged and not reversed yet."""
        reversals = []
        for key in self.random.sample(sorted(self.charged), min(2, len(self.charged))):
            if orders := self.random.randint(0, self.charged[key]):
                self.charged[key] -= orders
                day, enterprise, province = key
                reversals.append(
                    total(Outcome.REVERSED, orders, day=day, enterprise=enterprise, province=province, base=733)
                )
        return reversals

    def write_settlement(self) -> None:
        """A settling step between closes."""
        if totals := self.reversals():
            self.on_the_way.append(self.ledger.charging.write(self.settling, *totals))

    async def deliver(self, share: float) -> None:
        """Deliver some of what is on the way, in any order, some of it twice."""
        self.random.shuffle(self.on_the_way)
        count = int(len(self.on_the_way) * share)
        now, self.on_the_way = self.on_the_way[:count], self.on_the_way[count:]
        for one in now:
            assert await self.ledger.take(one) in {"booked", "waiting"}
            if self.random.random() < 0.2:
                assert await self.ledger.take(one) in {"already_booked", "waiting"}

    async def live(self, today: date) -> None:
        """One day and its close, with traffic before, during and after the freeze."""
        for _ in range(self.random.randint(2, 8)):
            self.write_orders(today)
            if self.random.random() < 0.4:
                self.write_settlement()
        await self.deliver(0.7)
        assert (await self.ledger.begin_close(today)).state == "closing"
        self.write_settlement()
        await self.deliver(0.5)
        if self.random.random() < 0.6 and (totals := self.reversals()):
            self.ledger.charging.settle_at_close(today, *totals)
        assert await self.ledger.answer() == "closed"


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_the_order_every_close_is_equal_and_the_month_adds_up(ledger: Ledger, seed: int) -> None:
    week = Week(ledger, seed)
    for offset in range(7):
        day = OPENED_ON + timedelta(days=offset)
        await week.live(day)
    await week.deliver(1.0)
    await book_all_waiting(ledger.engine)
    assert await ledger.close(LAST + timedelta(days=1)) == "closed"
    assert await ledger.value("select count(*) from ledger.manifest_inbox") == 0

    sums = await ledger.rows("""select insured_on, enterprise, province,
        sum(case outcome when 'charged' then orders else -orders end)::bigint from ledger.day_line
        where outcome in ('charged', 'reversed') group by 1, 2, 3""")
    assert Counter({tuple(row[:3]): row[3] for row in sums}) == week.charged
    as_of = day_start(SEPTEMBER.last_day + timedelta(days=3))
    answer = await issue_statements(ledger.engine, SEPTEMBER, as_of, deployed_calendar())
    assert answer.state == "issued", answer.reason
    posted = "select coalesce(sum(premium), 0)::bigint from ledger.day_line where posting_day <= '2026-09-30'"
    assert await ledger.value(posted) == await ledger.value(
        "select coalesce(sum(exact_amount), 0)::bigint from ledger.statement"
    )
    closed = "select sum(premium)::bigint from ledger.day_closed where day <= '2026-09-30'"
    assert await ledger.value(closed) == await ledger.value(posted)
    assert (await ledger.balances())["premium_income"] == -sum(week.charged.values()) * 733
    assert await ledger.value("select sum(amount)::bigint from ledger.posting") == 0
