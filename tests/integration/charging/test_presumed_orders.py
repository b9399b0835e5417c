"""An enterprise that drops numbers: assessed, taken back by what it declares or sends later; statements to the fen."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.national_platform.reports.checks import sums_fault
from services.reporting.delivery.documents import filing_report
from shared.adapters.files.regions import known_regions
from shared.adapters.files.scheme import load_scheme
from shared.contracts.manifests import StatementIssued
from shared.contracts.topics import STATEMENTS
from shared.domain.calendar import Month, day_start
from tests.integration.charging.charging_harness import BEIJING, NOON, RIDES, House, Sent, Worker
from tests.integration.charging.rerating_harness import Books, Corrected, audit, corrected, open_both
from tests.integration.charging.test_charging_numbers import manifest, number
from tests.integration.ledger.ledger_harness import due
from tests.model.model import Model
from tests.model.scheme import read_scheme

OPENED, DROPPED_ON = date(2026, 10, 20), date(2026, 10, 22)
OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
HEADER = "valid_from,province,mode,source\n"
AT = NOON + timedelta(days=19)
RATES = f"9901,11,ride_hailing,{RIDES},2026-10-02,,0.0123,made-up decision,,true,made up"


class Both:
    """The services and the model, with equal input."""

    def __init__(self, books: Books, worker: Worker, scheme: Corrected) -> None:
        self.books, self.worker = books, worker
        enterprises = set(books.house.scheme.enterprises)
        self.model = Model(read_scheme(scheme.directories), enterprises, known_regions(), opened_on=OPENED)

    async def send(self, *sent: Sent) -> None:
        records = await self.books.house.place(sent)
        reported = await self.worker.take(records)
        self.model.take(reported.run, list(records))

    async def close_through(self, last: date) -> None:
        while self.model.first_open <= last:
            day = self.model.first_open
            for run, count in sorted(self.model.manifests):
                self.model.deliver(run, count)
            await self.books.close(day)
            assert self.model.freeze(day, due(day)) == "closing"
            self.model.close()

    async def bill(self, period: Month) -> list[tuple[Any, ...]]:
        """The statement lines, which are the model's to the fen."""
        await self.books.bill(period)
        assert self.model.bill(str(period), day_start(period.last_day + timedelta(days=3))) == "issued"
        sql = """select province, kind, insured_month, insured_on::text, series, tariff_line, l.orders, l.exact_amount,
            l.amount from ledger.statement_line l join ledger.statement s using (statement_id)
            where period = :period order by enterprise, province, number"""
        reported = [tuple(row) for row in await self.books.ledger.rows(sql, period=str(period))]
        assert reported == [
            (
                bill.party[1], line.kind, line.insured_month, str(line.insured_on) if line.insured_on else None,
                line.series or None, int(line.tariff_line), line.orders, line.exact * 10_000, line.amount * 10_000,
            )
            for bill in sorted(self.model.bills.issued, key=lambda bill: bill.party)
            if bill.period == str(period)
            for line in bill.lines
        ]  # fmt: skip
        return reported


def with_rule(folder: Path, *rules: str) -> Corrected:
    """The demo's scheme with another rule for presumed orders, and Beijing dearer for this enterprise."""
    scheme = corrected(folder, RATES)
    (scheme.directories[0] / "presumption.csv").write_text(HEADER + "\n".join(rules) + "\n", encoding="utf-8")
    return Corrected(scheme.directories, load_scheme(scheme.directories))


def orders(numbers: list[int], at: Any = AT, **data: Any) -> list[Sent]:
    return [number(sequence, at + timedelta(seconds=sequence), **data) for sequence in numbers]


async def test_dropped_numbers_are_charged_and_taken_back_to_the_fen(house: House, tmp_path: Path) -> None:
    scheme = with_rule(tmp_path, "2022-07-01,*,finding_only,nothing", "2026-10-01,44,assess,a made-up decision")
    house.scheme = scheme.scheme
    async with open_both(house, OPENED) as books:
        both = Both(books, await house.worker(), scheme)
        await both.send(*orders([1, 2, 3, 4, 8, 9, 11, 13]), *orders([10, 14], acceptance_region=BEIJING))
        await both.send(manifest(DROPPED_ON, [(1, 14)], at=AT + timedelta(hours=20)))
        await both.close_through(DROPPED_ON + timedelta(days=7))
        assert await house.value("select count(*) from charging.assessment") == 2
        await both.close_through(OCTOBER.last_day)
        assert ("44", "assessed", "2026-10", "2026-10-22", "main", 9901, 4, 492, 500) in await both.bill(OCTOBER)
        assert await audit(books, scheme) == []
        later = AT + timedelta(days=12)
        late = Sent(number(6, AT + timedelta(seconds=6)).value, later)
        unused = manifest(DROPPED_ON, [(1, 11), (13, 14)], [(12, 12)], name="corrected", at=later)
        await both.send(late, unused)
        await both.close_through(NOVEMBER.first_day + timedelta(days=5))
        await both.send(manifest(DROPPED_ON, [], [(5, 5), (12, 12)], name="again", at=later + timedelta(hours=1)))
        await both.close_through(NOVEMBER.last_day)
        assert await both.bill(NOVEMBER) == [
            ("44", "adjustment", "2026-10", None, None, 234, 1, 100, 100),
            ("44", "assessed", "2026-10", "2026-10-22", "main", 9901, -3, -369, -400),
        ]
        assert await house.fetch("select first, last, why from charging.assessment order by batch, leaf_index") == [
            (5, 7, "presumed"), (12, 12, "presumed"), (6, 6, "arrived"), (12, 12, "declared_unused"),
            (5, 5, "declared_unused"),
        ]  # fmt: skip
        assert await audit(books, scheme) == []
        await check_declarations(books)


async def check_declarations(books: Books) -> None:
    """What is filed of these statements comes out for the national platform, too."""
    sql = "select payload from ledger.outbox where topic = :topic order by id"
    issued = [
        msgspec.json.decode(row[0], type=StatementIssued) for row in await books.ledger.rows(sql, topic=STATEMENTS)
    ]
    assert {line.kind for statement in issued for line in statement.lines} == {"line", "adjustment", "assessed"}
    assert [sums_fault(filing_report(statement).document) for statement in issued] == [None] * len(issued)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (("2022-07-01,*,finding_only,nothing",), "no rule charges"),
        (("2022-07-01,*,assess,all", "2026-10-01,44,finding_only,not here"), "the province's own rule goes first"),
        (("2026-10-23,*,assess,all",), "the day began before the rule"),
    ],
)
async def test_without_a_rule_it_stays_a_finding(house: House, tmp_path: Path, rules: Any, why: str) -> None:
    scheme = with_rule(tmp_path, *rules)
    house.scheme = scheme.scheme
    async with open_both(house, OPENED) as books:
        both = Both(books, await house.worker(), scheme)
        await both.send(*orders([1, 2, 5]))
        await both.close_through(DROPPED_ON + timedelta(days=8))
        assert await house.value("select count(*) from charging.number_gap where is_presumed") == 1
        assert await house.value("select count(*) from charging.assessment") == 0, why
        assert await audit(books, scheme) == []
