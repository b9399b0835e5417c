"""The layout of a log in tiles (C2SP tlog-tiles): which hashes and entries lie in which file, and under what path.

A tile holds up to 256 hashes of one level: at level 0 those of leaves, above it those of the full tiles below. The last
tile of a level may be partial; only full ones count for the level above. Bundles of entries lie as level 0 does.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.errors import Refused
from shared.domain.evidence import merkle

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
ENTRIES: Final = -1
"""In the place of a level: a bundle of entries."""
HASH_BYTES: Final = 32
_PATH: Final = re.compile(r"tile/(entries|[1-9]?[0-9])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)
TopOf = tuple[int, int]
"""Level and number of a tile."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Width 256 is a full tile. `start` counts hashes of its level (or entries)."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def start(self) -> int:
        """The first of its hashes or entries."""
        return self.number * WIDTH

    @property
    def end(self) -> int:
        """The one after the last."""
        return self.start + self.width

    @property
    def is_full(self) -> bool:
        """A full one never changes."""
        return self.width == WIDTH

    def is_within(self, size: int) -> bool:
        """Whether a tree of that size has all of it."""
        return self.end <= size_at(self.level, size)

    @property
    def path(self) -> str:
        """Below the log's prefix, such as `tile/0/x001/x234/067` or `tile/entries/000.p/17`."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[place : place + 3] for place in range(0, len(digits), 3)]
        number = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        return f"tile/{level}/{number}" + ("" if self.is_full else f".p/{self.width}")


def parse_path(path: str) -> Tile:
    """The tile a path names; `Refused` for any other spelling than `Tile.path` gives."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise Refused(f"{path!r} is no path of a tile")
    level, number, width = match.groups()
    tile = Tile(
        ENTRIES if level == "entries" else int(level),
        int(number.replace("x", "").replace("/", "")),
        WIDTH if width is None else int(width),
    )
    if tile.path != path or tile.level > 63 or tile.width > WIDTH:
        raise Refused(f"{path!r} is no path of a tile")
    return tile


def size_at(level: int, size: int) -> int:
    """How many hashes a tree of `size` entries has at a level (entries: as many as leaves)."""
    return size >> (HEIGHT * max(level, 0))


def tile_at(level: int, number: int, size: int) -> Tile:
    """The tile as wide as a tree of `size` has it; `Refused` where it has none."""
    width = min(WIDTH, size_at(level, size) - number * WIDTH)
    if width < 1:
        raise Refused(f"a tree of {size} has no tile {number} at level {level}")
    return Tile(level, number, width)


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile and bundle of a tree of that size: entries first, then level by level."""
    level = ENTRIES
    while size_at(level, size):
        for number in range(-(-size_at(level, size) // WIDTH)):
            yield tile_at(level, number, size)
        level += 1


def tiles_for(ranges: Iterable[merkle.Range]) -> set[TopOf]:
    """Level and number of the tiles from which the roots over these ranges can be computed."""
    return {_tile_of(place)[0] for wanted in ranges for place in merkle.places(wanted)}


def node_reader(hashes: Callable[[int, int], Sequence[bytes]]) -> Callable[[int, int], bytes]:
    """Roots of full subtrees, for `merkle.range_root`; `hashes` gives those of a tile by level and number."""

    def node(height: int, index: int) -> bytes:
        (level, number), first, count = _tile_of((height, index))
        return merkle.root(hashes(level, number)[first : first + count])

    return node


def _tile_of(place: merkle.Place) -> tuple[TopOf, int, int]:
    """The tile a full subtree's root follows from, and which of its hashes lie under it."""
    height, index = place
    level, inner = divmod(height, HEIGHT)
    number, first = divmod(index << inner, WIDTH)
    return (level, number), first, 1 << inner


def split_hashes(data: bytes) -> list[bytes]:
    """The hashes of a tile's bytes; `Refused` when they are not whole hashes, or none or too many."""
    if not data or len(data) % HASH_BYTES or len(data) > WIDTH * HASH_BYTES:
        raise Refused(f"{len(data)} bytes are no tile")
    return [data[place : place + HASH_BYTES] for place in range(0, len(data), HASH_BYTES)]


def join_entries(entries: Iterable[bytes]) -> bytes:
    """A bundle: each entry behind its length in two bytes, big-endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def split_entries(data: bytes) -> list[bytes]:
    """The entries of a bundle; `Refused` when a length does not fit."""
    entries: list[bytes] = []
    place = 0
    while place < len(data):
        end = place + 2 + int.from_bytes(data[place : place + 2], "big")
        if len(data) < place + 2 or len(data) < end:
            raise Refused(f"a bundle of {len(data)} bytes ends within entry {len(entries)}")
        entries.append(data[place + 2 : end])
        place = end
    return entries
