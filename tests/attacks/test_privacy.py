"""Somebody sends who a worker is: nothing of it is taken, and of what is kept nothing can be read for ever."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import msgspec
import pytest

from services.ledger.alarms import read_alarms
from services.ledger.books import read_books
from services.ledger.remit import take_remittance
from shared.contracts.manifests import RemittanceReceived
from tests.integration.charging_house import RIDES, House, accepted, cancelled, declared, told
from tests.integration.ledger_model import ENTERPRISE, Ledger, open_ledger

CITIZEN, OLD, MOBILE = "11010519491231002X", "110105491231002", "13800138000"
OPENED_ON = date(2026, 9, 29)
FIELDS: list[dict[str, Any]] = [
    {"agency_uscc": CITIZEN},
    {"employer_insurance_no": CITIZEN},
    {"employer_insurance_no": f"GS-{MOBILE}"},
    {"employer_insurance_no": OLD},
]


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database, OPENED_ON) as opened:
        yield opened


@pytest.mark.parametrize("said", FIELDS, ids=lambda said: "-".join(*said.items()))
async def test_an_order_that_names_a_person_is_parked_on_both_paths(house: House, said: dict[str, Any]) -> None:
    """The first order of its like is read alone, the second by its like: both are parked, and the next is charged."""
    one = await house.worker()
    await one.charge(accepted("o1"), accepted("e1", employer_insurance_no="GS-1"))
    sent = [accepted("o2", **said), cancelled("o3", **said), accepted("o4", **said), accepted("o5")]
    assert told(await one.charge(*sent)) == {("parked", "identity_in_clear"): 3, ("charged", None): 1}
    details = {detail for (detail,) in await house.fetch("select distinct detail from charging.parked")}
    assert all("; send " in detail for detail in details), "it says what to send instead"
    assert not any(number in detail for detail in details for number in (CITIZEN, OLD, MOBILE))


async def test_series_and_ids_of_manifests_that_name_a_person_are_parked(house: House) -> None:
    one = await house.worker()
    series = accepted("o1", series=MOBILE, sequence=1)
    manifest = declared(CITIZEN)
    assert told(await one.charge(series, manifest)) == {("parked", "identity_in_clear"): 2}
    assert await house.value("select count(*) from charging.declaration") == 0


async def test_an_agency_code_needs_its_check_digit(house: House) -> None:
    one = await house.worker()
    wrong, right = accepted("o1", agency_uscc="91000000FAKE900003"), accepted("o2", agency_uscc="91000000FAKE900002")
    assert told(await one.charge(wrong, right)) == {("parked", "bad_value"): 1, ("charged", None): 1}


async def test_no_order_loses_its_cover_because_of_its_number(house: House) -> None:
    one = await house.worker()
    assert told(await one.charge(accepted(CITIZEN), accepted(MOBILE))) == {("charged", None): 2}


async def test_a_remittance_that_is_named_by_a_person_is_refused_with_an_alarm(ledger: Ledger) -> None:
    for number in (CITIZEN, MOBILE):
        remittance = RemittanceReceived(
            remittance_id=number, enterprise=ENTERPRISE, province="44", amount_yuan="1.00", received_on=OPENED_ON
        )
        assert await take_remittance(ledger.engine, msgspec.json.encode(remittance)) == "refused"
    assert await ledger.value("select count(*) from ledger.remittance") == 0
    async with ledger.engine.connect() as connection:
        alarms = await read_alarms(connection, await read_books(connection), 60.0)
    assert "message_refused: remittances.v1: identity_in_clear: 2" in alarms
    (detail,) = {row[0] for row in await ledger.rows("select detail from ledger.refused_message")}
    assert "send the number of the transfer" in detail
    assert RIDES not in detail
