"""A log that our ledger serves, copied to plain files, read by tools that nobody here wrote.

Tessera's fsck works out every tile and the root from the entries; golang.org/x/mod/sumdb makes its own proofs from our
tiles, which have to be ours, hash for hash; transparency-dev's libraries check notes, cosignatures and proofs.
"""

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cli.operations.export_log import Exported, export_log
from shared.domain.evidence import merkle
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.tiles import split_hashes, tiles_of
from shared.runtime.exits import CommandFailed
from tests.foreign.go_program import build
from tests.integration.ledger.ledger_harness import open_ledger
from tests.integration.ledger.log_harness import LogHouse, alter_entry, fill, forge, open_log_house
from tests.support.authors import AUTHORS
from tests.support.tools import needs

pytestmark = pytest.mark.exhaustive

Question = dict[str, Any]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("foreign"))


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[LogHouse]:
    async with open_ledger(database) as ledger, open_log_house(ledger, platform_database, tmp_path) as opened:
        yield opened


def run_program(program: Path, folder: Path, question: Question) -> tuple[int, str]:
    """What the foreign tools say of the log in the folder."""
    done = subprocess.run([program, folder], input=json.dumps(question), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def question_of(house: LogHouse, **more: Any) -> Question:
    log, witness = (str(key) for key in house.vkeys)
    return {"origin": house.keys.origin, "log_vkey": log, "witness_vkey": witness, **more}


async def export(house: LogHouse, folder: Path) -> tuple[Exported, list[bytes]]:
    """Sign, have it cosigned, copy it; the leaf hashes as the copy has them."""
    await house.sign()
    assert await house.cosign() in {"cosigned", "nothing"}
    async with house.api() as api:
        api.base_url = httpx.URL("http://test/log/")
        checkpoint = await export_log(api, folder, AUTHORS)
    bottom = [folder / tile.path for tile in tiles_of(checkpoint.size) if tile.level == 0]
    return checkpoint, [leaf for path in bottom for leaf in split_hashes(path.read_bytes())]


async def proof_of(house: LogHouse, index: int, leaves: list[bytes]) -> Question:
    """An inclusion proof as the ledger's API returns it."""
    run = await house.ledger.value("select run from ledger.log_entry where index = :index", index=index)
    number = await house.ledger.value("select number from ledger.log_entry where index = :index", index=index)
    async with house.api() as api:
        reported = (await api.get(f"/v1/log/proofs/{run}/{number}")).json()
    return {"index": reported["index"], "proof": reported["proof"], "leaf_hash": leaves[index].hex()}


def consistency_of(note: bytes, size: int, leaves: list[bytes]) -> Question:
    """A consistency proof from an older note, made by our own tree."""
    old = Checkpoint.parse(note.partition(b"\n\n")[0].decode() + "\n")
    ranges = merkle.consistency_ranges(old.size, size)
    return {"checkpoint": note.decode(), "proof": [merkle.root(leaves[start:end]).hex() for start, end in ranges]}


@needs("go")
async def test_foreign_tools_read_the_log_at_every_edge(house: LogHouse, program: Path, tmp_path: Path) -> None:
    folder, notes = tmp_path / "log", list[bytes]()
    for size in (0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 65_793):
        await fill(house.ledger, size)
        checkpoint, leaves = await export(house, folder)
        assert checkpoint.size == size
        note = (folder / "checkpoint").read_bytes()
        indexes = sorted({0, size // 2, size - 2, size - 1}) if size > 1 else range(size)
        inclusions = [await proof_of(house, index, leaves) for index in indexes]
        consistencies = [consistency_of(note, size, leaves) for note in notes]
        question = question_of(house, inclusions=inclusions, consistencies=consistencies)
        status, reported = run_program(program, folder, question)
        assert status == 0, reported
        assert f"{size} entries" in reported
        assert ("fsck: passed" in reported) == (size > 0)
        assert f"proofs: {len(inclusions)} inclusions, {len(notes)} consistencies" in reported
        notes.append(note)


@needs("go")
async def test_they_refuse_what_was_changed(house: LogHouse, program: Path, tmp_path: Path) -> None:
    """Without this, a tool that says yes to everything would pass."""
    folder = tmp_path / "log"
    await fill(house.ledger, 300)
    _, leaves = await export(house, folder)
    good = question_of(house, inclusions=[await proof_of(house, 7, leaves)], consistencies=[])
    assert run_program(program, folder, good)[0] == 0
    other = {**good["inclusions"][0], "index": 8}
    assert "inclusion of 8" in run_program(program, folder, {**good, "inclusions": [other]})[1]
    changed: dict[str, Callable[[bytes], bytes]] = {
        "tile/entries/000": lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
        "tile/0/000": lambda data: data[32:64] + data[:32] + data[64:],
        "tile/1/000.p/1": lambda data: bytes(len(data)),
        "checkpoint": lambda data: data.replace(b"\n300\n", b"\n299\n"),
    }
    for path, change in changed.items():
        whole = (folder / path).read_bytes()
        (folder / path).write_bytes(change(whole))
        status, reported = run_program(program, folder, good)
        assert (status, "refused: " in reported) == (1, True), path
        (folder / path).write_bytes(whole)
    assert run_program(program, folder, good)[0] == 0


def unsigned(entries: int) -> str:
    """What an export says of a log that `fill` has written."""
    return f"Author not proved of {entries} manifests: their entries are of version 1, unsigned."


async def test_a_copy_only_grows(house: LogHouse, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    await fill(house.ledger, 300)
    assert (await export(house, folder))[0] == Exported(300, 5, unsigned(300))
    assert (await export(house, folder))[0] == Exported(300, 0, unsigned(300))
    await fill(house.ledger, 600)
    assert (await export(house, folder))[0] == Exported(600, 5, unsigned(600))
    before = (folder / "checkpoint").read_bytes()
    assert not list(folder.glob("**/.*"))
    # The ledger shows another history: the copy stays as it was.
    for table in ("cosignature", "checkpoint", "log_node"):
        await forge(house.ledger, f"delete from ledger.{table}")
    await forge(house.ledger, alter_entry(5))
    await fill(house.ledger, 700)
    await house.sign()
    async with house.api(has_witness=False) as api:
        api.base_url = httpx.URL("http://test/log/")
        with pytest.raises(CommandFailed, match="the copy stays as it was"):
            await export_log(api, folder, AUTHORS)
    assert (folder / "checkpoint").read_bytes() == before
