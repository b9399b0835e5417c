"""Tiles against the examples of C2SP tlog-tiles and against the tree they come from."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Refused
from shared.domain.evidence import merkle
from shared.domain.evidence.tiles import (
    ENTRIES,
    WIDTH,
    Tile,
    join_entries,
    node_reader,
    parse_path,
    size_at,
    split_entries,
    split_hashes,
    tile_at,
    tiles_for,
    tiles_of,
)

LEAVES = [sha256(b"leaf %d" % index).digest() for index in range(66_000)]
LEVEL_1 = [merkle.root(LEAVES[start : start + WIDTH]) for start in range(0, 256 * WIDTH, WIDTH)]
LEVELS = [LEAVES, [*LEVEL_1, merkle.root(LEAVES[65_536:65_792])], [merkle.root(LEVEL_1)]]
EDGES = (1, 2, 255, 256, 257, 511, 512, 513, 65_279, 65_280, 65_535, 65_536, 65_537, 65_791, 65_792, 66_000)


def hashes_of(tile: Tile) -> list[bytes]:
    return LEVELS[tile.level][tile.start : tile.end]


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 999), "tile/0/999"),
        (Tile(0, 1_000), "tile/0/x001/000"),
        (Tile(2, 0, 1), "tile/2/000.p/1"),
        (Tile(63, 12, 255), "tile/63/012.p/255"),
        (Tile(ENTRIES, 1_234_067, 17), "tile/entries/x001/x234/067.p/17"),
    ],
)
def test_paths(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert parse_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/00/000", "tile/64/000", "tile/-1/000", "tile/0/0", "tile/0/0000", "tile/0/001/000", "tile/0/x000/001",
        "tile/0/x001", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/", "tile/0/000.p",
        "tile/entries", "tile/0/000/", "tile/0/000\n", "tile/0/٠٠٠", "0/000", "tile/data/000", "tile/0/000.p/1000",
    ],
)  # fmt: skip
def test_no_other_spelling_of_a_path_is_taken(path: str) -> None:
    with pytest.raises(Refused, match="no path of a tile"):
        parse_path(path)


def test_the_specifications_examples() -> None:
    tiles = [tile for tile in tiles_of(70_000) if tile.level != ENTRIES]
    assert [(tile.level, tile.width) for tile in tiles if not tile.is_full] == [(0, 112), (1, 17), (2, 1)]
    assert [sum(tile.is_full for tile in tiles if tile.level == level) for level in (0, 1, 2)] == [273, 1, 0]
    assert [tile.path for tile in tiles_of(256)] == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
    assert list(tiles_of(0)) == []


@pytest.mark.parametrize("size", EDGES)
def test_the_root_follows_from_the_tiles_of_its_size_alone(size: int) -> None:
    held = {(tile.level, tile.number): hashes_of(tile) for tile in tiles_of(size) if tile.level != ENTRIES}
    assert all(0 < len(hashes) <= WIDTH for hashes in held.values())
    node = node_reader(lambda level, number: held[level, number])
    assert merkle.range_root((0, size), node) == merkle.root(LEAVES[:size])


@given(st.sampled_from(EDGES), st.data())
def test_proofs_need_only_the_tiles_that_are_named(size: int, data: st.DataObject) -> None:
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    ranges = [*merkle.inclusion_ranges(index, size), *merkle.consistency_ranges(old, size), (0, size)]
    held = {top: hashes_of(tile_at(*top, size)) for top in tiles_for(ranges)}
    node = node_reader(lambda level, number: held[level, number])
    inclusion = [merkle.range_root(wanted, node) for wanted in merkle.inclusion_ranges(index, size)]
    consistency = [merkle.range_root(wanted, node) for wanted in merkle.consistency_ranges(old, size)]
    root, before = merkle.range_root((0, size), node), merkle.root(LEAVES[:old])
    assert merkle.verify_inclusion(LEAVES[index], index, size, inclusion, root)
    assert merkle.verify_consistency(old, before, size, root, consistency)


@pytest.mark.parametrize("size", [0, *EDGES, 70_000, 2**40 + 3])
def test_a_tile_is_within_the_trees_that_have_its_hashes(size: int) -> None:
    for level in (ENTRIES, 0, 1, 2):
        whole = size_at(level, size)
        if whole:
            last = tile_at(level, (whole - 1) // WIDTH, size)
            assert last.end == whole
            assert last.is_within(size)
        assert not Tile(level, whole // WIDTH, whole % WIDTH + 1).is_within(size)
        with pytest.raises(Refused, match="has no tile"):
            tile_at(level, -(-whole // WIDTH), size)


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_bundles(entries: list[bytes]) -> None:
    assert split_entries(join_entries(entries)) == entries


def test_a_bundles_lengths_have_two_bytes_big_endian() -> None:
    assert join_entries([b"ab", b"", b"c" * 300]) == b"\x00\x02ab\x00\x00\x01\x2c" + b"c" * 300
    for broken in (b"\x00", b"\x00\x03ab", b"\x00\x02ab\x00"):
        with pytest.raises(Refused, match="ends within entry"):
            split_entries(broken)


@pytest.mark.parametrize("length", [0, 31, 33, 257 * 32])
def test_a_tile_is_whole_hashes(length: int) -> None:
    with pytest.raises(Refused, match="are no tile"):
        split_hashes(bytes(length))
    assert len(split_hashes(bytes(256 * 32))) == 256
