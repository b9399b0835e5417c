"""Somebody sends who a worker is: nothing of it is taken, and of what is kept nothing can be read for ever."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import asyncpg
import msgspec
import pytest
from msgspec.structs import asdict

from services.audit.charging.identities import check_identities
from services.audit.verdict import Check, Verdict
from services.charging.close.order_findings import DayFinder
from services.charging.queries.parked_events import ParkedEvents
from services.charging.queries.proofs import Proofs
from services.ledger.billing.remittances import take_remittance
from services.ledger.books.open_days import read_books
from services.ledger.operations.alarms import read_alarms
from shared.adapters.kafka.faststream_broker import open_broker
from shared.adapters.postgres.sealing.kept_keys import KeptKeys
from shared.contracts.findings import FindingKind
from shared.contracts.manifests import RemittanceReceived
from shared.contracts.parking import ParkReason
from shared.runtime.settings import Settings
from tests.integration.charging.charging_harness import (
    NOON,
    OTHER_RIDES,
    RIDES,
    House,
    Sent,
    accepted,
    cancelled,
    declared,
    reported,
)
from tests.integration.ledger.ledger_harness import ENTERPRISE, Ledger, open_ledger

CITIZEN, OLD, MOBILE, NAME = "11010519491231002X", "110105491231002", "13800138000", "张三"
PINYIN = "ZhangSan.Beijing"
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
    assert reported(await one.charge(*sent)) == {("parked", "identity_in_clear"): 3, ("charged", None): 1}
    details = {detail for (detail,) in await house.fetch("select distinct detail from charging.parked")}
    assert all("; send " in detail for detail in details), "it says what to send instead"
    assert not any(number in detail for detail in details for number in (CITIZEN, OLD, MOBILE))


async def test_series_and_ids_of_manifests_that_name_a_person_are_parked(house: House) -> None:
    one = await house.worker()
    series = accepted("o1", series=MOBILE, sequence=1)
    manifest = declared(CITIZEN)
    assert reported(await one.charge(series, manifest)) == {("parked", "identity_in_clear"): 2}
    assert await house.value("select count(*) from charging.declaration") == 0


async def test_an_agency_code_needs_its_check_digit(house: House) -> None:
    one = await house.worker()
    wrong, right = accepted("o1", agency_uscc="91000000FAKE900003"), accepted("o2", agency_uscc="91000000FAKE900002")
    assert reported(await one.charge(wrong, right)) == {("parked", "bad_value"): 1, ("charged", None): 1}


async def test_no_order_loses_its_cover_because_of_its_number(house: House) -> None:
    one = await house.worker()
    assert reported(await one.charge(accepted(CITIZEN), accepted(MOBILE))) == {("charged", None): 2}


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


def sent_by_mistake(order_id: str = PINYIN) -> Sent:
    """An order that holds a person's name, number and telephone in the bytes, the key and a header."""
    more: dict[str, Any] = {"driver": NAME, "phone": MOBILE, "card": CITIZEN, NAME: OLD}
    value = accepted(order_id, **more).value
    return Sent(value, key=CITIZEN.encode(), headers=[("driver", NAME.encode()), (MOBILE, b"x")])


def kept_kinds() -> list[Sent]:
    """What is kept aside for each sort of reason, all with a person in it, and a conflict."""
    return [
        sent_by_mistake(),
        Sent(f"driver {NAME}, {MOBILE}".encode(), key=MOBILE.encode()),
        Sent(f'{{"type": "{NAME}", "phone": {MOBILE}}}'.encode()),
        accepted("o2", industry=NAME),
        accepted("o1", employer_insurance_no=CITIZEN),
    ]


async def in_clear(house: House) -> set[str]:
    """The needles that are anywhere in charging's tables, as text or as bytes."""
    needles = {needle: needle.encode().hex() for needle in (CITIZEN, OLD, MOBILE, NAME, PINYIN)}
    owner = await asyncpg.connect(house.owner_url)
    try:
        tables = await owner.fetch("select relname from pg_class where relnamespace = 'charging'::regnamespace"
                                   " and relkind = 'r'")  # fmt: skip
        needles_in_clear = set()
        for (table,) in tables:
            for (text,) in await owner.fetch(f'select t::text from charging."{table}" t'):
                needles_in_clear |= {needle for needle, as_hex in needles.items() if needle in text or as_hex in text}
        return needles_in_clear
    finally:
        await owner.close()


async def age_keys(house: House, days: int) -> None:
    """As if everything had been kept so many days ago."""
    owner = await asyncpg.connect(house.owner_url)
    try:
        await owner.execute("set session_replication_role = replica")  # for it is append-only
        for table, column in (("kept_key", "day"), ("parked", "sealed_on"), ("conflict", "sealed_on")):
            await owner.execute(f"update charging.{table} set {column} = {column} - {days}")
    finally:
        await owner.close()


async def test_nothing_that_is_kept_can_be_read_without_its_key(house: House) -> None:
    """The number, the telephone, the name, in bytes, key and headers, in a value that a detail would quote."""
    one = await house.worker()
    await one.charge(accepted("o1"))
    manifest = await one.charge(*kept_kinds(), accepted("o1", token_key=2))
    assert sum(total.orders for total in manifest.totals) == 6
    assert await in_clear(house) == set()
    kept = await house.kept("parked")
    assert {record.value for record in kept.values()} == {kind.value for kind in kept_kinds()}, "with it, as it came"
    mistaken = next(record for record in kept.values() if record.key == CITIZEN.encode())
    assert mistaken.headers == [("driver", NAME.encode()), (MOBILE, b"x")]
    redacted = [row[0] for row in await house.fetch("select redacted from charging.parked order by leaf_index")]
    assert '"industry":"ride_hailing"' in redacted[0]
    assert '"order_id":"…"' in redacted[0]
    assert redacted[1].endswith("that are no JSON")


async def test_when_the_time_is_over_the_bytes_are_gone_and_every_proof_stands(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"))
    await one.charge(*kept_kinds(), accepted("o1", token_key=2), accepted("o3"))
    keys, before = KeptKeys(house.pool, "charging", 90), await house.value("select key from charging.kept_key")
    await age_keys(house, 90)
    await keys.rotate()
    assert len(await house.kept("parked")) == 5, "ninety days are not over"
    await age_keys(house, 1)
    await keys.rotate()
    assert await keys.readiness() is None
    left = await house.fetch("select key is null, destroyed_at is not null from charging.kept_key order by day")
    assert left == [(True, True), (False, False), (False, False)]
    owner = await asyncpg.connect(house.owner_url)
    try:
        await owner.execute("checkpoint")
        pages = await owner.fetchval("select pg_read_binary_file(pg_relation_filepath('charging.kept_key'))")
    finally:
        await owner.close()
    assert before not in pages, "nor does an old version of the row hold the key"
    assert len(await Proofs(house.pool).order(RIDES, "o3", NOON.date())) == 1
    parked = await ParkedEvents(house.pool, open_broker(Settings())).page(None, None, "", 10)
    assert all(event.value_base64 is None and event.erased_at and event.sha256 for event in parked)
    sent = await ParkedEvents(house.pool, open_broker(Settings())).send_again(ParkReason.IDENTITY_IN_CLEAR, None)
    assert asdict(sent) == {"resent": 0, "erased": 1, "altered": 0, "too_large": 0}


async def test_a_key_is_destroyed_and_never_changed(house: House) -> None:
    await house.worker()
    for change in (
        "update charging.kept_key set key = sha256('')",
        "update charging.kept_key set key = null, destroyed_at = now()",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await house.pool.execute(change)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await house.pool.execute("delete from charging.kept_key")


async def test_a_key_that_is_left_too_long_is_an_alarm(house: House) -> None:
    await house.worker()
    await age_keys(house, 92)
    owner = await asyncpg.connect(house.owner_url)
    try:
        await owner.execute("revoke update on charging.kept_key from danbao_charging")
        await owner.execute("revoke update (key, destroyed_at) on charging.kept_key from danbao_charging")
    finally:
        await owner.close()
    keys = KeptKeys(house.pool, "charging", 90)
    await keys.rotate()
    assert "should have been erased by now" in (await keys.readiness() or "")


async def test_sealed_bytes_that_were_changed_are_not_sent_again(house: House) -> None:
    one = await house.worker()
    await one.charge(*kept_kinds())
    owner = await asyncpg.connect(house.owner_url)
    try:
        await owner.execute("set session_replication_role = replica")
        await owner.execute("update charging.parked set sealed = set_byte(sealed, 20, 255 - get_byte(sealed, 20))")
    finally:
        await owner.close()
    parked = ParkedEvents(house.pool, open_broker(Settings()))
    assert asdict(await parked.send_again(ParkReason.NOT_JSON, None)) == {
        "resent": 0,
        "erased": 0,
        "altered": 1,
        "too_large": 0,
    }
    assert all(event.altered for event in await parked.page(None, None, "", 10))


async def audit_of(house: House) -> Check:
    owner = await asyncpg.connect(house.owner_url)
    try:
        async with owner.transaction():
            verdict = Verdict()
            await check_identities(owner, [owner], verdict)
    finally:
        await owner.close()
    (check,) = verdict.checks
    return check


async def test_the_audit_looks_at_every_place_and_says_what_it_is(house: House) -> None:
    """Older rows are reported and fail nothing; what the rule keeps clean fails; a new column is seen."""
    one = await house.worker()
    await one.charge(accepted("o1"), accepted(CITIZEN), *kept_kinds())
    check = await audit_of(house)
    assert (check.findings, check.notes) == ([], [])
    owner = await asyncpg.connect(house.owner_url)
    try:
        await owner.execute("set session_replication_role = replica")  # for it is append-only
        for column, number in (("agency_uscc", CITIZEN), ("employer_insurance_no", MOBILE), ("series", MOBILE)):
            await owner.execute(f"update charging.entry set {column} = $1 where order_id = 'o1'", number)
        await owner.execute("alter table charging.pause add note text")
        await owner.execute("insert into charging.pause (topic, is_paused, events, parked, reason, note)"
                            " values ('t', true, 1, 1, 'r', $1)", f"call {MOBILE}")  # fmt: skip
        noted = await audit_of(house)
        await owner.execute("update charging.parked set detail = $1", f"driver {CITIZEN}")
    finally:
        await owner.close()
    assert noted.has_passed
    places = {note.partition(":")[0] for note in noted.notes}
    assert places == {
        "charging.entry.agency_uscc", "charging.entry.employer_insurance_no", "charging.entry.series",
        "charging.pause.note",
    }  # fmt: skip
    assert CITIZEN not in str(noted.notes)
    assert not (await audit_of(house)).has_passed


async def test_order_ids_that_are_telephone_numbers_are_a_finding_by_their_share(house: House) -> None:
    one = await house.worker()
    chance = [accepted(f"{n}") for n in range(20_000_000_000, 20_000_000_090)]
    chance += [accepted(f"1390000{n:04}") for n in range(8)]
    await one.charge(*chance, accepted("ord-77"))
    await one.charge(*(accepted(f"1380013{n:04}", uscc=OTHER_RIDES) for n in range(40)))
    await house.close("2026-10-03")
    findings = await DayFinder(house.pool, 3_600, 3).find(NOON.date())
    assert findings is not None
    alike = [finding for finding in findings.findings if finding.kind is FindingKind.IDENTITY_LIKE_ORDER_IDS]
    assert [(finding.enterprise, finding.count, finding.orders) for finding in alike] == [(OTHER_RIDES, 40, [])]
    check = await audit_of(house)
    assert check.has_passed
    assert [note for note in check.notes if OTHER_RIDES in note] == check.notes != []
