"""The evidence log in the books: entries with the manifests, checkpoints that only grow, tiles and proofs over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.ledger.log.checkpoints import InconsistentError, sign_due_checkpoint
from shared.contracts.manifests import Outcome, head_of
from shared.domain.evidence import merkle
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.signed_note import Note
from shared.domain.evidence.tiles import join_entries, split_entries, split_hashes, tiles_of
from tests.integration.ledger.ledger_harness import OPENED_ON, Ledger, new_run, open_ledger, total
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


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database) as opened:
        yield opened


@pytest.fixture
async def house(ledger: Ledger, platform_database: str, tmp_path: Path) -> AsyncIterator[LogHouse]:
    async with open_log_house(ledger, platform_database, tmp_path) as opened:
        yield opened


async def test_every_booked_manifest_is_an_entry_in_the_order_of_booking(ledger: Ledger) -> None:
    first, second = new_run(), new_run()
    booked = [await ledger.charge(run, total(orders=place + 1)) for place, run in enumerate((first, second, first))]
    await ledger.take(booked[0])  # again
    rows = await ledger.rows("select index, run, number, entry, leaf_hash from ledger.log_entry order by index")
    assert [(row.index, row.run, row.number) for row in rows] == [(0, first, 1), (1, second, 1), (2, first, 2)]
    assert [bytes(row.entry) for row in rows] == [bytes(head_of(manifest)) for manifest in booked]
    assert [bytes(row.leaf_hash) for row in rows] == [merkle.leaf_hash(bytes(head_of(one))) for one in booked]


async def test_nothing_is_booked_that_is_not_in_the_log(ledger: Ledger) -> None:
    with pytest.raises(DBAPIError, match="is not in the log"):
        async with ledger.engine.begin() as connection:
            await connection.execute(
                text("""insert into ledger.manifest_booked (run, number, kind, leaves, root, content_sha256)
                values (repeat('a', 32), 1, 'orders', 0, repeat('0', 64), sha256(''))""")
            )


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("insert into ledger.log_entry select 7, run, number + 1, entry from ledger.log_entry", "no entry before 7"),
        ("insert into ledger.checkpoint values (0, 'o', sha256(''), '')", "does not follow"),
        ("insert into ledger.checkpoint values (2, 'o', sha256(''), '')", "does not follow"),
        ("update ledger.log_entry set number = 2", "only added to"),
        ("delete from ledger.checkpoint", "only added to"),
        ("truncate ledger.cosignature", "only added to"),
    ],
)
async def test_the_database_keeps_the_log_growing(house: LogHouse, statement: str, reason: str) -> None:
    await house.ledger.charge(new_run(), total())
    await house.sign()
    with pytest.raises(DBAPIError, match=reason):
        async with house.ledger.owner.begin() as connection:
            await connection.execute(text(statement))


async def test_an_entry_is_that_of_its_manifest_whoever_writes(house: LogHouse) -> None:
    await house.ledger.charge(new_run(), total())
    for changed in ("number + 1, entry", "number, '\\x02' || substr(entry, 2)"):
        statement = f"insert into ledger.log_entry select 1, repeat('b', 32), {changed} from ledger.log_entry"
        with pytest.raises(DBAPIError, match="log_entry_check"):
            async with house.ledger.owner.begin() as connection:
                await connection.execute(text(statement))


async def test_an_empty_log_has_a_checkpoint_and_no_tile(house: LogHouse) -> None:
    async with house.api(has_witness=False) as api:
        assert (await api.get("/log/checkpoint")).status_code == 404
        assert await house.sign() == Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT)
        assert await house.sign() is None
        answer = await api.get("/log/checkpoint")
        for path in ("0/000", "0/000.p/1", "entries/000.p/1", "1/000"):
            assert (await api.get(f"/log/tile/{path}")).status_code == 404
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert house.check(answer.content) == (Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT), {ORIGIN})


async def test_tiles_entries_and_proofs_at_every_size_around_a_tile(house: LogHouse) -> None:
    seen: list[Checkpoint] = []
    leaves: list[bytes] = []
    entries: list[bytes] = []
    async with house.api(has_witness=False) as api:
        for size in (1, 2, 255, 256, 257, 512, 600):
            await fill(house.ledger, size)
            signed = await house.sign()
            assert signed is not None
            seen.append(signed)
            held = {}
            for tile in tiles_of(size):
                answer = await api.get(f"/log/{tile.path}", headers={"Accept-Encoding": "identity"})
                assert answer.status_code == 200, tile
                assert answer.headers["content-type"] == "application/octet-stream"
                assert "immutable" in answer.headers["cache-control"]
                held[tile.level, tile.number] = answer.content
            leaves = [leaf for number in range((size + 255) // 256) for leaf in split_hashes(held[0, number])]
            entries = [entry for number in range((size + 255) // 256) for entry in split_entries(held[-1, number])]
            assert [merkle.leaf_hash(entry) for entry in entries] == leaves
            assert merkle.root(leaves) == signed.root
            assert signed.size == size == len(leaves)
            assert (await api.get(f"/log/tile/0/{size // 256:03d}.p/{size % 256 + 1}")).status_code == 404
        for earlier in seen:
            ranges = merkle.consistency_ranges(earlier.size, 600)
            proof = [merkle.root(leaves[start:end]) for start, end in ranges]
            assert merkle.verify_consistency(earlier.size, earlier.root, 600, seen[-1].root, proof)
        for index in (0, 255, 256, 511, 512, 599):
            run = f"{index:032x}"
            reported = (await api.get(f"/v1/log/proofs/{run}/1")).json()
            assert (reported["index"], reported["size"]) == (index, 600)
            hashes = [bytes.fromhex(item) for item in reported["proof"]]
            assert merkle.verify_inclusion(leaves[index], index, 600, hashes, seen[-1].root)
            assert house.check(reported["checkpoint"].encode())[0] == seen[-1]
        older = (await api.get(f"/v1/log/proofs/{255:032x}/1", params={"size": 257})).json()
        assert (older["size"], len(older["proof"])) == (257, 9)
        for path, params in ((f"{257:032x}/1", {"size": "257"}), (f"{0:032x}/1", {"size": "3"}), (f"{0:032x}/2", {})):
            assert (await api.get(f"/v1/log/proofs/{path}", params=params)).status_code == 404
        packed = await api.get("/log/tile/entries/000", headers={"Accept-Encoding": "gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == join_entries(entries[:256])
        del api.headers["Authorization"]
        assert (await api.get(f"/v1/log/proofs/{0:032x}/1")).status_code == 401


async def test_a_checkpoint_is_due_after_its_time_or_a_close(house: LogHouse) -> None:
    ledger = house.ledger
    await ledger.charge(new_run(), total())
    assert await sign_due_checkpoint(ledger.engine, house.keys, 3_600) is not None  # the first
    await ledger.charge(new_run(), total())
    assert await sign_due_checkpoint(ledger.engine, house.keys, 3_600) is None
    ledger.charging.settle_at_close(OPENED_ON, total(Outcome.REVERSED))
    assert await ledger.close(OPENED_ON) == "closed"
    signed = await sign_due_checkpoint(ledger.engine, house.keys, 3_600)
    assert signed is not None
    assert signed.size == 3
    assert await sign_due_checkpoint(ledger.engine, house.keys, 3_600) is None
    async with house.api(has_witness=False) as api:
        reported = (await api.get("/v1/log/checkpoints", params={"day": OPENED_ON.isoformat()})).json()
        assert house.check(reported["checkpoint"].encode())[0] == signed
        assert (await api.get("/v1/log/checkpoints", params={"day": "2026-10-02"})).status_code == 404
        assert await ledger.close(OPENED_ON.replace(day=2)) == "closed"
        await house.sign()  # nothing new: the day's checkpoint stays valid
        again = (await api.get("/v1/log/checkpoints", params={"day": "2026-10-02"})).json()
        assert again["checkpoint"] == reported["checkpoint"]


async def test_only_one_signs_at_a_time(house: LogHouse) -> None:
    await house.ledger.charge(new_run(), total())
    signed = await asyncio.gather(*(house.sign() for _ in range(3)))
    assert sorted(checkpoint is None for checkpoint in signed) == [False, True, True]


FORGERIES = {
    "a leaf altered": alter_entry(3),
    "entries dropped": "delete from ledger.log_entry where index >= 8",
    "two entries changed places": """update ledger.log_entry set index = case index when 2 then 4 else 2 end + 100
        where index in (2, 4); update ledger.log_entry set index = index - 100 where index > 100""",
}


@pytest.mark.parametrize("forgery", sorted(FORGERIES))
async def test_what_does_not_continue_the_last_checkpoint_is_not_signed(house: LogHouse, forgery: str) -> None:
    await fill(house.ledger, 10)
    await house.sign()
    for statement in FORGERIES[forgery].split(";"):
        await forge(house.ledger, statement)
    if "dropped" not in forgery:
        await fill(house.ledger, 12)
    with pytest.raises(InconsistentError):
        await house.sign()
    assert await house.ledger.rows("select size from ledger.checkpoint") == [(10,)]
    assert [alarm.partition(":")[0] for alarm in await house.alarms()] == ["log_inconsistent"]


async def test_a_close_recomputes_the_whole_tree(house: LogHouse) -> None:
    await fill(house.ledger, 600)
    await house.sign()
    await forge(house.ledger, alter_entry(3))
    await fill(house.ledger, 601)
    assert await house.sign() is not None  # the root of the first tile is kept, so the right edge shows nothing
    assert await house.ledger.close(OPENED_ON) == "closed"
    with pytest.raises(InconsistentError, match="not those of the 601 leaf hashes"):
        await house.sign()


async def test_shown_is_what_the_witness_cosigned(house: LogHouse) -> None:
    await fill(house.ledger, 3)
    await house.sign()
    async with house.api() as api:
        assert (await api.get("/log/checkpoint")).status_code == 404
        assert await house.cosign() == "cosigned"
        assert await house.cosign() == "nothing"
        shown, names = house.check((await api.get("/log/checkpoint")).content)
        assert (shown.size, names) == (3, {ORIGIN, WITNESS_NAME})
        await fill(house.ledger, 300)
        await house.sign()
        assert house.check((await api.get("/log/checkpoint")).content)[0].size == 3
        # Signed is enough for a tile: the witness has to read the entries before it cosigns.
        assert (await api.get("/log/tile/0/001.p/44")).status_code == 200
        assert (await api.get("/log/tile/0/001.p/45")).status_code == 404
        assert await house.cosign() == "cosigned"
        assert house.check((await api.get("/log/checkpoint")).content)[0].size == 300
        assert (await api.get("/log/tile/0/000")).status_code == 200


async def test_a_checkpoint_that_stays_alone_is_an_alarm(house: LogHouse) -> None:
    await fill(house.ledger, 3)
    await house.sign()
    assert await house.alarms(0.0) != []
    assert (await house.alarms(0.0))[0].startswith("checkpoint_unwitnessed: 3 entries")
    assert await house.alarms() == []
    await house.cosign()
    assert await house.alarms(0.0) == []


async def test_keys_change_with_overlap(house: LogHouse, tmp_path: Path) -> None:
    old, new = house.keys.signers[0], log_signer(tmp_path, "next")
    await fill(house.ledger, 1)
    await house.sign()
    assert await house.cosign(old.verifier) == "cosigned"
    both = house.with_keys(old, new)
    await fill(house.ledger, 2)
    await both.sign()
    assert (
        len(Note.parse(await house.ledger.value("select note from ledger.checkpoint where size = 2")).signatures) == 2
    )
    assert await both.cosign(old.verifier) == "cosigned"  # the witness does not know the new key yet
    fresh = house.with_keys(new)
    await fill(house.ledger, 3)
    await fresh.sign()
    assert await fresh.cosign(old.verifier) == "refused"
    assert (await house.alarms())[0].startswith("witness_refused: 403")
    assert await fresh.cosign(old.verifier, new.verifier) == "cosigned"
    assert await house.alarms() == []
