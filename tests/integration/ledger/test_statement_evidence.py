"""A statement with its evidence from real books and a real witness: proved, and refused for any changed figure."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fastapi.encoders import jsonable_encoder

from services.ledger.queries.statement_evidence import read_evidence
from services.verify.keys import Keys
from services.verify.statement import verify_statement
from services.verify.verdict import NotProved
from shared.contracts.manifests import Outcome, Total
from shared.domain.errors import Refused
from tests.integration.ledger.ledger_harness import ENTERPRISE, OTHER, Ledger, new_run, open_ledger, total
from tests.integration.ledger.log_harness import LogHouse, forge, open_log_house
from tests.integration.ledger.test_ledger_billing import OCTOBER, OPENED_ON, SEPTEMBER, bill, close_until
from tests.support.authors import CHARGING

LAST, NEXT = date(2026, 9, 30), date(2026, 10, 1)
STATEMENT = f"2026-09-44-{ENTERPRISE}"


def ours(orders: int, day: date) -> Total:
    """Charged at 0.0733 yuan an order, so that rounding is seen."""
    return total(orders=orders, day=day, base=733, line=12)


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database, OPENED_ON) as opened:
        yield opened


@pytest.fixture
async def house(ledger: Ledger, platform_database: str, tmp_path: Path) -> AsyncIterator[LogHouse]:
    """Two days of September billed, with an order of October that came before September's last close."""
    async with open_log_house(ledger, platform_database, tmp_path) as opened:
        first, second = new_run(), new_run()
        await ledger.charge(first, ours(3, OPENED_ON), total(orders=5, enterprise=OTHER, day=LAST))
        await ledger.charge(second, total(orders=4, day=OPENED_ON, base=250, line=4))
        reversal = total(Outcome.REVERSED, orders=1, day=OPENED_ON, base=733, line=12)
        ledger.charging.settle_at_close(OPENED_ON, reversal)
        await close_until(ledger, OPENED_ON)
        await ledger.charge(second, ours(7, OPENED_ON), ours(9, NEXT))
        await ledger.charge(first, total(Outcome.EXCLUDED, orders=2, day=LAST, reason="insured_as_employee"))
        await close_until(ledger, LAST)
        await ledger.charge(first, ours(6, LAST))
        assert (await bill(ledger, SEPTEMBER)).state == "issued"
        yield opened


async def evidence_of(house: LogHouse, statement_id: str = STATEMENT) -> Any:
    await house.sign()
    await house.cosign()
    async with house.ledger.engine.connect() as connection:
        return jsonable_encoder(await read_evidence(connection, house.keys, statement_id))


def keys_of(house: LogHouse) -> Keys:
    return Keys.read([*map(str, house.vkeys), str(CHARGING.author)])


async def test_a_third_party_works_the_statement_out_anew(house: LogHouse) -> None:
    evidence = await evidence_of(house)
    said = verify_statement(json.dumps(evidence).encode(), keys_of(house))
    assert said.startswith(f"Proved: the statement of {ENTERPRISE} for province 44 and 2026-09, 13 orders,")
    assert "from 4 totals of 4 manifests" in said
    assert "does not prove that no order of the month is missing" in said
    assert OTHER not in json.dumps(evidence)


async def test_late_orders_are_proved_as_adjustments_of_the_month_they_were_posted_in(house: LogHouse) -> None:
    await close_until(house.ledger, OCTOBER.last_day)
    assert (await bill(house.ledger, OCTOBER)).state == "issued"
    evidence = await evidence_of(house, f"2026-10-44-{ENTERPRISE}")
    assert [line["kind"] for line in evidence["statement"]["lines"]] == ["line", "adjustment"]
    assert "15 orders" in verify_statement(json.dumps(evidence).encode(), keys_of(house))


async def test_orders_outside_the_declaration_are_a_line_apart_of_a_sum_that_is_proved(house: LogHouse) -> None:
    """9 at 0.0733 are 0.66 yuan; 7 of them 0.51, so 0.15 are left for the other two, which are exactly 0.1466."""
    evidence = await evidence_of(house)
    *others, whole = evidence["statement"]["lines"]
    assert (whole["orders"], whole["base_yuan"], whole["amount_yuan"]) == (9, "0.0733", "0.66")
    within = whole | {"orders": 7, "exact_yuan": "0.5131", "amount_yuan": "0.51"}
    outside = whole | {"kind": "outside_declaration", "number": whole["number"] + 1, "orders": 2}
    for amount, is_proved in (("0.15", True), ("0.14", False)):
        last = outside | {"exact_yuan": "0.1466", "amount_yuan": amount}
        evidence["statement"]["lines"] = [*others, within, last]
        data = json.dumps(evidence).encode()
        if is_proved:
            assert "proves the sum of their line and the line of the others" in verify_statement(data, keys_of(house))
        else:
            with pytest.raises(NotProved, match="line 3"):
                verify_statement(data, keys_of(house))


def _set(*path: str | int, to: Any) -> Callable[[Any], None]:
    def change(reported: Any) -> None:
        for part in path[:-1]:
            reported = reported[part]
        reported[path[-1]] = to(reported[path[-1]]) if callable(to) else to

    return change


def _all(*changes: Callable[[Any], None]) -> Callable[[Any], None]:
    def change(reported: Any) -> None:
        for one in changes:
            one(reported)

    return change


CHANGES: dict[str, tuple[Callable[[Any], None], str]] = {
    "orders of a line": (_set("statement", "lines", 0, "orders", to=999), "line 1"),
    "amount of a line": (_set("statement", "lines", 1, "amount_yuan", to="1.00"), "line 2"),
    "a line less": (lambda reported: reported["statement"]["lines"].pop(), "lines"),
    "the amount due": (_set("statement", "amount_yuan", to="1.00"), "total"),
    "the orders": (_set("statement", "orders", to=12), "total"),
    "orders of a total": (
        _set("manifests", 0, "totals", 0, "content", to=lambda text: text.replace('"orders":3', '"orders":2')),
        "proof of a total",
    ),
    "a total twice": (
        lambda reported: reported["manifests"][0]["totals"].append(reported["manifests"][0]["totals"][0]),
        "total",
    ),
    "a manifest left out": (lambda reported: reported["manifests"].pop(), "line 2"),
    "a manifest twice": (lambda reported: reported["manifests"].append(reported["manifests"][0]), "log proof"),
    "an entry": (
        _set("manifests", 1, "entry", to=lambda entry: f"{entry[:-2]}{255 - int(entry[-2:], 16):02x}"),
        "log proof of entry 1",
    ),
    "an index": (_set("manifests", 1, "index", to=0), "log proof"),
    "a cut": (_set("cuts", 1, "cut", to={}), "posting day"),
    "a day's cut left out": (lambda reported: reported["cuts"].pop(), "posting day"),
    "size of the log": (_set("checkpoint", to=lambda note: note.replace("\n6\n", "\n7\n")), "signature of the log"),
    "the statement's province": (_set("statement", "province", to="11"), "total"),
    "the due date": (_set("statement", "due_on", to="2026-10-16"), "due date"),
    "every due date": (
        _all(
            _set("statement", "due_on", to="2026-10-16"), _set("statement", "due_dates", 0, "due_on", to="2026-10-16")
        ),
        "due date",
    ),
    "a due date that is provisional": (_set("statement", "due_on_is_provisional", to=True), "due date"),
    "no due date": (_set("statement", "due_dates", to=[]), "due date"),
    "a line of the calendar": (
        lambda reported: next(iter(reported["calendars"].values())).update({"days.csv": "day,is_working,name,notice"}),
        "due date",
    ),
    "no calendar": (_set("calendars", to={}), "form of the file"),
    "no manifests": (lambda reported: reported.pop("manifests"), "form of the file"),
}


async def test_a_changed_figure_anywhere_names_the_step_that_fails(house: LogHouse) -> None:
    whole, keys = json.dumps(await evidence_of(house)), keys_of(house)
    for name, (change, step) in CHANGES.items():
        reported = json.loads(whole)
        change(reported)
        with pytest.raises(NotProved) as failed:
            verify_statement(json.dumps(reported).encode(), keys)
        assert failed.value.step == step, name


async def test_no_evidence_is_given_of_books_that_were_changed(house: LogHouse) -> None:
    await forge(house.ledger, "update ledger.day_line set orders = orders + 1 where insured_on = '2026-09-29'")
    with pytest.raises(Refused, match="are not the totals in the log"):
        await evidence_of(house)
