"""Forged messages at every reader of each topic (K2 to K4, K6, K11, K15): quarantined, and the true ones are handled.

The forger has the broker's address, and may have the key of another author, or a true message of another topic.
"""

from datetime import date
from hashlib import sha256

import msgspec
import pytest

from shared.adapters.crypto.signing import AuthorSigner
from shared.contracts.manifests import DayClosed, RemittanceReceived
from shared.contracts.notices import TotalReported
from shared.contracts.quarantine import Message
from shared.contracts.topics import (
    DAYS_CLOSED,
    DAYS_CLOSING,
    DAYS_COUNTED,
    INJURIES,
    INTERNAL,
    MANIFESTS,
    REMITTANCES,
    SIGNATURE_HEADER,
    SPEAKERS,
    STATEMENTS,
    TOTALS,
)
from tests.attacks.messages import poison_readers
from tests.attacks.messages.poison_messages import sound
from tests.attacks.messages.poison_readers import (
    RECORDED_AT,
    Readers,
)
from tests.integration.ledger.ledger_harness import ENTERPRISE, OPENED_ON, new_run, total
from tests.support.authors import ALL, CHARGING, COLLECTOR, LEDGER, METERS, STRANGER, WEST, headers_of

DAY = date(2026, 10, 3)
Headers = tuple[tuple[str, bytes], ...]


ledger, reporting, charging = poison_readers.ledger, poison_readers.reporting, poison_readers.charging


async def fault_of(readers: Readers, topic: str, body: bytes, headers: Headers) -> str:
    """Why it was quarantined."""
    fault = await readers.topics.deliver(Message(topic, 0, 0, body, RECORDED_AT, headers))
    assert fault is not None, (topic, headers)
    return fault.reason.value


def forgeries(topic: str, body: bytes) -> dict[str, tuple[Headers, str]]:
    """Headers that somebody else can make, and the reason under which each is quarantined."""
    true = headers_of(topic, body)
    others = [signer for signer in (*ALL, STRANGER) if signer.author.role != SPEAKERS[topic] or signer is STRANGER]
    return {
        "none": ((), "unsigned"),
        "empty": (((SIGNATURE_HEADER, b""),), "unsigned"),
        "twice": (true * 2, "unsigned"),
        "under another name": ((("Danbao-Signature", true[0][1]),), "unsigned"),
        "of other bytes": (headers_of(topic, body + b" "), "wrong_author"),
        **{f"of {other}": (_replayed(other, topic, body), "wrong_author") for other in INTERNAL if other != topic},
        **{f"by {other.author.key.name}": (headers_of(topic, body, other), "wrong_author") for other in others},
    }


def _replayed(other: str, topic: str, body: bytes) -> Headers:
    """What the rightful author of the topic has signed for another one."""
    return headers_of(other, body, _speaker(topic))


def _speaker(topic: str) -> AuthorSigner:
    return next(signer for signer in ALL if signer.author.role == SPEAKERS[topic])


async def refuse_all(readers: Readers, topic: str) -> None:
    body = msgspec.json.encode(sound(topic, 1))
    for name, (headers, reason) in forgeries(topic, body).items():
        assert await fault_of(readers, topic, body, headers) == reason, (topic, name)
    assert sha256(body).hexdigest() in {row["sha256"] for row in await readers.kept()}, "a forgery is kept"
    assert await readers.read(topic, sound(topic, 1)) is None, "the true one is taken after it"


@pytest.mark.parametrize("topic", [MANIFESTS, REMITTANCES])
async def test_the_ledger_takes_only_what_its_author_signed(ledger: Readers, topic: str) -> None:
    await refuse_all(ledger, topic)


@pytest.mark.parametrize("topic", [MANIFESTS, DAYS_CLOSED, STATEMENTS, REMITTANCES, INJURIES, TOTALS])
async def test_reporting_takes_only_what_its_author_signed(reporting: Readers, topic: str) -> None:
    await refuse_all(reporting, topic)


async def test_charging_takes_only_what_the_ledger_signed(charging: Readers) -> None:
    """K11: a forged question takes the place of no true one."""
    await refuse_all(charging, DAYS_CLOSING)


async def test_nothing_is_decoded_before_its_author_is_known(ledger: Readers) -> None:
    assert await fault_of(ledger, REMITTANCES, b"\xff", ()) == "unsigned"
    assert await fault_of(ledger, REMITTANCES, b"\xff", headers_of(REMITTANCES, b"\xff")) == "undecodable"


async def test_a_remittance_of_a_stranger_pays_nothing_and_takes_no_number(ledger: Readers) -> None:
    """K2: the first message of an id counts among rightful authors only."""
    assert ledger.ledger is not None
    reported = RemittanceReceived(
        remittance_id="BANK-20261113-77", enterprise=ENTERPRISE, province="44", amount_yuan="9.25", received_on=DAY
    )
    for signer in (STRANGER, CHARGING, LEDGER, METERS):
        fault = await ledger.read(REMITTANCES, reported, signer=signer)
        assert fault is not None
        assert fault.reason == "wrong_author"
    assert await ledger.ledger.value("select count(*) from ledger.remittance") == 0
    true = msgspec.structs.replace(reported, amount_yuan="1.00")
    assert await ledger.read(REMITTANCES, true, signer=COLLECTOR) is None
    assert await ledger.ledger.value("select amount from ledger.remittance") == 10_000


async def test_a_forged_count_closes_no_day(ledger: Readers) -> None:
    """K6: sent before charging's own answer, by a stranger, another service or another deployment."""
    books = ledger.ledger
    assert books is not None
    await books.charge(new_run(), total(orders=19))
    await books.begin_close(OPENED_ON)
    true = books.charging.count(await books.last_closing())
    lie = msgspec.structs.replace(true, totals=[total(orders=1_000_019)])
    for signer in (STRANGER, LEDGER, COLLECTOR, WEST):
        fault = await ledger.read(DAYS_COUNTED, lie, signer=signer)
        assert fault is not None
        assert fault.reason == "wrong_author"
    assert await books.value("select count(*) from ledger.day_closed") == 0
    assert await ledger.read(DAYS_COUNTED, true) is None
    assert await books.value("select orders from ledger.day_closed") == 19


async def test_a_forged_close_of_a_day_is_no_close(reporting: Readers) -> None:
    """K4 and K4b: 250,000 orders of a day that is open, and an empty day of 2022."""
    true = sound(DAYS_CLOSED, 1)
    assert isinstance(true, DayClosed)
    lie = msgspec.structs.replace(true, totals=[total(orders=250_000, day=true.day)])
    for one in (lie, msgspec.structs.replace(true, day=date(2022, 1, 1), totals=[])):
        fault = await reporting.read(DAYS_CLOSED, one, signer=CHARGING)
        assert fault is not None
        assert fault.reason == "wrong_author"
    assert await reporting.pool.fetchval("select count(*) from reporting.day_closed") == 0
    assert await reporting.read(DAYS_CLOSED, true) is None


async def test_a_meter_counts_in_its_own_name_only(reporting: Readers) -> None:
    """K15: a client with the key of one source cannot accuse in the name of another."""
    reported = TotalReported(source="bank", enterprise=ENTERPRISE, day=DAY, count=999_999)
    fault = await reporting.read(TOTALS, reported, signer=METERS)
    assert fault is not None
    assert (fault.reason, "'bank'" in fault.detail) == ("wrong_author", True)
    assert await reporting.read(TOTALS, reported) is None


async def test_a_deployment_speaks_in_its_own_name_only(ledger: Readers) -> None:
    """K7, in the header: a sound signature of another deployment's key."""
    body = msgspec.json.encode(sound(MANIFESTS, 1))
    assert await fault_of(ledger, MANIFESTS, body, headers_of(MANIFESTS, body, WEST)) == "wrong_author"
