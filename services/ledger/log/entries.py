"""The entries of the evidence log and the hashes over them, as tables hold them.

If the process dies here: an entry is written in the transaction that books its manifest, so both exist or neither.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from shared.domain.evidence import merkle
from shared.domain.evidence.manifest_head import ManifestHead
from shared.domain.evidence.tiles import HEIGHT, WIDTH, TopOf, node_reader, size_at, tile_at, tiles_for

CHUNK_TILES: Final = 64
"""Full tiles read at a time when roots are worked out: 16,384 hashes, half a megabyte."""

_APPEND: Final = text("""
insert into ledger.log_entry (index, run, number, entry)
select coalesce(max(index) + 1, 0), cast(:run as text), cast(:number as bigint), cast(:entry as bytea)
from ledger.log_entry
""")


async def append_log_entry(connection: AsyncConnection, head: ManifestHead) -> None:
    """The next entry; the caller holds the turn, so that indexes are committed in their order."""
    await connection.execute(_APPEND, {"run": head.run, "number": head.number, "entry": bytes(head)})


async def read_size(connection: AsyncConnection) -> int:
    """Read how many entries are committed."""
    last: int | None = await connection.scalar(select(func.max(tables.log_entry.c.index)))
    return 0 if last is None else last + 1


async def read_hashes(connection: AsyncConnection, level: int, start: int, end: int) -> list[bytes]:
    """Hashes `[start, end)` of a level of the tiles; fewer where the table does not have them."""
    entry, node = tables.log_entry.c, tables.log_node.c
    if level == 0:
        query = select(entry.leaf_hash).where(entry.index >= start, entry.index < end).order_by(entry.index)
    else:
        within = (node.level == level, node.index >= start, node.index < end)
        query = select(node.hash).where(*within).order_by(node.index)
    return list((await connection.scalars(query)).all())


async def read_log_entries(connection: AsyncConnection, start: int, end: int) -> list[bytes]:
    """Entries `[start, end)`."""
    column = tables.log_entry.c
    query = select(column.entry).where(column.index >= start, column.index < end)
    return list((await connection.scalars(query.order_by(column.index))).all())


async def read_roots(connection: AsyncConnection, size: int, ranges: Sequence[merkle.Range]) -> list[bytes]:
    """The roots over ranges of a tree of `size`, read from the fewest tiles: a proof, or the tree's own root."""
    held: dict[TopOf, list[bytes]] = {}
    for top in sorted(tiles_for(ranges)):
        tile = tile_at(*top, size)
        held[top] = await read_hashes(connection, tile.level, tile.start, tile.end)
    node = node_reader(lambda level, number: held[level, number])
    return [merkle.range_root(wanted, node) for wanted in ranges]


async def add_nodes(connection: AsyncConnection, size: int) -> None:
    """Compute the roots of all tiles that a tree of `size` has full; those already stored are left."""
    level = 1
    while count := size_at(level, size):
        node = tables.log_node.c
        last: int | None = await connection.scalar(select(func.max(node.index)).where(node.level == level))
        async for start, roots in _roots_of_tiles(connection, level - 1, 0 if last is None else last + 1, count):
            rows = [{"level": level, "index": start + offset, "hash": root} for offset, root in enumerate(roots)]
            await connection.execute(insert(tables.log_node), rows)
        level += 1


async def recompute_root(connection: AsyncConnection, size: int) -> bytes:
    """The root over the leaf hashes of the first `size` entries, from nothing that was worked out before."""
    full: list[bytes] = []
    async for _, roots in _roots_of_tiles(connection, 0, 0, size_at(1, size)):
        full += roots
    rest = await read_hashes(connection, 0, size // WIDTH * WIDTH, size)

    def node(height: int, index: int) -> bytes:
        first = index << height
        if height < HEIGHT:
            return merkle.root(rest[first % WIDTH :][: 1 << height])
        return merkle.root(full[first // WIDTH :][: 1 << (height - HEIGHT)])

    return merkle.range_root((0, size), node)


async def _roots_of_tiles(
    connection: AsyncConnection, level: int, start: int, end: int
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """The roots of the full tiles `[start, end)` of a level, a chunk at a time with the number of its first tile."""
    for first in range(start, end, CHUNK_TILES):
        hashes = await read_hashes(connection, level, first * WIDTH, min(first + CHUNK_TILES, end) * WIDTH)
        yield first, [merkle.root(hashes[place : place + WIDTH]) for place in range(0, len(hashes), WIDTH)]
