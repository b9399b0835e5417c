"""The witness: what it answers, byte for byte (C2SP tlog-witness), and the alarms when a log takes something back."""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.national_platform.witnessing.entry_authors import Fetch
from shared.adapters.postgres.engine import open_engine
from shared.contracts.witnessing import AddCheckpoint
from shared.domain.errors import Refused, Retry
from shared.domain.evidence import merkle
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.manifest_head import ManifestHead
from shared.domain.evidence.signed_note import Note, Signature
from shared.domain.evidence.tiles import ENTRIES as TILE_OF_ENTRIES
from shared.domain.evidence.tiles import join_entries, parse_path
from tests.integration.ledger.ledger_harness import Ledger, open_ledger
from tests.integration.ledger.log_harness import (
    ORIGIN,
    WITNESS_NAME,
    LogHouse,
    alter_entry,
    fill,
    forge,
    log_signer,
    open_log_house,
)
from tests.support.authors import LEDGER, STRANGER
from tests.support.receipt_cases import sign_head

ENTRIES = [bytes(sign_head(ManifestHead("orders", f"{index:032x}", 1, 1, bytes(32), bytes(32)))) for index in range(20)]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]
OTHERS = [*LEAVES[:2], merkle.leaf_hash(b"another"), *LEAVES[3:]]


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[LogHouse]:
    async with open_ledger(database) as ledger, open_log_house(ledger, platform_database, tmp_path) as opened:
        yield opened


@dataclass
class Log:
    """A log that signs any checkpoint."""

    house: LogHouse
    client: httpx.AsyncClient

    def note(self, size: int, leaves: list[bytes] = LEAVES, origin: str = ORIGIN) -> Note:
        text = Checkpoint(origin, size, merkle.root(leaves[:size])).text
        return Note(text, (self.house.keys.signers[0].sign(text),))

    async def add(self, old: int, size: int, leaves: list[bytes] = LEAVES) -> httpx.Response:
        proof = [merkle.root(leaves[start:end]) for start, end in merkle.consistency_ranges(old, size)]
        return await self.send(AddCheckpoint(old, tuple(proof), self.note(size, leaves)))

    async def send(self, request: AddCheckpoint | bytes) -> httpx.Response:
        return await self.client.post("/witness/add-checkpoint", content=bytes(request))


def serve(entries: Sequence[bytes]) -> Fetch:
    """The tiles of a log of these entries, fewer than 256."""

    async def fetch(path: str) -> bytes:
        tile = parse_path(path)
        part = entries[tile.start : tile.end]
        return join_entries(part) if tile.level == TILE_OF_ENTRIES else b"".join(map(merkle.leaf_hash, part))

    return fetch


@pytest.fixture
async def log(house: LogHouse) -> AsyncIterator[Log]:
    house.entries = serve(ENTRIES)
    async with house.witness() as client:
        yield Log(house, client)


async def test_it_cosigns_what_grows(log: Log) -> None:
    before = int(datetime.now(UTC).timestamp())
    for old, size in ((0, 3), (3, 3), (3, 8), (8, 20)):
        answer = await log.add(old, size)
        assert answer.status_code == 200, answer.text
        line = Signature.parse(answer.text.removesuffix("\n"))
        assert answer.text == line.line
        assert line.name == WITNESS_NAME
        assert int.from_bytes(line.signature[:8], "big") >= before
        note = log.note(size)
        cosigned = Note(note.text, (*note.signatures, line))
        assert log.house.check(bytes(cosigned)) == (Checkpoint.parse(note.text), {ORIGIN, WITNESS_NAME})
    assert await log.house.witness_alarms() == []
    origin_hash = hashlib.sha256(ORIGIN.encode()).hexdigest()
    kept = await log.client.get(f"/witness/{origin_hash}/checkpoint")
    assert log.house.check(kept.content) == (Checkpoint.parse(log.note(20).text), {ORIGIN, WITNESS_NAME})
    assert (await log.client.get(f"/witness/{'0' * 64}/checkpoint")).status_code == 404


async def test_an_empty_log_is_cosigned_first(log: Log) -> None:
    assert (await log.add(0, 0)).status_code == 200
    assert (await log.add(0, 0)).status_code == 200
    assert (await log.add(0, 5)).status_code == 200
    wrong = Checkpoint(ORIGIN, 0, LEAVES[0]).text
    forged = Note(wrong, (log.house.keys.signers[0].sign(wrong),))
    assert (await log.send(AddCheckpoint(0, (), forged))).status_code == 409


async def test_an_empty_log_has_one_root(log: Log) -> None:
    wrong = Checkpoint(ORIGIN, 0, LEAVES[0]).text
    forged = Note(wrong, (log.house.keys.signers[0].sign(wrong),))
    assert (await log.send(AddCheckpoint(0, (), forged))).status_code == 422


async def test_another_old_size_is_told_the_one_known(log: Log) -> None:
    await log.add(0, 8)
    for old, size in ((0, 20), (7, 20), (9, 20), (0, 8)):
        answer = await log.add(old, size)
        assert (answer.status_code, answer.content) == (409, b"8\n")
        assert answer.headers["content-type"] == "text/x.tlog.size"
    assert await log.house.witness_alarms() == []


async def test_an_older_checkpoint_that_was_cosigned_may_come_again(log: Log) -> None:
    await log.add(0, 3)
    await log.add(3, 8)
    assert (await log.add(0, 3)).status_code == 409
    assert await log.house.witness_alarms() == []


@pytest.mark.parametrize(
    ("old", "size", "leaves", "status", "reason"),
    [
        (8, 8, OTHERS, 422, "forked"),
        (0, 8, OTHERS, 409, "forked"),
        (8, 20, OTHERS, 422, "not_consistent"),
        (5, 7, LEAVES, 409, "smaller"),
        (3, 3, OTHERS, 409, "forked"),
    ],
)
async def test_history_taken_back_is_refused_and_an_alarm(
    log: Log, old: int, size: int, leaves: list[bytes], status: int, reason: str
) -> None:
    await log.add(0, 3)
    await log.add(3, 8)
    for _ in range(2):  # sent twice, raised once
        assert (await log.add(old, size, leaves)).status_code == status
    (alarm,) = await log.house.witness_alarms()
    assert alarm.startswith(f"log {reason}: {ORIGIN}: size {size}")
    assert (await log.add(8, 20)).status_code == 200  # the record is unchanged


async def test_the_alarm_keeps_the_proof_and_nobody_takes_it_away(log: Log, platform_database: str) -> None:
    await log.add(0, 8)
    await log.add(8, 8, OTHERS)
    async with log.house.witness_engine.begin() as connection:
        note = await connection.scalar(text("select note from national_platform.witness_alarm"))
    assert log.house.check(note) == (Checkpoint.parse(log.note(8, OTHERS).text), {ORIGIN})
    async with open_engine(platform_database, size=1) as owner:
        for table in ("witness_alarm", "witnessed"):
            with pytest.raises(DBAPIError, match="append only"):
                async with owner.begin() as connection:
                    await connection.execute(text(f"delete from national_platform.{table}"))


async def test_what_is_not_signed_by_a_known_key(log: Log, tmp_path: Path) -> None:
    stranger = log_signer(tmp_path, "stranger")
    note = log.note(8)
    assert (await log.send(AddCheckpoint(0, (), Note(note.text, (stranger.sign(note.text),))))).status_code == 403
    (line,) = note.signatures
    broken = Signature(line.name, line.key_id, bytes(64))
    assert (await log.send(AddCheckpoint(0, (), Note(note.text, (broken,))))).status_code == 403
    assert (await log.send(AddCheckpoint(0, (), Note(note.text, (line, broken))))).status_code == 403
    elsewhere = log.note(8, origin="elsewhere.example/log")
    assert (await log.send(AddCheckpoint(0, (), elsewhere))).status_code == 404
    assert (await log.send(AddCheckpoint(0, (), Note(note.text, (stranger.sign(note.text), line))))).status_code == 200
    assert await log.house.witness_alarms() == []


MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "no old size": lambda body: body.partition(b"\n")[2],
    "leading zero": lambda body: body.replace(b"old 0", b"old 00"),
    "no empty line": lambda body: body.replace(b"\n\n", b"\n", 1),
    "not base64": lambda body: body.replace(b"old 0\n", b"old 0\n!!!!\n"),
    "a short hash": lambda body: body.replace(b"old 0\n", b"old 0\nAAAA\n"),
    "64 hashes": lambda body: body.replace(b"old 0\n", b"old 0\n" + (b"A" * 43 + b"=\n") * 64),
    "no signature": lambda body: body.partition("\u2014".encode())[0],
    "an old size above the new": lambda body: body.replace(b"old 0", b"old 9"),
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("name", sorted(MALFORMED))
async def test_malformed_requests(log: Log, name: str) -> None:
    body = bytes(AddCheckpoint(0, (), log.note(8)))
    assert (await log.send(MALFORMED[name](body))).status_code == 400


async def test_a_proof_where_none_is_needed_and_one_too_long(log: Log) -> None:
    """A body beyond the route's limit does not get here: tests/attacks/http/test_http_bodies.py."""
    assert (await log.send(AddCheckpoint(0, (LEAVES[0],), log.note(8)))).status_code == 422
    assert (await log.send(b"x" * 70_000)).status_code == 400


async def test_a_request_is_read_as_it_was_written(log: Log) -> None:
    request = AddCheckpoint(7, (LEAVES[0], LEAVES[1]), log.note(8))
    assert AddCheckpoint.parse(bytes(request)) == request
    with pytest.raises(Refused):
        AddCheckpoint.parse(b"old 7\n")


async def grow(ledger: Ledger, house: LogHouse, size: int) -> None:
    await fill(ledger, size)
    await house.sign()


async def test_the_ledger_finds_its_way_back_after_a_lost_answer(house: LogHouse) -> None:
    """The witness cosigned, and the ledger died before it kept that: it goes on from the size in the next answer."""
    await grow(house.ledger, house, 5)
    assert await house.cosign() == "cosigned"
    await forge(house.ledger, "delete from ledger.cosignature")
    assert await house.cosign() == "cosigned"
    await forge(house.ledger, "delete from ledger.cosignature")
    await grow(house.ledger, house, 9)
    assert await house.cosign() == "cosigned"
    assert await house.ledger.rows("select size from ledger.cosignature") == [(9,)]
    assert await house.witness_alarms() == []


async def test_a_ledger_that_re_signs_another_history_is_refused(house: LogHouse) -> None:
    await grow(house.ledger, house, 5)
    await house.cosign()
    await forge(house.ledger, alter_entry(1))
    await forge(house.ledger, "delete from ledger.cosignature")
    await forge(house.ledger, "delete from ledger.checkpoint")
    await grow(house.ledger, house, 7)
    assert await house.cosign() == "refused"
    assert (await house.alarms())[0].startswith("witness_refused: 422")
    assert "log not_consistent" in (await house.witness_alarms())[0]
    async with house.api() as api:
        assert (await api.get("/log/checkpoint")).status_code == 404


async def test_a_ledger_that_re_signs_a_shorter_history_is_refused(house: LogHouse) -> None:
    await grow(house.ledger, house, 5)
    await house.cosign()
    for table in ("cosignature", "checkpoint"):
        await forge(house.ledger, f"delete from ledger.{table}")
    await forge(house.ledger, "delete from ledger.log_entry where index >= 4")
    await house.sign()
    assert await house.cosign() == "refused"
    assert (await house.alarms())[0].startswith("witness_refused: 409: 5")
    assert "log smaller" in (await house.witness_alarms())[0]


async def test_a_witness_that_is_away_is_asked_again(house: LogHouse) -> None:
    from services.ledger.log.witness import request_cosignature

    await grow(house.ledger, house, 5)
    async with httpx.AsyncClient(transport=httpx.MockTransport(away), base_url="http://test") as client:
        with pytest.raises(Retry, match="cannot be reached"):
            await request_cosignature(house.ledger.engine, house.keys, client)
    assert await house.cosign() == "cosigned"


def away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("nobody there", request=request)


@pytest.mark.parametrize("size", [1, 8, 20])
async def test_an_entry_that_charging_did_not_make_is_refused_and_an_alarm(log: Log, size: int) -> None:
    """The log's own key has signed it: the ledger was deceived, or deceives."""
    head = ManifestHead("orders", "ab" * 16, 1, 1, bytes(32), bytes(32))
    altered = ENTRIES[0][:-1] + bytes([255 - ENTRIES[0][-1]])
    for forged in (bytes(sign_head(head, STRANGER)), bytes(sign_head(head, LEDGER)), altered):
        entries = [*ENTRIES[: size - 1], forged]
        leaves = [merkle.leaf_hash(entry) for entry in entries]
        log.house.entries = serve(entries)
        async with log.house.witness() as client:
            answer = await Log(log.house, client).add(0, size, leaves)
        assert answer.status_code == 422
        assert "was not made by charging" in answer.text
    assert {alarm.partition(":")[0] for alarm in await log.house.witness_alarms()} == {"log author_not_proved"}


async def test_unsigned_entries_are_taken_until_the_first_signed_one(log: Log) -> None:
    old = [bytes(ManifestHead.parse(entry).without_author()) for entry in ENTRIES]
    entries = [*old[:4], *ENTRIES[4:6], old[6]]
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    log.house.entries = serve(entries)
    async with log.house.witness() as client:
        mixed = Log(log.house, client)
        assert (await mixed.add(0, 3, leaves)).status_code == 200
        assert (await mixed.add(3, 6, leaves)).status_code == 200
    async with log.house.witness() as client:  # another process: what was found is in its database
        answer = await Log(log.house, client).add(6, 7, leaves)
    assert (answer.status_code, "entry 6 is not signed, and entries from 4 on are" in answer.text) == (422, True)


async def test_a_root_that_the_entries_do_not_give_is_refused(log: Log) -> None:
    log.house.entries = serve([ENTRIES[1], *ENTRIES[1:]])
    async with log.house.witness() as client:
        answer = await Log(log.house, client).add(0, 8)
    assert (answer.status_code, answer.text) == (422, "the 8 entries of the log do not give the root of the checkpoint")


async def test_a_log_that_cannot_be_read_is_asked_again(log: Log) -> None:
    async def silent(path: str) -> bytes:
        raise Retry(f"no answer for {path}")

    log.house.entries = silent
    async with log.house.witness() as client:
        assert (await Log(log.house, client).add(0, 8)).status_code == 503
    assert await log.house.witness_alarms() == []
    assert (await log.add(0, 8)).status_code == 200
