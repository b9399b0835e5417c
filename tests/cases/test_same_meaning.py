"""What a message says decides whether it is a repeat, and not how it is spelled."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Final, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from services.charging.numbers.number_findings import series_findings
from shared.contracts.events import Declaration, DeclaredSeries, DeclaredTotal, NumberRange
from shared.contracts.findings import DayFindings, Delays
from shared.contracts.manifests import (
    DayClosed,
    DayClosing,
    DayCounted,
    PremiumsCharged,
    RemittanceReceived,
    StatementIssued,
)
from shared.contracts.notices import InjuryNoticed, TotalReported
from shared.contracts.topics import INJURIES, TOTALS
from shared.domain.calendar import SHANGHAI
from shared.intake.message_content import MONEY, content_hash, declared_content
from tests.integration.charging.charging_harness import NOON, RIDES, Sent, migrate_charging, open_house, reported
from tests.integration.charging.charging_harness import House as ChargingHouse
from tests.integration.charging.test_charging_numbers import DAY, Closes, number
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import GREEN, WORKER, House, closed_day, make_keys, reporting_house
from tests.support.waiting import eventually_async

MESSAGES: Final = (
    PremiumsCharged, DayClosing, DayCounted, DayClosed, StatementIssued, RemittanceReceived, InjuryNoticed,
    TotalReported,
)  # fmt: skip
AT: Final = datetime(2026, 10, 3, 9, tzinfo=SHANGHAI)
REPORTED_ON: Final = date(2026, 10, 3)
REMITTANCE: Final = RemittanceReceived(
    remittance_id="r-1", enterprise=GREEN, province="44", amount_yuan="100.50", received_on=date(2026, 11, 10)
)
RECEIVED: Final = Delays(enterprise=GREEN, province="44", insured_on=REPORTED_ON, orders=[120, 0, 0, 0, 0, 0, 0, 0])
NUMBERS: Final = st.integers(1, 40)
SPANS: Final = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5)


@pytest.fixture
async def charging(database: str) -> AsyncIterator[ChargingHouse]:
    await migrate_charging(database)
    async with open_house(database) as opened:
        yield opened


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with reporting_house(database, platform_database, make_keys(tmp_path), OtherServices()) as opened:
        yield opened


def test_money_and_instants_count_by_their_value() -> None:
    """Case 14, for remittances and notices alike."""
    again = msgspec.structs.replace(REMITTANCE, amount_yuan="100.5")
    assert content_hash(again) == content_hash(REMITTANCE)
    assert content_hash(msgspec.structs.replace(REMITTANCE, amount_yuan="100.51")) != content_hash(REMITTANCE)
    notice = InjuryNoticed(notice_id="n", worker_id=WORKER, injured_at=AT, noticed_at=AT)
    assert content_hash(msgspec.structs.replace(notice, noticed_at=AT.astimezone(UTC))) == content_hash(notice)
    later = msgspec.structs.replace(notice, noticed_at=AT + timedelta(seconds=1))
    assert content_hash(later) != content_hash(notice)


@pytest.mark.parametrize("message", MESSAGES)
def test_no_message_holds_an_instant_or_money_where_its_content_would_be_compared_by_spelling(
    message: type[Struct],
) -> None:
    """`content_hash` normalizes the fields of a message itself; deeper ones must have one spelling only."""
    below = {inner for field in msgspec.structs.fields(message) for inner in _structs_in(field.type)}
    for inner in below:
        for field in msgspec.structs.fields(inner):
            assert datetime not in _types_in(field.type), (inner, field.name)
            assert not field.encode_name.endswith(MONEY), (inner, field.name)


def _types_in(kind: Any) -> set[Any]:
    if get_origin(kind) is None and not isinstance(kind, UnionType):
        return {kind}
    return {inner for part in get_args(kind) for inner in _types_in(part)}


def _structs_in(kind: Any) -> set[type[Struct]]:
    known: set[type[Struct]] = set()
    waiting = [kind]
    while waiting:
        for inner in _types_in(waiting.pop()):
            if isinstance(inner, type) and issubclass(inner, Struct) and inner not in known:
                known.add(inner)
                waiting += [field.type for field in msgspec.structs.fields(inner)]
    return known


def declaration(series: dict[str, tuple[list[Any], list[Any]]], totals: list[tuple[str, int, str]]) -> Declaration:
    return Declaration(
        declaration_id="d-1",
        day=DAY,
        series=[
            DeclaredSeries(name, [NumberRange(*span) for span in used], [NumberRange(*span) for span in unused])
            for name, (used, unused) in series.items()
        ],
        totals=[DeclaredTotal(province, "ride_hailing", orders, yuan) for province, orders, yuan in totals],
    )


@given(SPANS, SPANS, st.randoms(use_true_random=False))
def test_a_manifest_says_the_same_in_any_order_and_division(used: list[Any], unused: list[Any], rng: Any) -> None:
    said = declaration({"a": (used, unused), "b": ([(1, 1)], [])}, [("44", 3, "0.30"), ("11", 2, "7")])
    shuffled = [(first, last) for span in used for first, last in _divided(span, rng)]
    rng.shuffle(shuffled)
    again = declaration({"b": ([(1, 1)], []), "a": (shuffled, unused[::-1])}, [("11", 2, "7.00"), ("44", 3, "0.3")])
    assert declared_content(said) == declared_content(again)
    assert content_hash(said) == content_hash(again)
    held = {n for first, last in used for n in range(first, last + 1)}
    more = declaration({"a": ([*used, (50, 50)], unused), "b": ([(1, 1)], [])}, [("44", 3, "0.30"), ("11", 2, "7")])
    assert (declared_content(more) == declared_content(said)) == (50 in held)


def _divided(span: tuple[int, int], rng: Any) -> list[tuple[int, int]]:
    first, last = span
    if first >= last:
        return [span]
    at = rng.randrange(first, last)
    return [(first, at), (at + 1, last)]


async def test_a_manifest_in_another_spelling_or_order_is_a_repeat_and_no_finding(charging: ChargingHouse) -> None:
    """Kind B: such a manifest was `manifest_changed` against the enterprise, under the same id and under another."""
    one, close = await charging.worker(), Closes(charging)
    await one.charge(*[number(n) for n in range(1, 7)])
    first = {
        "declaration_id": "d-1", "day": str(DAY),
        "series": [{"series": "main", "used": [{"first": 1, "last": 6}]}, {"series": "x", "used": [], "unused": []}],
        "totals": [
            {"province": "44", "industry": "ride_hailing", "orders": 6, "premium_yuan": "0.06"},
            {"province": "11", "industry": "ride_hailing", "orders": 0, "premium_yuan": "0"},
        ],
    }  # fmt: skip
    again = {
        "totals": [
            {"premium_yuan": "0.00", "orders": 0, "industry": "ride_hailing", "province": "11"},
            {"province": "44", "industry": "ride_hailing", "orders": 6, "premium_yuan": "0.0600"},
        ],
        "series": [
            {"series": "x", "used": []},
            {"series": "main", "used": [{"first": 4, "last": 6}, {"first": 1, "last": 3}], "unused": []},
        ],
        "day": str(DAY), "declaration_id": "d-1",
    }  # fmt: skip
    other_id = again | {"declaration_id": "d-2"}
    changed = again | {"totals": []}
    manifest = await one.charge(*map(declared, (first, again, other_id)))
    assert reported(manifest) == {("recorded", "declaration"): 2, ("repeat", None): 1}
    await close(DAY)
    assert "manifest_changed" not in await findings(charging, DAY)
    assert reported(await one.charge(declared(changed))) == {("conflict", None): 1}
    await close(DAY + timedelta(days=1))
    assert (await findings(charging, DAY + timedelta(days=1))).count("manifest_changed") == 1


def declared(data: object) -> Sent:
    event = {"specversion": "1.0", "id": "e", "source": f"urn:uscc:{RIDES}", "type": "day.declared.v1", "data": data}
    return Sent(msgspec.json.encode(event), NOON + timedelta(hours=20), RIDES)


async def findings(charging: ChargingHouse, day: date) -> list[str]:
    async with charging.pool.acquire() as connection:
        return [finding.kind.value for finding in await series_findings(connection, day)]


async def test_a_notice_in_another_spelling_is_a_harmless_repeat(house: House) -> None:
    """Case 14."""
    worker = WORKER.encode()
    first = b'{"notice_id":"n-5","worker_id":"%s","injured_at":"2026-10-03T09:00:00+08:00","noticed_at":'
    again = b'{"noticed_at":"2026-10-03T01:05:00Z", "injured_at":"2026-10-03T01:00:00Z","worker_id":"%s",'
    assert await house.read(INJURIES, first % worker + b'"2026-10-03T09:05:00+08:00"}') is None
    assert await house.read(INJURIES, again % worker + b'"notice_id":"n-5"}') is None
    assert await house.discrepancies() == []
    fault = await house.read(INJURIES, again.replace(b"05:00Z", b"06:00Z") % worker + b'"notice_id":"n-5"}')
    assert fault is not None
    assert fault.reason == "different_content"


async def test_a_corrected_count_is_compared_and_the_false_difference_goes(house: House) -> None:
    """Case 14, 13b: 100, then 120, which is right; a source may also go back to what it said first."""
    counted = partial(TotalReported, source="tax-bureau", enterprise=GREEN, day=REPORTED_ON)
    house.others.findings[str(REPORTED_ON)] = DayFindings(findings=[], delays=[RECEIVED])
    await house.receive(counted(count=100), closed_day(REPORTED_ON, []))
    await house.examined()

    async def is_open(*details: str) -> bool:
        return sorted(row["detail"] for row in await house.discrepancies()) == sorted(details)

    first = f"tax-bureau counts 100 orders of {REPORTED_ON}, 120 were received"
    await eventually_async(partial(is_open, first), "the difference")
    assert await house.read(TOTALS, msgspec.json.encode(counted(count=120))) is None
    await eventually_async(is_open, "no difference")
    await house.receive(counted(count=120))
    await house.receive(counted(count=100))
    await eventually_async(partial(is_open, first), "the difference, once the source says so again")
