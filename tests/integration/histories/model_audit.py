"""Holds what the services wrote down against the model: rows, booked lines, statements, states of payment, balances."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.charging.rerate.rerate import Difference
from services.ledger.queries.book_queries import StatementLine, read_payment_states, read_statements
from shared.adapters.postgres.pool import Pool
from shared.contracts.manifests import DayClosed, DayCounted
from shared.domain.calendar import Month
from tests.model.model import Model
from tests.model.rows import Count, Row, Total

Sums = Counter[tuple[Any, ...]]


def units(yuan: Fraction) -> int:
    """0.0001 yuan, as the services count."""
    amount = yuan * 10_000
    assert amount.denominator == 1, f"{yuan} yuan"
    return int(amount)


def model_sums(totals: Mapping[Total, int]) -> Sums:
    """Orders and premium of the model's totals in the services' terms: (key, "orders" or "premium") to the sum."""
    sums: Sums = Counter()
    for total, orders in totals.items():
        key = (str(total.insured_on), *total[1:6], int(total.line or 0))
        sums[*key, "orders"] += orders
        sums[*key, "premium"] += units(total.base) * orders
    return Counter({key: value for key, value in sums.items() if value})


def reported_sums(totals: Sequence[Any]) -> Sums:
    """Orders and premium of the services' totals, with the keys of `model_sums`."""
    sums: Sums = Counter()
    for total in totals:
        place = (str(total.insured_on), total.enterprise, total.province or "", total.industry or "")
        key = (*place, total.outcome.value, total.reason or "", total.tariff_line or 0)
        sums[*key, "orders"] += total.orders
        sums[*key, "premium"] += total.premium
    return Counter({key: value for key, value in sums.items() if value})


def same(what: str, service: Any, model: Any) -> None:
    """Fail, naming what differs."""
    if service != model:
        if isinstance(service, Mapping) and isinstance(model, Mapping):
            keys = sorted({k for k in service.keys() | model.keys() if service.get(k) != model.get(k)}, key=repr)
            rows = [f"  {key}: services {service.get(key)}, model {model.get(key)}" for key in keys[:8]]
            pytest.fail(f"{what}: {len(keys)} figures differ\n" + "\n".join(rows), pytrace=False)
        pytest.fail(f"{what}:\n  services {service}\n  model    {model}", pytrace=False)


@dataclass
class Audit:
    """`charging` and `ledger` log in with roles that may read the schema of that name."""

    charging: Pool
    ledger: AsyncEngine
    model: Model

    async def all(self) -> None:
        """Every row, every booked line, every statement and every balance."""
        await self._same_rows()
        await self._same_lines()
        await self.same_bills()
        await self._same_balances()
        for day in (date(2026, 11, 14), date(2026, 12, 24)):
            await self.same_states(day)

    async def _same_rows(self) -> None:
        rows = await self.charging.fetch("""select e.uscc, order_id, encode(int8send(worker_key), 'hex'), accepted_at,
            kind, premium from charging.entry join charging.enterprise e on e.id = enterprise""")
        mine = Counter((*row.key, row.code, units(row.total.base)) for row in self.model.rows)
        same("the rows", Counter(tuple(row) for row in rows), mine)
        waiting = sum(1 for row in self.model.rows if row.kind == "cancelled" and not row.is_settled)
        same(
            "cancellations that wait", await self.charging.fetchval("select count(*) from charging.unsettled"), waiting
        )
        kept: Counter[tuple[str, str]] = Counter()
        for manifest in self.model.manifests.values():
            for total, count in manifest.totals.items():
                if total.outcome in {"parked", "conflict"}:
                    kept[total.outcome, total.reason] += count
        reported = await self.charging.fetch("select 'parked', reason, count(*) from charging.parked group by 1, 2")
        reported += await self.charging.fetch(
            "select 'conflict', '', count(*) from charging.conflict having count(*) > 0"
        )
        same("events kept aside", {tuple(row)[:2]: row[2] for row in reported}, dict(kept))

    async def _same_lines(self) -> None:
        rows = await self._rows("""select posting_day, insured_on, enterprise, coalesce(province, ''),
            coalesce(industry, ''), outcome, coalesce(reason, ''), coalesce(tariff_line, 0),
            sum(orders)::bigint, sum(premium)::bigint from ledger.day_line group by 1, 2, 3, 4, 5, 6, 7, 8""")
        mine: Counter[tuple[Any, ...]] = Counter()
        for posted_on, total, orders in self.model.lines:
            key = (posted_on, *total[:6], int(total.line or 0))
            mine[*key, "orders"] += orders
            mine[*key, "premium"] += units(total.base) * orders
        reported = Counter({(*row[:8], "orders"): row[8] for row in rows})
        reported.update({(*row[:8], "premium"): row[9] for row in rows})
        same("the booked lines", reported, mine)
        inbox = await self._rows("select run, number from ledger.manifest_inbox")
        same("manifests that wait", {tuple(row) for row in inbox}, self.model.inbox)

    async def _same_balances(self) -> None:
        rows = await self._rows("""select kind, coalesce(enterprise, ''), coalesce(province, ''),
            sum(amount)::bigint
            from ledger.posting join ledger.account using (account_id)
            group by 1, 2, 3 having sum(amount) <> 0""")
        same("the balances", {tuple(row[:3]): row[3] for row in rows}, balances(self.model))

    async def _rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the ledger's tables, which charging's role may not read."""
        async with self.ledger.connect() as connection:
            return [tuple(row) for row in (await connection.exec_driver_sql(query)).all()]

    async def same_bills(self) -> None:
        async with self.ledger.connect() as connection:
            reported = await read_statements(connection, None, None, None)
        service = {
            (statement.enterprise, statement.province, statement.period): (
                statement.orders, statement.due_on, statement.due_on_is_provisional, Fraction(statement.amount_yuan),
                Fraction(statement.rounding_yuan),
                [_reported_line(line) for line in statement.lines],
            )
            for statement in reported
        }  # fmt: skip
        model = {
            (*bill.party, bill.period): (
                sum(line.orders for line in bill.lines), bill.due_on, bill.is_provisional, bill.amount, bill.rounding,
                [
                    (number, line.kind, line.insured_month, line.industry, int(line.tariff_line), line.base,
                     line.orders, line.exact, line.amount, line.series or None,
                     None if line.insured_on is None else str(line.insured_on))
                    for number, line in enumerate(bill.lines, 1)
                ],
            )
            for bill in self.model.bills.issued
        }  # fmt: skip
        same("the statements", service, model)

    async def same_states(self, day: date) -> None:
        for period in self.model.bills.periods:
            async with self.ledger.connect() as connection:
                reported = await read_payment_states(connection, Month.parse(period), day)
            names = ("due_yuan", "remitted_yuan", "outstanding_yuan", "arrears_yuan", "late_fee_yuan")
            service = {(e.enterprise, e.province): {n: Fraction(getattr(e, n)) for n in names} for e in reported}
            mine = {bill.party: bill.state(day) for bill in self.model.bills.issued if bill.period == period}
            same(f"the state of payment of {period}", service, mine)


def _reported_line(line: StatementLine) -> tuple[Any, ...]:
    money = {name: Fraction(getattr(line, name)) for name in ("base_yuan", "exact_yuan", "amount_yuan")}
    place = (line.number, line.kind, line.insured_month, line.industry, line.tariff_line)
    return (*place, money["base_yuan"], line.orders, money["exact_yuan"], money["amount_yuan"], *_assessed(line))


def _assessed(line: StatementLine) -> tuple[str | None, str | None]:
    """Series and day of an assessed line."""
    return line.series, None if line.insured_on is None else str(line.insured_on)


def differing(found: Sequence[Difference]) -> Counter[tuple[Any, ...]]:
    """Orders, and what they cost before and now, of what a re-rating would change."""
    sums: Counter[tuple[Any, ...]] = Counter()
    for difference in found:
        place = (difference.insured_on, difference.enterprise, difference.province, difference.industry)
        old = (difference.old_line or 0, difference.old_reason or "")
        key = (*place, *old, difference.new_line or 0, difference.new_reason or "")
        sums[key] += difference.orders
        sums[*key, "old"] += difference.old_premium
        sums[*key, "new"] += difference.new_premium
    return +sums


def expected_differing(found: Sequence[tuple[Row, Total]]) -> Counter[tuple[Any, ...]]:
    """Orders, and what they cost before and now, of what a re-rating would change by the model."""
    sums: Counter[tuple[Any, ...]] = Counter()
    for row, total in found:
        was = row.charge.total
        old = (int(was.line or 0), was.reason if was.outcome == "excluded" else "")
        new = "no_tariff_line" if total.outcome == "uncovered" else total.reason
        key = (*total[:4], *old, int(total.line or 0), new)
        sums[key] += 1
        sums[*key, "old"] += units(was.base)
        sums[*key, "new"] += units(total.base)
    return +sums


def same_day(reported: DayCounted | DayClosed, count: Count) -> None:
    """Totals and workers of a day, as they are counted and as they are published."""
    same("the day", reported.day, count.day)
    same(f"the totals of {count.day}", reported_sums(reported.totals), model_sums(count.totals))
    workers = {
        (worker.insured_on, worker.enterprise or "", worker.province): worker.workers for worker in reported.workers
    }
    same(f"the workers of {count.day}", workers, dict(count.workers))
    hours = {
        (row.insured_on, row.enterprise, row.province, hour): orders
        for row in reported.hours
        for hour, orders in enumerate(row.orders)
        if orders
    }
    same(f"the hours of {count.day}", hours, dict(count.hours))
    first = {row.province: row.workers for row in reported.first_time}
    same(f"first-time workers of {count.day}", first, {p: len(tokens) for p, tokens in count.first_time.items()})


def balances(model: Model) -> dict[tuple[str, str, str], int]:
    """Every account that is not at zero, by kind and party."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for _, total, orders in model.lines:
        sums["receivable", total.enterprise, total.province] += units(total.base) * orders
        sums["premium_income", total.enterprise, total.province] -= units(total.base) * orders
    for bill in model.bills.issued:
        paid = units(bill.amount - bill.owed)
        sums["receivable", *bill.party] += units(bill.rounding) - paid
        sums["rounding", "", ""] -= units(bill.rounding)
        sums["late_fee_receivable", *bill.party] += units(bill.fee_owed)
        sums["late_fee_income", *bill.party] -= units(bill.fee_booked)
    for party, held in model.bills.advances.items():
        sums["advances", *party] -= units(held)
    for _, amount, _ in model.bills.remittances.values():
        sums["cash", "", ""] += units(amount)
    return {key: value for key, value in sums.items() if value}
