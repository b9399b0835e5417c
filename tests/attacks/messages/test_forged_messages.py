"""Somebody who has the broker's address writes manifests, counts and messages of others (K2 to K8, K15).

He may have a key that is known here, but of another author, and he may repeat what rightful authors have sent.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy.exc import DBAPIError

from services.ledger.books.open_days import read_books
from services.ledger.close.compare_count import take_count
from services.ledger.log.entries import append_log_entry
from services.ledger.operations.alarms import read_alarms
from services.verify.keys import Keys
from services.verify.statement import verify_statement
from services.verify.verdict import NotProved
from shared.adapters.crypto.signing import AuthorSigner, is_signed
from shared.contracts.manifests import PremiumsCharged, head_of, sign_manifest
from shared.domain.evidence.authors import Authors
from tests.integration.ledger.ledger_harness import (
    COUNTERS,
    ENTERPRISE,
    Ledger,
    manifest,
    new_run,
    open_ledger,
    signed,
    total,
)
from tests.integration.ledger.log_harness import LogHouse, open_log_house
from tests.integration.ledger.test_ledger_billing import OPENED_ON, SEPTEMBER, bill, close_until
from tests.integration.ledger.test_statement_evidence import evidence_of
from tests.support.authors import ALL, CHARGING, LEDGER, STRANGER, WEST

DECEIVED = Authors([signer.author for signer in (*ALL, STRANGER)], is_signed)
"""What a ledger and a witness take that let a stranger in, as all did before authors were required."""
UNSIGNED: dict[str, None] = {"author": None, "signature": None}


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database, OPENED_ON) as opened:
        yield opened


def by(signer: AuthorSigner | None, one: PremiumsCharged) -> PremiumsCharged:
    """The manifest as somebody signs it; nobody for None."""
    if signer is None:
        return msgspec.structs.replace(one, **UNSIGNED)
    return sign_manifest(one, signer.key_id, signer.sign)


async def alarms(ledger: Ledger) -> list[str]:
    async with ledger.engine.connect() as connection:
        return await read_alarms(connection, await read_books(connection), 0)


async def booked(ledger: Ledger) -> int:
    count: int = await ledger.value("select count(*) from ledger.manifest_booked")
    return count


FORGERS = {
    "nobody": (None, "unsigned"),
    "a stranger": (STRANGER, "wrong_author"),
    "the ledger": (LEDGER, "wrong_author"),
    "another deployment": (WEST, "wrong_author"),
}


@pytest.mark.parametrize("forger", FORGERS)
async def test_a_forged_manifest_is_not_booked_and_the_true_ones_are(ledger: Ledger, forger: str) -> None:
    """K5 and K8: a made-up run, and the next number of a real one. The day closes on what charging wrote."""
    signer, reason = FORGERS[forger]
    run = new_run()
    true = ledger.charging.write(run, total(orders=19))
    for one in (manifest("0" * 31 + "1", 1, [total(orders=1_000_000)]), manifest(run, 1, []), manifest(run, 2, [])):
        assert await ledger.take_signed(by(signer, one)) == "refused"
    assert await ledger.take(true) == "booked"
    assert await ledger.close(OPENED_ON) == "closed"
    assert await booked(ledger) == await ledger.value("select count(*) from ledger.log_entry") == 1
    assert await alarms(ledger) == [f"message_refused: premiums.charged.v1: {reason}: 3"]


async def test_a_manifest_cannot_say_that_another_deployment_made_it(ledger: Ledger) -> None:
    """K7: new books, and a manifest that names every enterprise as another deployment's."""
    claim = manifest(new_run(), 1, [total(orders=1)])
    for one in (claim, msgspec.structs.replace(claim, deployment="west")):
        assert await ledger.take_signed(by(WEST, msgspec.structs.replace(one, deployment="charging"))) == "refused"
        assert await ledger.take_signed(by(CHARGING, msgspec.structs.replace(one, deployment="west"))) == "refused"
        assert await ledger.take_signed(by(STRANGER, one)) == "refused"
    assert await ledger.value("select count(*) from ledger.enterprise_deployment") == 0
    await ledger.charge(new_run(), total(orders=19))
    assert await booked(ledger) == 1


async def test_a_signature_is_for_one_manifest(ledger: Ledger) -> None:
    """What charging has signed, with another number, kind, root or figure in it."""
    run = new_run()
    true = ledger.charging.write(run, total(orders=19))
    changed: tuple[dict[str, Any], ...] = (
        {"number": 2}, {"kind": "correction"}, {"leaves": 20}, {"root": "0" * 64}, {"run": new_run()}, {"edition": 1},
        {"totals": [total(orders=20)]}, {"totals": []},
    )  # fmt: skip
    for change in changed:
        assert await ledger.take_signed(msgspec.structs.replace(true, **change)) == "refused", change
    assert await ledger.take_signed(true) == "booked"
    assert await ledger.take_signed(true) == "already_booked"


async def test_a_settlement_within_a_count_needs_its_author_too(ledger: Ledger) -> None:
    await ledger.charge(new_run(), total(orders=19))
    await ledger.begin_close(OPENED_ON)
    counted = ledger.charging.count(await ledger.last_closing())
    forged = by(STRANGER, manifest(new_run(), 1, [total()]))
    lie = msgspec.structs.replace(counted, settlement=forged)
    assert await take_count(ledger.engine, msgspec.json.encode(lie), COUNTERS) == "refused"
    assert await ledger.answer() == "closed"
    assert await alarms(ledger) == ["message_refused: days.counted.v1: wrong_author: 1"]


async def test_the_tables_take_no_entry_without_an_author(ledger: Ledger) -> None:
    """A row that passes the ledger's check is still refused by the database."""
    async with ledger.engine.connect() as connection:
        with pytest.raises(DBAPIError, match="has no author"):
            await append_log_entry(connection, head_of(manifest(new_run(), 1, [total()])).without_author())


async def deceived_month(ledger: Ledger, house: LogHouse, forged: PremiumsCharged) -> bytes:
    """A month in which the ledger has booked a forged manifest and the witness has cosigned it: its evidence."""
    house.authors = DECEIVED
    ledger.charging.manifests[forged.run, forged.number] = forged
    assert await ledger.take_signed(forged, DECEIVED) == "booked"
    await ledger.charge(new_run(), total(orders=19, day=OPENED_ON))
    await close_until(ledger, date(2026, 9, 30))
    assert (await bill(ledger, SEPTEMBER)).state == "issued"
    return json.dumps(await evidence_of(house, f"2026-09-44-{ENTERPRISE}")).encode()


async def test_the_statement_of_a_forged_manifest_is_not_proved(
    ledger: Ledger, platform_database: str, tmp_path: Path
) -> None:
    """K6: 1,000,019 orders instead of 19, in a log that its own key signed and the witness cosigned."""
    forged = by(STRANGER, manifest("0" * 31 + "1", 1, [total(orders=1_000_000, day=OPENED_ON)]))
    async with open_log_house(ledger, platform_database, tmp_path) as house:
        evidence = await deceived_month(ledger, house, forged)
        assert json.loads(evidence)["statement"]["orders"] == 1_000_019
        keys = Keys.read([*map(str, house.vkeys), str(CHARGING.author)])
    with pytest.raises(NotProved) as failed:
        verify_statement(evidence, keys)
    assert str(failed.value) == (
        "NOT proved: the author of entry 0 does not hold: manifest 1 of run 00000000000000000000000000000001 was not"
        f" made by charging: key {STRANGER.key_id.hex()} is none of its known keys"
    )


async def test_the_witness_does_not_cosign_it(ledger: Ledger, platform_database: str, tmp_path: Path) -> None:
    """The ledger alone was deceived, or deceives: nobody else sees a checkpoint over it."""
    forged = by(STRANGER, manifest(new_run(), 1, [total(orders=1_000_000)]))
    async with open_log_house(ledger, platform_database, tmp_path) as house:
        await ledger.charge(new_run(), total(orders=19))
        await house.sign()
        assert await house.cosign() == "cosigned"
        assert await ledger.take_signed(forged, DECEIVED) == "booked"
        await house.sign()
        assert await house.cosign() == "refused"
        assert (await house.alarms())[0].startswith("witness_refused: ")
        assert [alarm.partition(":")[0] for alarm in await house.witness_alarms()] == ["log author_not_proved"]
        async with house.api() as api:
            note = (await api.get("/log/checkpoint")).content
        assert house.check(note)[0].size == 1


async def test_a_retired_key_says_nothing_new(ledger: Ledger) -> None:
    """A leaked old key: what it signed stays proved, and nothing more is taken of it."""
    old = ledger.charging.write(new_run(), total(orders=19))
    assert await ledger.take_signed(old) == "booked"
    after = Authors([replace(CHARGING.author, is_retired=True)], is_signed)
    new = signed(ledger.charging.write(new_run(), total(orders=1)))
    assert await ledger.take_signed(new, after) == "refused"
