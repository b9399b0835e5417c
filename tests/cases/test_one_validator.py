"""What the contract allows is taken, and what it or the audit forbids is refused when it arrives, in one way."""

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.reporting.register.discrepancies import Discrepancy, record
from shared.adapters.postgres.engine import open_engine
from shared.contracts.events import (
    MOST_RANGES,
    SOURCE_PREFIX,
    DayDeclared,
    Declaration,
    DeclaredSeries,
    DeclaredTotal,
    NumberRange,
    Yuan,
)
from shared.contracts.findings import FindingKind
from shared.contracts.manifests import RemittanceReceived
from shared.contracts.reports import Yuan as ReportedYuan
from shared.contracts.topics import INJURIES, REMITTANCES, TOTALS
from shared.domain.errors import Refused
from shared.domain.money import Amount, parse_yuan, yuan
from shared.intake.free_fields import find_identity
from shared.intake.strict_decoder import Parked, decode
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    GREEN,
    WORKER,
    House,
    make_keys,
    migrate_reporting,
    reporting_house,
)

MOST_BYTES: Final = 64 * 1024
CITIZEN: Final = "999999190001010015"
"""Made up: no such region, the check digit of GB 11643 is right."""
IDENTITIES: Final = (
    (INJURIES, "notice_id"), (INJURIES, "enterprise"), (INJURIES, "order_id"), (TOTALS, "enterprise"),
    (REMITTANCES, "remittance_id"), (REMITTANCES, "enterprise"),
)  # fmt: skip
WITH_NUL: Final = (
    (INJURIES, b'{"notice_id":"n-1","worker_id":"%s","injured_at":"2026-10-03T09:00:00+08:00",'
               b'"noticed_at":"2026-10-03T09:05:00+08:00","no\\u0000te":1}' % WORKER.encode()),
    (TOTALS, b'{"source":"tax-bureau","enterprise":"%s","day":"2026-10-03","count":1,"\\u0000":1}'
             % GREEN.encode()),
    (TOTALS, b'{"source":"tax-bureau","enterprise":"\\u0000","day":"2026-10-03","count":1}'),
)  # fmt: skip
REPORTED: Final = TypeAdapter(ReportedYuan)
DIGITS: Final = st.text(alphabet="0123456789", max_size=17)
MONEY: Final = st.one_of(
    st.text(alphabet="0123456789.-+e ", max_size=20),
    st.builds(lambda sign, whole, part: f"{sign}{whole}.{part}", st.sampled_from(["", "-"]), DIGITS, DIGITS),
)


def is_parsed(text: str) -> bool:
    try:
        parse_yuan(text)
    except Refused:
        return False
    return True


def is_allowed(text: str, kind: Any) -> bool:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return False
    return True


@given(MONEY)
def test_money_that_an_event_may_hold_is_what_the_books_can_parse(text: str) -> None:
    """Case 1: `0102.75` was allowed and could not be parsed; so were 15 digits."""
    assert is_allowed(text, Yuan) == is_parsed(text)


@given(MONEY, st.integers(-(10**17), 10**17))
def test_money_of_remittances_and_reports_can_be_parsed(text: str, amount: int) -> None:
    remitted = next(field for field in msgspec.structs.fields(RemittanceReceived) if field.name == "amount_yuan")
    assert not is_allowed(text, remitted.type) or is_parsed(text)
    assert not is_reported(text) or is_parsed(text)
    assert is_reported(yuan(Amount(amount))), "what the books hold has the form of a report"


def is_reported(text: str) -> bool:
    try:
        REPORTED.validate_python(text)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("money", ["0102.75", "00.00", "123456789012345"])
def test_money_that_cannot_be_parsed_is_parked_when_it_arrives(money: str) -> None:
    """Case 1."""
    event = declared(Declaration("d-1", date(2026, 10, 3), [], [DeclaredTotal("31", "instant_delivery", 411, money)]))
    parked = decode(event, MOST_BYTES)
    assert isinstance(parked, Parked)
    assert parked.reason == "bad_value"


def declared(data: Declaration) -> bytes:
    event = DayDeclared(specversion="1.0", id="e" * 128, source=SOURCE_PREFIX + GREEN, data=data)
    return msgspec.json.encode(event)


def largest(series: int, ranges: int, totals: int) -> Declaration:
    """A manifest of so many series, ranges and totals, all of them as long as they can be."""
    number = 2**53 - 1
    per_series, more = divmod(ranges, series)
    return Declaration(
        declaration_id="d" * 64,
        day=date(2026, 10, 3),
        series=[
            DeclaredSeries(f"{n:x>16}", [NumberRange(number, number)] * (per_series + (n < more)))
            for n in range(series)
        ],
        totals=[DeclaredTotal("44", "intracity_freight", 10**12, "-99999999999999.9999")] * totals,
    )


def test_the_largest_manifest_that_the_contract_allows_is_not_too_large() -> None:
    """Kind C: 1,000 series were allowed, and parked as `too_large`."""
    value = declared(largest(1_000, MOST_RANGES, 1_000))
    assert len(value) > MOST_BYTES
    assert isinstance(decode(value, MOST_BYTES), DayDeclared)
    assert isinstance(decode(declared(largest(1, MOST_RANGES, 1)), MOST_BYTES), DayDeclared)


def test_more_ranges_than_the_contract_allows_are_named() -> None:
    event = msgspec.json.decode(declared(largest(2, MOST_RANGES, 1)))
    event["data"]["series"][0]["used"].append({"first": 1, "last": 2})
    parked = decode(msgspec.json.encode(event), MOST_BYTES)
    assert isinstance(parked, Parked)
    assert (parked.reason, "at most 1000 ranges" in parked.detail) == ("bad_value", True)


def test_another_event_may_not_be_as_large_as_a_manifest() -> None:
    value = msgspec.json.encode({"type": "order.accepted.v1", "padding": "x" * MOST_BYTES})
    parked = decode(value, MOST_BYTES)
    assert isinstance(parked, Parked)
    assert parked.reason == "too_large"


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with reporting_house(database, platform_database, make_keys(tmp_path), OtherServices()) as opened:
        yield opened


async def test_an_identity_in_any_text_of_a_message_is_refused(house: House) -> None:
    """Case 6: only the id was looked at, so an enterprise could be a person's number."""
    known: dict[str, dict[str, Any]] = {
        INJURIES: {
            "notice_id": "n-1", "worker_id": WORKER, "injured_at": "2026-10-03T09:00:00+08:00",
            "noticed_at": "2026-10-03T09:05:00+08:00",
        },
        TOTALS: {"source": "tax-bureau", "enterprise": GREEN, "day": "2026-10-03", "count": 1},
        REMITTANCES: {
            "remittance_id": "r-1", "enterprise": GREEN, "province": "44", "amount_yuan": "1.00",
            "received_on": "2026-10-03",
        },
    }  # fmt: skip
    for topic, field in IDENTITIES:
        fault = await house.read(topic, msgspec.json.encode(known[topic] | {field: CITIZEN}))
        assert fault is not None, (topic, field)
        assert (fault.reason, CITIZEN in fault.detail) == ("identity_in_clear", False), (topic, field)
        assert await house.read(topic, msgspec.json.encode(known[topic])) is None


def test_a_token_and_a_right_code_are_no_identity() -> None:
    digits = "13812345678" + "a" * 53
    message = msgspec.defstruct("Message", [("worker_id", str), ("enterprise", str)])(digits, GREEN)
    assert find_identity(message) is None


async def test_a_nul_in_a_message_is_kept_as_unreadable_and_the_next_one_is_taken(house: House) -> None:
    """Case 2, both topics."""
    for count, (topic, body) in enumerate(WITH_NUL, 1):
        fault = await house.read(topic, body)
        assert fault is not None, body
        assert fault.reason == "undecodable"
        assert [finding["kind"] for finding in await house.discrepancies()] == ["unreadable_message"] * count
        good = body.replace(b',"no\\u0000te":1', b"").replace(b',"\\u0000":1', b"")
        assert await house.read(topic, good.replace(b"\\u0000", GREEN.encode())) is None


async def test_a_finding_with_nul_in_every_text_is_registered(database: str) -> None:
    """Kind N: one function makes all texts of messages ones that PostgreSQL can hold."""
    strange = "a\0b\ud800"
    finding = Discrepancy(
        kind=FindingKind.UNBUILDABLE, key=strange, detail=strange, declared=strange, reported=strange,
        evidence={strange: strange, "list": [strange]},
    )  # fmt: skip
    async with open_engine(await migrate_reporting(database)) as engine, engine.begin() as connection:
        assert await record(connection, finding)
        assert not await record(connection, finding), "it is the same one"
        rows = await connection.exec_driver_sql("select key, detail, declared, evidence from reporting.discrepancy")
        shown = "a\N{SYMBOL FOR NULL}b?"
        assert [tuple(row) for row in rows] == [(shown, shown, shown, {shown: shown, "list": [shown]})]
