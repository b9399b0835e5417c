"""Verify a copied log (C2SP tlog-tiles in a folder): entries against tiles, tiles against the checkpoint, and keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.verify.keys import Keys, Signed, check_checkpoint
from services.verify.verdict import NotProved, step
from shared.domain.errors import Refused
from shared.domain.evidence import merkle
from shared.domain.evidence.authors import NotAuthorizedError
from shared.domain.evidence.log_authors import LogAuthors
from shared.domain.evidence.manifest_head import ManifestHead
from shared.domain.evidence.tiles import ENTRIES, WIDTH, Tile, size_at, split_entries, split_hashes, tile_at

MOST_ENTRIES: Final = 2**32


@dataclass(frozen=True, slots=True)
class CopiedLog:
    """A folder with `checkpoint` and `tile/`."""

    folder: Path

    def checkpoint(self) -> bytes:
        """Read the signed note."""
        return self._bytes("checkpoint", "checkpoint")

    def tile(self, tile: Tile) -> bytes:
        """Read a tile of the wanted width, cut from the full one where the partial one was not kept."""
        full = Tile(tile.level, tile.number)
        named = tile if (self.folder / tile.path).is_file() or tile.is_full else full
        data = self._bytes(named.path, named.path)
        if tile.level == ENTRIES:
            entries = split_entries(data)[: tile.width]
            return b"".join(len(entry).to_bytes(2) + entry for entry in entries)
        return data[: tile.width * 32]

    def _bytes(self, path: str, name: str) -> bytes:
        try:
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise NotProved(name, f"{type(error).__name__}: {error.strerror}") from error


def verify_log(folder: Path, keys: Keys, older: bytes | None) -> str:
    """Return the sentence of what was proved; `older` is a checkpoint that the reader kept. Raises `NotProved`."""
    log = CopiedLog(folder)
    signed = check_checkpoint(log.checkpoint(), keys)
    size = signed.checkpoint.size
    if size > MOST_ENTRIES:
        raise NotProved("checkpoint", f"{size} entries are more than are read here")
    known = None if older is None else check_checkpoint(older, keys)
    if known is not None and (known.checkpoint.origin, known.checkpoint.size > size) != (
        signed.checkpoint.origin,
        False,
    ):
        raise NotProved("older checkpoint", f"it is of {known.checkpoint.origin} and {known.checkpoint.size} entries")
    authors = LogAuthors(keys.authors)
    leaves = _read_leaves(log, size, authors)
    if merkle.root(leaves) != signed.checkpoint.root:
        raise NotProved("root", f"the {size} entries do not give the root of the checkpoint")
    _check_upper_tiles(log, leaves)
    grown = _check_older(known, leaves)
    said = f"Proved: the {size} entries of {signed.checkpoint.origin} give its checkpoint's root, {signed.who}{grown}."
    return f"{said} {authors.sentence}".rstrip()


def _read_leaves(log: CopiedLog, size: int, authors: LogAuthors) -> list[bytes]:
    """Read the leaf hashes of all entries; check bundles against tiles, and that no manifest is entered twice."""
    leaves: list[bytes] = []
    last: dict[str, int] = {}
    for number in range(-(-size // WIDTH)):
        bundle, tile = tile_at(ENTRIES, number, size), tile_at(0, number, size)
        with step(bundle.path):
            entries = split_entries(log.tile(bundle))
            for index, entry in enumerate(entries, bundle.start):
                head = _check_author(authors, index, entry)
                if head is not None:
                    _check_head(head, last)
        with step(tile.path):
            reported = split_hashes(log.tile(tile))
        hashes = [merkle.leaf_hash(entry) for entry in entries]
        if hashes != reported or len(hashes) != tile.width:
            raise NotProved(tile.path, f"its hashes are not those of the entries in {bundle.path}")
        leaves += hashes
    return leaves


def _check_author(authors: LogAuthors, index: int, entry: bytes) -> ManifestHead | None:
    try:
        return authors.check(index, entry)
    except NotAuthorizedError as error:
        raise NotProved(f"author of entry {index}", str(error)) from error


def _check_head(head: ManifestHead, last: dict[str, int]) -> None:
    """Check that the log has the manifests of a run from number 1 on, in their order."""
    if head.number != last.get(head.run, 0) + 1:
        raise Refused(f"number {head.number} of run {head.run} follows on {last.get(head.run, 0)}")
    last[head.run] = head.number


def _check_upper_tiles(log: CopiedLog, leaves: list[bytes]) -> None:
    level, below = 1, leaves
    while full := size_at(level, len(leaves)):
        below = [merkle.root(window) for window in _windows(below, full)]
        for number in range(-(-full // WIDTH)):
            tile = tile_at(level, number, len(leaves))
            with step(tile.path):
                reported = split_hashes(log.tile(tile))
            if reported != below[tile.start : tile.end]:
                raise NotProved(tile.path, "its hashes are not the roots of the tiles below it")
        level += 1


def _windows(hashes: list[bytes], count: int) -> Iterator[list[bytes]]:
    for place in range(count):
        yield hashes[place * WIDTH : (place + 1) * WIDTH]


def _check_older(known: Signed | None, leaves: list[bytes]) -> str:
    if known is None:
        return ""
    size = known.checkpoint.size
    if merkle.root(leaves[:size]) != known.checkpoint.root:
        raise NotProved(
            "older checkpoint", f"the first {size} entries are not those that your checkpoint was signed over"
        )
    return f"; since your checkpoint of {size} entries the log has only grown"
