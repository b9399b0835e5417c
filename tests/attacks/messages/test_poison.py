"""Poison at every reader of its topic: it is quarantined whole with a reason, and its neighbours are handled."""

import hashlib
import random

import msgspec
import pytest

from shared.contracts.quarantine import Message, QuarantineReason
from shared.contracts.topics import (
    DAYS_CLOSED,
    DAYS_CLOSING,
    DAYS_COUNTED,
    INJURIES,
    MANIFESTS,
    REMITTANCES,
    STATEMENTS,
    TOTALS,
)
from tests.attacks.messages import poison_readers
from tests.attacks.messages.poison_messages import poison, sound
from tests.attacks.messages.poison_readers import Readers
from tests.generators.mangled_events import mangled
from tests.integration.ledger.ledger_harness import OPENED_ON
from tests.support.authors import headers_of

FUZZED = 40
"""Mangled messages for each topic and reader."""
WRONG = {QuarantineReason.UNDECODABLE, QuarantineReason.ABSURD, QuarantineReason.WRONG_AUTHOR}
"""Poison comes from who may write to the topic; a name that is none of his is not his."""
CANNOT_BE_MEANT = {
    "undecodable", "absurd", "unexpected", "different_content", "expired", "unsigned", "wrong_author", "out_of_time",
}  # fmt: skip
"""What a reader may say of a mangled message; `unstorable` or `unprocessable` would be a bound that is missing."""


ledger, reporting, charging = poison_readers.ledger, poison_readers.reporting, poison_readers.charging


async def read_poison(readers: Readers, topic: str) -> None:
    """All of it with sound neighbours, which are taken."""
    assert await readers.read(topic, sound(topic, 1)) is None
    for name, body in poison(topic).items():
        fault = await readers.read(topic, body)
        assert fault is not None, name
        assert fault.reason in WRONG, (name, fault)
    assert await readers.read(topic, sound(topic, 2)) is None
    kept = {row["sha256"] for row in await readers.kept()}
    assert kept == {hashlib.sha256(body).hexdigest() for body in poison(topic).values()}


async def read_mangled(readers: Readers, topic: str) -> None:
    """Seeded: sound messages with fields dropped, doubled and exchanged, and bytes changed."""
    rng = random.Random(topic)
    for number in range(1, FUZZED + 1):
        body = mangled(msgspec.json.encode(sound(topic, 1 + number % 20)), rng)
        fault = await readers.read(topic, body)
        assert fault is None or fault.reason in CANNOT_BE_MEANT, (body[:2_000], fault)


@pytest.mark.parametrize("topic", [MANIFESTS, REMITTANCES])
async def test_the_ledger_goes_on_after_poison(ledger: Readers, topic: str) -> None:
    await read_poison(ledger, topic)


async def test_the_ledger_closes_a_day_after_poison_in_place_of_its_count(ledger: Readers) -> None:
    assert ledger.ledger is not None
    await ledger.ledger.begin_close(OPENED_ON)
    for name, body in poison(DAYS_COUNTED).items():
        fault = await ledger.read(DAYS_COUNTED, body)
        assert fault is not None, name
        assert fault.reason in WRONG, (name, fault)
    right = ledger.ledger.charging.count(await ledger.ledger.last_closing())
    assert await ledger.read(DAYS_COUNTED, right) is None
    assert await ledger.ledger.value("select count(*) from ledger.day_closed") == 1


@pytest.mark.parametrize("topic", [MANIFESTS, DAYS_CLOSED, STATEMENTS, REMITTANCES, INJURIES, TOTALS])
async def test_reporting_goes_on_after_poison(reporting: Readers, topic: str) -> None:
    await read_poison(reporting, topic)


async def test_charging_goes_on_after_poison(charging: Readers) -> None:
    await read_poison(charging, DAYS_CLOSING)


async def test_mangled_messages_at_the_ledger(ledger: Readers) -> None:
    for topic in (MANIFESTS, REMITTANCES, DAYS_COUNTED):
        await read_mangled(ledger, topic)


async def test_mangled_messages_at_reporting(reporting: Readers) -> None:
    for topic in (MANIFESTS, DAYS_CLOSED, STATEMENTS, REMITTANCES, INJURIES, TOTALS):
        await read_mangled(reporting, topic)


async def test_mangled_messages_at_charging(charging: Readers) -> None:
    await read_mangled(charging, DAYS_CLOSING)


async def test_a_quarantined_message_is_kept_once_reviewed_and_replayed(ledger: Readers) -> None:
    later = sound(MANIFESTS, 7)
    for _ in range(2):
        assert await ledger.read(MANIFESTS, b"hello") is not None
    (kept,) = await ledger.kept()
    assert (kept["reason"], kept["bytes"], kept["offset"]) == ("undecodable", 5, 1)
    assert await ledger.topics.store.count_open() == {(MANIFESTS, "undecodable"): 1}
    assert await ledger.topics.replay(kept["refused_id"], "somebody") != "replayed"
    assert await ledger.topics.store.review(kept["refused_id"], "somebody", "a mistake") == "reviewed"
    assert await ledger.topics.store.count_open() == {}
    store = ledger.topics.store
    body = msgspec.json.encode(later)
    message = Message(MANIFESTS, 0, 5, body, kept["received_at"], (("h", b"\xff"), *headers_of(MANIFESTS, body)))
    await store.quarantine(message, QuarantineReason.EXPIRED, "late", None)
    refused_id = (await ledger.kept())[-1]["refused_id"]
    assert await store.read_message(refused_id) == message
    assert await ledger.topics.replay(refused_id, "somebody") == "replayed"
    assert await store.count_open() == {}
    assert await ledger.topics.replay(10**12, "somebody") == "unknown"
