"""Somebody forges orders in an enterprise's name, or it declares less: they stay billed, apart and with a finding."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from services.charging.close.order_findings import DayFinder
from services.charging.rerate.reverse_outside import Adjustments, UnknownProposal
from services.national_platform.reports.checks import sums_fault
from services.reporting.delivery.documents import filing_report
from shared.adapters.postgres.decisions import Decision, Decisions
from shared.adapters.postgres.pool import BrokenConstraint, open_pool
from shared.contracts.findings import Finding
from shared.contracts.manifests import StatementIssued, StatementLine
from shared.domain.books.billing import BookedSum, draw_up_bill
from shared.domain.calendar import SHANGHAI, Month
from shared.domain.errors import Refused
from shared.domain.evidence.authors import Role
from shared.domain.money import Amount
from shared.runtime.persons import Person
from tests.integration.charging.charging_harness import RIDES, SCHEME, House, Sent, accepted, cancelled, worker
from tests.integration.charging.rerating_harness import Books, Corrected, audit, open_both
from tests.support.signed_declarations import sent, signature_of

pytestmark = pytest.mark.exhaustive

FIRST, LAST = date(2027, 1, 30), date(2027, 1, 31)
NOON = datetime(2027, 1, 30, 12, tzinfo=SHANGHAI)
JANUARY, FEBRUARY = Month(2027, 1), Month(2027, 2)
LINE, OUTSIDE = "line", "outside_declaration"


@pytest.fixture
async def books(house: House) -> AsyncIterator[Books]:
    async with open_both(house, FIRST) as opened:
        yield opened


def orders(first: int, last: int, at: datetime = NOON, series: str = "main", name: str = "o") -> list[Sent]:
    """One order for each number."""
    return [
        accepted(f"{name}{series}{n}", at + timedelta(seconds=n), series=series, sequence=n, worker_id=worker(n))
        for n in range(first, last + 1)
    ]


def declared(
    name: str, used: Sequence[tuple[int, int]], count: int, revision: int = 1, day: date = FIRST, **more: Any
) -> Sent:
    """A signed manifest of series main, with so many orders of ride hailing in Guangdong."""
    series = {"series": "main", "used": [{"first": first, "last": last} for first, last in used]}
    total = {"province": "44", "industry": "ride_hailing", "orders": count, "premium_yuan": "0.01"}
    data = {"declaration_id": name, "day": str(day), "series": [series], "totals": [total], **more}
    body = json.dumps(data).encode()
    return sent(name, body, revision, signature_of(str(day), revision, body))


async def person(house: House, account: str) -> Decision:
    """A decision of the person, as a route stores it."""
    return await Decisions(house.pool, "charging").store(Person(account, Role.OPERATOR), "a test", {})


async def bill(books: Books, month: Month, since: date | None = None) -> list[tuple[Any, ...]]:
    """Close the rest of a month and bill it; kind, insured month, orders, exact and due amount of its lines."""
    await books.close_through(since or month.first_day, month.last_day)
    await books.bill(month)
    return [(line[1], line[2], *line[4:]) for line in await books.lines(str(month))]


async def findings(house: House, day: date = FIRST) -> list[Finding]:
    answer = await DayFinder(house.pool, 3_600, 3).find(day)
    assert answer is not None
    return [finding for finding in answer.findings if finding.kind == OUTSIDE]


async def audited(books: Books) -> list[str]:
    return await audit(books, Corrected(tuple(SCHEME), books.house.scheme))


async def test_forged_orders_stay_billed_on_a_line_apart_with_a_finding(books: Books) -> None:
    one = await books.house.worker()
    await one.charge(*orders(1, 3), *orders(1, 5, series="evil"), declared("d1", [(1, 3)], 3))
    lines = await bill(books, JANUARY, FIRST)
    assert lines == [(LINE, "2027-01", 3, 300, 300), (OUTSIDE, "2027-01", 5, 500, 500)]
    (finding,) = await findings(books.house)
    assert (finding.count, finding.enterprise, finding.insured_on, len(finding.orders)) == (5, RIDES, FIRST, 5)
    assert finding.evidence["revision"] == 1
    assert await audited(books) == []


async def test_declaring_less_never_lowers_the_bill(books: Books) -> None:
    """Numbers left out, and a count below what came: both are billed, one is not counted twice."""
    one = await books.house.worker()
    await one.charge(*orders(1, 9), declared("d1", [(1, 7)], 5))
    lines = await bill(books, JANUARY, FIRST)
    assert lines == [(LINE, "2027-01", 5, 500, 500), (OUTSIDE, "2027-01", 4, 400, 400)]
    assert await audited(books) == []


async def test_numbers_that_somebody_used_again_are_the_surplus(books: Books) -> None:
    """Cancelled orders count as declared ones do, and are not billed."""
    one = await books.house.worker()
    await one.charge(*orders(1, 3), *orders(1, 3, NOON + timedelta(minutes=5), name="evil"))
    await one.charge(declared("d1", [(1, 3)], 3), cancelled("omain3", NOON + timedelta(seconds=3), worker_id=worker(3)))
    await one.settle()
    assert await bill(books, JANUARY, FIRST) == [(LINE, "2027-01", 2, 200, 200), (OUTSIDE, "2027-01", 3, 300, 300)]
    (finding,) = await findings(books.house)
    assert {order.order_id for order in finding.orders} == {"evilmain1", "evilmain2", "evilmain3"}
    assert await audited(books) == []


async def test_without_a_key_or_a_manifest_and_with_all_in_it_answers_are_as_before(books: Books) -> None:
    house = books.house
    one = await house.worker()
    midnight = NOON + timedelta(hours=12)
    await one.charge(*orders(1, 3), declared("d1", [(1, 4)], 3))
    await one.charge(*orders(4, 4, midnight), *orders(5, 6, NOON, name="other", series="x")[:0])
    await one.charge(
        accepted("s1", NOON + timedelta(days=1), sequence=9), accepted("s2", NOON, uscc="91000000FAKE00002J")
    )
    assert [line[0] for line in await bill(books, JANUARY, FIRST)] == [LINE, LINE]
    answers = await house.fetch("select payload from charging.day_count")
    assert not any(b"outside" in payload for (payload,) in answers)
    assert await books.ledger.value("select count(*) from ledger.outside_declaration") == 0
    assert await audited(books) == []


async def test_a_higher_revision_moves_them_back_and_ends_the_finding(books: Books) -> None:
    one = await books.house.worker()
    await one.charge(*orders(1, 5), declared("d1", [(1, 3)], 3))
    await bill(books, JANUARY, FIRST)
    assert [finding.count for finding in await findings(books.house)] == [2]
    await one.charge(declared("d2", [(1, 5)], 5, revision=2))
    lines = await bill(books, FEBRUARY)
    assert lines == [("adjustment", "2027-01", 2, 200, 200), (OUTSIDE, "2027-01", -2, -200, -200)]
    (ended,) = await findings(books.house, FEBRUARY.first_day)
    assert (ended.count, ended.key) == (0, f"{RIDES}.{FIRST}")
    assert await audited(books) == []


async def test_a_manifest_after_the_close_moves_orders_out(books: Books) -> None:
    one = await books.house.worker()
    await one.charge(*orders(1, 5))
    await books.close(FIRST)
    await one.charge(declared("d1", [(1, 4)], 4))
    assert await bill(books, JANUARY, LAST) == [(LINE, "2027-01", 4, 400, 400), (OUTSIDE, "2027-01", 1, 100, 100)]
    assert await audited(books) == []


async def test_two_persons_reverse_them_and_one_cannot(books: Books) -> None:
    house = books.house
    adjustments = Adjustments(house.pool, house.author, chunk_rows=2)
    one = await house.worker()
    await one.charge(*orders(1, 3), *orders(1, 5, series="evil"), declared("d1", [(1, 3)], 3))
    with pytest.raises(Refused, match="not counted yet"):
        await adjustments.propose(RIDES, FIRST, "forged", await person(house, "regulator-1"))
    await bill(books, JANUARY, FIRST)
    proposal = await adjustments.propose(RIDES, FIRST, "forged", await person(house, "regulator-1"))
    assert (proposal.orders, proposal.premium, proposal.consented_by) == (5, 500, None)
    again = await adjustments.propose(RIDES, FIRST, "forged, too", await person(house, "regulator-2"))
    assert again == proposal, "the same orders are one proposal"
    with pytest.raises(Refused, match="another person has to consent"):
        await adjustments.consent(proposal.id, await person(house, "regulator-1"))
    with pytest.raises(UnknownProposal):
        await adjustments.consent(99, await person(house, "regulator-2"))
    assert await house.corrections() == []

    decided, count = await adjustments.consent(proposal.id, await person(house, "regulator-2"))
    assert (decided.consented_by, decided.manifests, count) == ("regulator-2", 3, 5)
    assert (await adjustments.consent(proposal.id, await person(house, "regulator-3")))[1] == 0, (
        "again it changes nothing"
    )
    assert len(await house.corrections()) == 3
    with pytest.raises(Refused, match="no charged order"):
        await adjustments.propose(RIDES, FIRST, "once more", await person(house, "regulator-1"))
    assert await bill(books, FEBRUARY) == [(OUTSIDE, "2027-01", -5, -500, -500)]
    assert [finding.count for finding in await findings(house, FEBRUARY.first_day)] == [0]
    assert await audited(books) == []


async def test_a_surplus_is_reversed_as_far_as_it_goes(books: Books) -> None:
    house = books.house
    adjustments = Adjustments(house.pool, house.author, chunk_rows=2)
    one = await house.worker()
    await one.charge(*orders(1, 9), declared("d1", [(1, 9)], 4))
    await bill(books, JANUARY, FIRST)
    proposal = await adjustments.propose(RIDES, FIRST, "more than declared", await person(house, "regulator-1"))
    await adjustments.consent(proposal.id, await person(house, "regulator-2"))
    assert await bill(books, FEBRUARY) == [(OUTSIDE, "2027-01", -5, -500, -500)]
    kept = await house.fetch("select order_id from charging.entry e where kind = 1 and not exists (select from"
                             " charging.entry r where r.kind = 4 and r.order_id = e.order_id) order by 1")  # fmt: skip
    assert [name for (name,) in kept] == ["omain1", "omain2", "omain3", "omain4"], "those received last are reversed"
    assert await audited(books) == []


async def test_consent_is_to_the_orders_that_were_proposed(books: Books) -> None:
    house = books.house
    adjustments = Adjustments(house.pool, house.author)
    one = await house.worker()
    await one.charge(*orders(1, 5), declared("d1", [(1, 3)], 3))
    await books.close(FIRST)
    proposal = await adjustments.propose(RIDES, FIRST, "forged", await person(house, "regulator-1"))
    await one.charge(declared("d2", [(1, 4)], 4, revision=2))
    with pytest.raises(Refused, match="propose it again"):
        await adjustments.consent(proposal.id, await person(house, "regulator-2"))
    assert await house.corrections() == []
    narrower = await adjustments.propose(RIDES, FIRST, "forged", await person(house, "regulator-1"))
    assert narrower.orders == 1
    assert (await adjustments.consent(narrower.id, await person(house, "regulator-2")))[1] == 1


async def test_the_table_refuses_one_person_a_person_who_did_not_decide_and_a_second_consent(books: Books) -> None:
    house = books.house
    one = await house.worker()
    await one.charge(*orders(1, 2), declared("d1", [(1, 1)], 1))
    await books.close(FIRST)
    adjustments = Adjustments(house.pool, house.author)
    proposal = await adjustments.propose(RIDES, FIRST, "forged", await person(house, "regulator-1"))
    consent = """insert into charging.adjustment_consent (id, proposed_by, consented_by, batches, decision_id)
        values ($1, $2, $3, '{1}', $4)"""
    own = (await person(house, "regulator-1")).decision_id
    for proposed_by, consented_by in (("regulator-1",) * 2, ("somebody", "regulator-1"), ("regulator-1", "mallory")):
        with pytest.raises(BrokenConstraint):
            await house.pool.execute(consent, proposal.id, proposed_by, consented_by, own)
    await adjustments.consent(proposal.id, await person(house, "regulator-2"))
    other = (await person(house, "regulator-3")).decision_id
    with pytest.raises(BrokenConstraint):
        await house.pool.execute(consent, proposal.id, "regulator-1", "regulator-3", other)


CHANGES = {
    "ledger.statement_line": "update ledger.statement_line set kind = 'line' where number = 2",
    "ledger.outside_declaration": "update ledger.outside_declaration set orders = 4",
    "not what charging.day_count keeps": """update charging.day_count
        set payload = convert_to(replace(convert_from(payload, 'utf8'), '"orders":5}]', '"orders":4}]'), 'utf8')""",
    "it is not signed": """update charging.declaration
        set revision = null, key_id = null, signature = null, signed_data = null""",
}
"""What the audit says of a change: of the line, of all that shows a manifest's signature, of the counts."""


async def test_the_audit_notices_every_change(books: Books) -> None:
    one = await books.house.worker()
    await one.charge(*orders(1, 3), *orders(1, 5, series="evil"), declared("d1", [(1, 3)], 3))
    await bill(books, JANUARY, FIRST)
    lines = await audited(books)
    assert lines == []
    for said, sql in CHANGES.items():
        assert not any(said in line for line in lines), said
        await tamper(books, sql)
        lines = await audited(books)
        assert any(said in line for line in lines), said


async def test_the_audit_notices_a_reversal_that_nobody_decided(books: Books) -> None:
    house = books.house
    one = await house.worker()
    await one.charge(*orders(1, 3), declared("d1", [(1, 2)], 2), cancelled("omain1", NOON + timedelta(seconds=1)))
    await one.settle()
    await books.close(FIRST)
    adjustments = Adjustments(house.pool, house.author)
    proposal = await adjustments.propose(RIDES, FIRST, "forged", await person(house, "regulator-1"))
    await adjustments.consent(proposal.id, await person(house, "regulator-2"))
    await books.close(LAST)
    assert await audited(books) == []
    await tamper(books, "update charging.adjustment_proposal set premium = 1")
    assert any("adjustment_consent 1: stored" in line for line in await audited(books))
    await tamper(books, "delete from charging.adjustment_consent")
    assert any("a decision that nobody took" in line for line in await audited(books))


async def tamper(books: Books, sql: str) -> None:
    """As the owner, whom no trigger stops."""
    async with open_pool(books.house.owner_url, size=1) as pool, pool.acquire() as connection:
        await connection.execute(f"set session_replication_role = replica; {sql}")


async def test_a_day_before_the_books_is_held_against_its_manifest_too(books: Books) -> None:
    before, at = FIRST - timedelta(days=1), NOON - timedelta(days=1)
    one = await books.house.worker()
    await one.charge(*orders(1, 3, at), declared("d1", [(1, 2), (9, 8)], 2, day=before))
    assert await bill(books, JANUARY, FIRST) == [(LINE, "2027-01", 2, 200, 200), (OUTSIDE, "2027-01", 1, 100, 100)]
    assert await audited(books) == []


def test_the_line_apart_takes_the_rounding_and_is_filed_so() -> None:
    """9 at 0.0733 are 0.66 yuan in one line, so they are in two; what is filed of them holds for the platform."""
    booked = BookedSum(JANUARY, "ride_hailing", 12, 9, 0, Amount(6_597), frozenset({733}), outside=2)
    bill_of_two = draw_up_bill(JANUARY, [booked])
    lines_of_two = [(line.kind, line.orders, line.amount) for line in bill_of_two.lines]
    assert lines_of_two == [(LINE, 7, 5_100), (OUTSIDE, 2, 1_500)]
    assert bill_of_two.amount == draw_up_bill(JANUARY, [replace(booked, outside=0)]).amount
    for more, is_fit in ((0, True), (100, False)):
        lines = [
            StatementLine(**asdict(line) | {"insured_month": "2027-01", "amount": line.amount + added})
            for line, added in zip(bill_of_two.lines, (0, more), strict=True)
        ]
        issued = StatementIssued(
            statement_id=f"2027-01-44-{RIDES}", enterprise=RIDES, province="44", period="2027-01", as_of=NOON,
            due_on=LAST, lines=lines, orders=9, exact_amount=6_597, amount=6_600 + more,
        )  # fmt: skip
        assert (sums_fault(filing_report(issued).document) is None) == is_fit
