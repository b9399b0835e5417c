"""Check who made the new entries of a log before a checkpoint over them is cosigned (docs/decisions/0018).

The entries are read from the log itself, the root is computed from them, and each manifest among them has to be
signed by charging. What was checked is remembered while the process runs, so that a repeated request continues.
"""

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from shared.domain.errors import Refused, Retry
from shared.domain.evidence import merkle
from shared.domain.evidence.authors import Authors
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.log_authors import LogAuthors
from shared.domain.evidence.tiles import (
    ENTRIES,
    WIDTH,
    TopOf,
    node_reader,
    split_entries,
    split_hashes,
    tile_at,
    tiles_for,
)

Fetch = Callable[[str], Awaitable[bytes]]
"""The bytes of a path below the log's prefix; raises `Retry` where the log does not answer."""


def fetch_from(log: httpx.AsyncClient) -> Fetch:
    """Over HTTP; the client has the log's prefix as its base."""

    async def fetch(path: str) -> bytes:
        try:
            answer = await log.get(path)
        except httpx.HTTPError as error:
            raise Retry(f"the log cannot be reached: {error!r}") from error
        if answer.status_code != httpx.codes.OK:
            raise Retry(f"the log answers {answer.status_code} for {path}")
        return answer.content

    return fetch


class EntryAuthors:
    """Checks a log's entries, a bundle at a time; one check at a time."""

    def __init__(self, fetch: Fetch, authors: Authors) -> None:
        self._fetch, self._authors = fetch, authors
        self._lock = asyncio.Lock()
        self._frontier: merkle.Frontier | None = None
        self._checked = LogAuthors(authors)

    async def check(self, old: Checkpoint, new: Checkpoint, signed_from: int | None) -> int | None:
        """Every entry from the old size on; returns the index from which entries are signed, None without one.

        `signed_from` is what was found up to the old size. Raises `Refused` naming the entry that charging did not
        make, or that the entries do not give the new root; `Retry` where the log cannot be read.
        """
        async with self._lock:
            try:
                return await self._check(old, new, signed_from)
            except Refused:
                self._frontier = None
                raise

    async def _check(self, old: Checkpoint, new: Checkpoint, signed_from: int | None) -> int | None:
        frontier = self._frontier
        if frontier is None or not old.size <= frontier.size <= new.size:
            frontier = self._frontier = await self._frontier_of(old, new.size)
            self._checked = LogAuthors(self._authors, signed_from)
        while frontier.size < new.size:
            bundle = tile_at(ENTRIES, frontier.size // WIDTH, new.size)
            entries = split_entries(await self._fetch(bundle.path))
            if len(entries) != bundle.width:
                raise Refused(f"{bundle.path} has {len(entries)} entries")
            for entry in entries[frontier.size - bundle.start :]:
                self._checked.check(frontier.size, entry)
                frontier.append(merkle.leaf_hash(entry))
        if frontier.root != new.root:
            raise Refused(f"the {new.size} entries of the log do not give the root of the checkpoint")
        return self._checked.signed_from

    async def _frontier_of(self, old: Checkpoint, size: int) -> merkle.Frontier:
        """The subtrees of the old tree, from the log's tiles; `Refused` where they do not give the old root."""
        held: dict[TopOf, list[bytes]] = {}
        wanted = merkle.places((0, old.size))
        for top in sorted(tiles_for([(0, old.size)])):
            held[top] = split_hashes(await self._fetch(tile_at(*top, size).path))
        node = node_reader(lambda level, number: held[level, number])
        frontier = merkle.Frontier((height, node(height, index)) for height, index in wanted)
        if frontier.root != old.root:
            raise Refused(f"the tiles of the log do not give the root over {old.size} entries that was cosigned")
        return frontier
