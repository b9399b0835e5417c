"""A message between services that names a person: of what the quarantine keeps, nothing can be read for ever."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any, Final

import asyncpg
import msgspec
import pytest
from asyncpg.exceptions import PostgresError

from services.audit.charging.identities import CLEAN
from shared.adapters.postgres.message_faults import detail_of
from shared.adapters.postgres.sealing.kept_keys import KeptKeys
from shared.adapters.postgres.topic_store import Unavailable
from shared.contracts.manifests import RemittanceReceived
from shared.contracts.quarantine import Message, QuarantineReason
from shared.contracts.topics import DAYS_CLOSING, INJURIES, REMITTANCES
from tests.attacks.messages.poison_messages import ENTERPRISE
from tests.attacks.messages.poison_readers import (
    RECORDED_AT,
    Readers,
    charging_readers,
    ledger_readers,
    reporting_readers,
)
from tests.integration.charging.charging_harness import House
from tests.integration.ledger.ledger_harness import Ledger
from tests.support.authors import headers_of

CITIZEN, MOBILE, NAME, PINYIN = "11010519491231002X", "13800138000", "张三", "ZhangSan.Beijing"
NEEDLES: Final = {needle: needle.encode().hex() for needle in (CITIZEN, MOBILE, NAME, PINYIN)}
TOPICS: Final = {"ledger": REMITTANCES, "reporting": INJURIES, "charging": DAYS_CLOSING}
"""A topic that each service reads."""


@dataclass(frozen=True, slots=True)
class Place:
    """The quarantine of a service, and its owner's URL."""

    schema: str
    url: str
    readers: Readers

    @property
    def topic(self) -> str:
        return TOPICS[self.schema]

    def message(self, offset: int, body: bytes) -> Message:
        """Signed, with a person in a header."""
        headers = (*headers_of(self.topic, body), ("driver", NAME.encode()))
        return Message(self.topic, 0, offset, body, RECORDED_AT, headers)

    def mistakes(self) -> list[Message]:
        """Messages with a person in them, as objects, as a text, and in the name of a field."""
        said = {"driver": NAME, "phone": MOBILE, "id": CITIZEN, "note": PINYIN, NAME: CITIZEN}
        bodies = (msgspec.json.encode(said), f"{NAME} {MOBILE}".encode(), f'{{"{PINYIN}": "{CITIZEN}"}}'.encode())
        return [self.message(offset, body) for offset, body in enumerate(bodies, 1)]

    async def deliver(self) -> list[Message]:
        for message in self.mistakes():
            assert await self.readers.topics.deliver(message) is not None
        return self.mistakes()

    async def own(self, *statements: str) -> None:
        """Run statements as the owner, past the triggers."""
        owner = await asyncpg.connect(self.url)
        try:
            await owner.execute(";".join(("set session_replication_role = replica", *statements)))
        finally:
            await owner.close()

    async def age(self, days: int) -> None:
        """As if everything had been kept so many days ago."""
        await self.own(
            f"update {self.schema}.kept_key set day = day - {days}",
            f"update {self.schema}.refused_message set sealed_on = sealed_on - {days}",
        )

    async def in_clear(self) -> set[str]:
        """The needles that are anywhere in the schema's tables, as text or as bytes."""
        needles = set()
        owner = await asyncpg.connect(self.url)
        try:
            tables = await owner.fetch(
                "select relname from pg_class where relnamespace = $1::text::regnamespace and relkind = 'r'",
                self.schema,
            )
            for (table,) in tables:
                for (text,) in await owner.fetch(f'select t::text from {self.schema}."{table}" t'):
                    needles |= {needle for needle, as_hex in NEEDLES.items() if needle in text or as_hex in text}
        finally:
            await owner.close()
        return needles


@pytest.fixture(params=["ledger", "reporting", "charging"])
async def place(request: pytest.FixtureRequest, database: str, house: House) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        if request.param == "charging":
            yield Place("charging", house.owner_url, charging_readers(house))
        else:
            opened = {"ledger": ledger_readers, "reporting": reporting_readers}[request.param](database)
            yield Place(request.param, database, await stack.enter_async_context(opened))


async def test_nothing_of_a_quarantined_message_can_be_read_without_its_key(place: Place) -> None:
    """Body, headers and detail: hash and a redacted form stay, and with the key it is as it came, signature too."""
    sent = await place.deliver()
    assert await place.in_clear() == set()
    kept = await place.readers.kept()
    assert [row["sha256"] for row in kept] == [sha256(message.body).hexdigest() for message in sent]
    assert [row["bytes"] for row in kept] == [len(message.body) for message in sent]
    assert kept[1]["redacted"].endswith("that are no JSON")
    assert not any(needle in str(kept) for needle in NEEDLES)
    store = place.readers.topics.store
    assert [await store.read_message(row["refused_id"]) for row in kept] == sent
    assert not {f"{place.schema}.refused_message."} - set(CLEAN), "the audit keeps it so"


async def test_when_the_time_is_over_the_message_is_gone_and_replay_says_so(place: Place) -> None:
    await place.deliver()
    pool, store = place.readers.pool, place.readers.topics.store
    keys = KeptKeys(pool, place.schema, 90)
    await place.age(90)
    await keys.rotate()
    ids = [row["refused_id"] for row in await place.readers.kept()]
    assert isinstance(await store.read_message(ids[0]), Message), "ninety days are not over"
    destroyed = await pool.fetchval(f"select key from {place.schema}.kept_key order by day limit 1")
    await place.age(1)
    await keys.rotate()
    assert await keys.readiness() is None
    assert [await store.read_message(number) for number in ids] != []
    for number in ids:
        gone = await store.read_message(number)
        assert isinstance(gone, Unavailable)
        assert gone.state == "erased"
        assert (await place.readers.topics.replay(number, "somebody")).startswith("erased: the key of ")
    assert all(row["erased_at"] and row["sha256"] for row in await place.readers.kept())
    assert await place.in_clear() == set()
    owner = await asyncpg.connect(place.url)
    try:
        await owner.execute("checkpoint")
        pages = await owner.fetchval(f"select pg_read_binary_file(pg_relation_filepath('{place.schema}.kept_key'))")
    finally:
        await owner.close()
    assert destroyed not in pages, "nor does an old version of the row hold the key"
    await place.deliver()
    again = (await place.readers.kept())[len(ids) :]
    assert [row["erased_at"] for row in again] == [None] * len(ids), "what comes again is kept again"


async def test_a_sealed_message_that_was_changed_is_not_replayed(place: Place) -> None:
    await place.deliver()
    table = f"{place.schema}.refused_message"
    await place.own(f"update {table} set sealed = set_byte(sealed, 20, 255 - get_byte(sealed, 20))")
    (first, *_) = await place.readers.kept()
    assert (await place.readers.topics.replay(first["refused_id"], "somebody")).startswith("altered: ")


async def test_a_detail_quotes_nothing_of_a_message(place: Place) -> None:
    """The database has the row in its error, the driver the argument, Python the value."""
    pool = place.readers.pool
    table = f"{place.schema}.refused_review"
    questions: list[tuple[str, Any]] = [
        (f"insert into {table} (refused_id, reviewer, note) values (1, $1, '')", PINYIN),
        ("select $1::int", PINYIN),
        ("select $1::text::int", PINYIN),
    ]
    details = []
    for sql, value in questions:
        with pytest.raises((PostgresError, asyncpg.DataError)) as raised:
            await pool.fetch(sql, value)
        details.append(detail_of(raised.value))
    details += [detail_of(KeyError(PINYIN)), detail_of(ValueError(f"invalid literal: '{PINYIN}'"))]
    assert not any(needle in detail for detail in details for needle in NEEDLES), details
    assert "refused_review_note_check" in details[0]
    assert "query argument $1" in details[1]


async def test_a_remittance_that_is_quarantined_is_booked_when_its_cause_is_gone(database: str) -> None:
    """Its signature was sealed with it, and is checked when it is replayed."""
    async with ledger_readers(database) as readers:
        ledger = readers.ledger
        assert isinstance(ledger, Ledger)
        remittance = RemittanceReceived(
            remittance_id="r1", enterprise=ENTERPRISE, province="44", amount_yuan="1.00", received_on=date(2026, 10, 2)
        )
        body = msgspec.json.encode(remittance)
        store, reason = readers.topics.store, QuarantineReason.UNPROCESSABLE
        for offset, headers in enumerate((headers_of(REMITTANCES, body), ())):
            message = Message(REMITTANCES, 0, offset, body + b" " * offset, RECORDED_AT, headers)
            await store.quarantine(message, reason, "a fault of the program", None)
        signed, unsigned = [row["refused_id"] for row in await readers.kept()]
        assert (await readers.topics.replay(unsigned, "somebody")).startswith("refused: unsigned")
        assert await readers.topics.replay(signed, "somebody") == "replayed"
        assert await ledger.value("select count(*) from ledger.remittance") == 1
