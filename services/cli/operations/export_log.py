"""`danbao log export`: copy the log to plain files for any web server and any tool for tlog-tiles.

If the process dies here: every file is whole or absent, and the checkpoint is written last, so what lies in the folder
is always a log under the checkpoint that lies there. Run again, it goes on.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from shared.domain.errors import Refused
from shared.domain.evidence import merkle
from shared.domain.evidence.authors import Authors, Role
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.log_authors import LogAuthors
from shared.domain.evidence.signed_note import Note
from shared.domain.evidence.tiles import ENTRIES, WIDTH, node_reader, split_entries, split_hashes, tile_at, tiles_of
from shared.runtime.exits import CommandFailed, Unavailable


@dataclass(frozen=True, slots=True)
class Exported:
    """Size of the copied log and number of new files."""

    size: int
    files: int
    authors: str


async def export_log(log: httpx.AsyncClient, folder: Path, authors: Authors | None) -> Exported:
    """Copy what the newest checkpoint covers and the folder does not hold yet; `log` has the log's prefix as base.

    Without authors nobody is checked to have made the entries, and the answer says so.

    Raises:
        CommandFailed: The tiles do not give the checkpoint's root, or do not continue the checkpoint in the folder, or
            an entry was not made by charging; the checkpoint in the folder stays.
        Unavailable: The log does not answer.
    """
    note = await _get(log, "checkpoint")
    checkpoint = _read(note)
    files = 0
    for tile in tiles_of(checkpoint.size):
        path = folder / tile.path
        if not path.exists():
            _write(path, await _get(log, tile.path))
            files += 1
    _check(folder, checkpoint)
    made = "Their authors were not checked: no key of charging is known."
    if authors is not None and authors.has(Role.CHARGING):
        made = _check_authors(folder, checkpoint, authors)
    _write(folder / "checkpoint", note)
    return Exported(checkpoint.size, files, made)


def _check_authors(folder: Path, checkpoint: Checkpoint, authors: Authors) -> str:
    """Check the authors of all entries, with bundles compared with tiles of the checked root; return the sentence."""
    checked = LogAuthors(authors)
    for number in range(-(-checkpoint.size // WIDTH)):
        bundle, tile = tile_at(ENTRIES, number, checkpoint.size), tile_at(0, number, checkpoint.size)
        try:
            entries = split_entries((folder / bundle.path).read_bytes())
            for index, entry in enumerate(entries, bundle.start):
                checked.check(index, entry)
            hashes = split_hashes((folder / tile.path).read_bytes())
        except Refused as error:
            raise CommandFailed(f"{bundle.path}: {error}: the copy stays as it was") from error
        if [merkle.leaf_hash(entry) for entry in entries] != hashes:
            raise CommandFailed(f"{bundle.path} has other entries than {tile.path}: the copy stays as it was")
    return checked.sentence


def _check(folder: Path, checkpoint: Checkpoint) -> None:
    """Check the root, and that the log extends the checkpoint that was copied before."""
    ours = folder / "checkpoint"
    last = _read(ours.read_bytes()) if ours.exists() else Checkpoint(checkpoint.origin, 0, merkle.EMPTY_ROOT)
    if last.origin != checkpoint.origin or last.size > checkpoint.size:
        raise CommandFailed(f"{folder} holds {last.size} entries of {last.origin}, the log has {checkpoint.size}")

    def hashes(level: int, number: int) -> Sequence[bytes]:
        return split_hashes((folder / tile_at(level, number, checkpoint.size).path).read_bytes())

    try:
        node = node_reader(hashes)
        roots = [merkle.range_root((0, size), node) for size in (last.size, checkpoint.size)]
    except (Refused, IndexError) as error:
        raise CommandFailed(f"the tiles of {checkpoint.size} entries do not read: {error}") from error
    if roots != [last.root, checkpoint.root]:
        size = checkpoint.size if roots[1] != checkpoint.root else last.size
        raise CommandFailed(f"the tiles are not those of the checkpoint over {size} entries: the copy stays as it was")


def _read(note: bytes) -> Checkpoint:
    try:
        return Checkpoint.parse(Note.parse(note).text)
    except Refused as error:
        raise CommandFailed(f"the checkpoint does not read: {error}") from error


async def _get(log: httpx.AsyncClient, path: str) -> bytes:
    try:
        answer = await log.get(path)
    except httpx.HTTPError as error:
        raise Unavailable(f"the log does not answer: {error!r}") from error
    if answer.status_code != httpx.codes.OK:
        raise Unavailable(f"{path}: the log answers {answer.status_code}: {answer.text[:200]}")
    return answer.content


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unseen = path.with_name(f".{path.name}.{os.getpid()}")
    unseen.write_bytes(data)
    unseen.replace(path)
