"""Merkle trees against the published vectors of Certificate Transparency and a second, slower model."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.crypto.hashing import hash_all
from shared.domain.evidence import merkle

CONTENT = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
LEAVES = [merkle.leaf_hash(data) for data in CONTENT]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Roots over the first 0 to 8 leaves."""

trees = st.lists(st.binary(max_size=8), min_size=1, max_size=70).map(
    lambda content: [merkle.leaf_hash(data) for data in content]
)


def model_root(hashes: list[bytes]) -> bytes:
    """The recursion as RFC 6962 writes it: split at the largest power of two below the size."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << ((len(hashes) - 1).bit_length() - 1)
    return sha256(b"\x01" + model_root(hashes[:split]) + model_root(hashes[split:])).digest()


def model_proof(hashes: list[bytes], index: int) -> list[bytes]:
    if len(hashes) == 1:
        return []
    split = 1 << ((len(hashes) - 1).bit_length() - 1)
    if index < split:
        return [*model_proof(hashes[:split], index), model_root(hashes[split:])]
    return [*model_proof(hashes[split:], index - split), model_root(hashes[:split])]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size]


@given(trees)
def test_the_root_is_that_of_the_recursion(hashes: list[bytes]) -> None:
    assert merkle.root(hashes) == model_root(hashes)


@pytest.mark.parametrize("hash_all", [None, hash_all])
@given(trees, st.integers(0, 7))
def test_the_root_is_that_over_the_roots_of_equal_subtrees(
    hash_all: merkle.HashAll | None, hashes: list[bytes], height: int
) -> None:
    size = 1 << height
    roots = list(merkle.subtree_roots(hashes, height, hash_all))
    assert roots == [model_root(hashes[first : first + size]) for first in range(0, len(hashes), size)]
    assert merkle.root(roots) == merkle.root(hashes)


@given(trees, st.data())
def test_every_leaf_is_proved(hashes: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(hashes) - 1))
    proof = merkle.inclusion_proof(hashes, index)
    assert proof == model_proof(hashes, index)
    assert merkle.verify_inclusion(hashes[index], index, len(hashes), proof, merkle.root(hashes))


@given(trees, st.data())
def test_a_changed_proof_proves_nothing(hashes: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(hashes) - 1))
    proof, root = merkle.inclusion_proof(hashes, index), merkle.root(hashes)
    foreign = merkle.leaf_hash(b"a leaf that no tree here holds")
    for place in range(len(proof)):
        changed = [*proof[:place], foreign, *proof[place + 1 :]]
        assert not merkle.verify_inclusion(hashes[index], index, len(hashes), changed, root)
        assert not merkle.verify_inclusion(hashes[index], index, len(hashes), proof[:place], root)
    assert not merkle.verify_inclusion(hashes[index], index, len(hashes), [*proof, foreign], root)
    assert not merkle.verify_inclusion(foreign, index, len(hashes), proof, root)
    assert not merkle.verify_inclusion(hashes[index], index, len(hashes), proof, foreign)


@pytest.mark.parametrize(("index", "size"), [(-1, 8), (8, 8), (0, 0), (2, 7), (1, 8), (2, 4), (2, 16)])
def test_a_proof_belongs_to_its_index_and_size(index: int, size: int) -> None:
    proof, root = merkle.inclusion_proof(LEAVES, 2), merkle.root(LEAVES)
    assert merkle.verify_inclusion(LEAVES[2], 2, 8, proof, root)
    if (index, size) != (2, 7):  # the path of leaf 2 is as long in a tree of 7, whose root is another one
        assert not merkle.verify_inclusion(LEAVES[2], index, size, proof, root)
    else:
        assert not merkle.verify_inclusion(LEAVES[2], index, size, proof, merkle.root(LEAVES[:7]))


def test_a_node_cannot_pass_for_a_leaf() -> None:
    pair = LEAVES[:2]
    assert merkle.leaf_hash(pair[0] + pair[1]) != merkle.root(pair)


@pytest.mark.parametrize("index", [-1, 8])
def test_there_is_no_proof_outside_the_tree(index: int) -> None:
    with pytest.raises(IndexError, match="no leaf"):
        merkle.inclusion_proof(LEAVES, index)


def test_the_leaves_given_are_left_as_they_are() -> None:
    before = list(LEAVES)
    merkle.root(LEAVES[:7])
    merkle.inclusion_proof(LEAVES, 3)
    assert before == LEAVES


def model_consistency(old: int, hashes: list[bytes], is_whole: bool = True) -> list[bytes]:
    """SUBPROOF as RFC 6962, 2.1.2, writes it."""
    if old == len(hashes):
        return [] if is_whole else [model_root(hashes)]
    split = 1 << ((len(hashes) - 1).bit_length() - 1)
    if old <= split:
        return [*model_consistency(old, hashes[:split], is_whole), model_root(hashes[split:])]
    return [*model_consistency(old - split, hashes[split:], False), model_root(hashes[:split])]


def roots_over(hashes: list[bytes], ranges: list[merkle.Range]) -> list[bytes]:
    return [merkle.range_root(wanted, node_of(hashes)) for wanted in ranges]


def node_of(hashes: list[bytes]) -> Callable[[int, int], bytes]:
    def node(height: int, index: int) -> bytes:
        under = hashes[index << height : (index + 1) << height]
        assert len(under) == 1 << height, "only full subtrees are requested"
        return model_root(under)

    return node


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (1, 1, []),
        (1, 8, [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ]),
        (6, 8, [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]),
        (2, 5, [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ]),
    ],
)  # fmt: skip
def test_published_consistency_proofs(old: int, new: int, proof: list[str]) -> None:
    roots = roots_over(LEAVES[:new], merkle.consistency_ranges(old, new))
    assert [hash_.hex() for hash_ in roots] == proof
    assert merkle.verify_consistency(old, bytes.fromhex(ROOTS[old]), new, bytes.fromhex(ROOTS[new]), roots)


@given(trees, st.data())
def test_ranges_give_root_inclusion_and_consistency(hashes: list[bytes], data: st.DataObject) -> None:
    size = len(hashes)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    assert roots_over(hashes, [(0, size)]) == [model_root(hashes)]
    assert roots_over(hashes, merkle.inclusion_ranges(index, size)) == model_proof(hashes, index)
    proof = roots_over(hashes, merkle.consistency_ranges(old, size))
    assert proof == (model_consistency(old, hashes) if old else [])
    assert merkle.verify_consistency(old, merkle.root(hashes[:old]), size, merkle.root(hashes), proof)


@given(trees, st.data())
def test_a_changed_history_is_not_consistent(hashes: list[bytes], data: st.DataObject) -> None:
    size, foreign = len(hashes), merkle.leaf_hash(b"a leaf that no tree here holds")
    old = data.draw(st.integers(1, size))
    proof = roots_over(hashes, merkle.consistency_ranges(old, size))
    place = data.draw(st.integers(0, old - 1))
    changed = [*hashes[:place], foreign, *hashes[place + 1 :]]
    before, after = merkle.root(hashes[:old]), merkle.root(hashes)
    theirs = roots_over(changed, merkle.consistency_ranges(old, size))
    assert not merkle.verify_consistency(old, before, size, merkle.root(changed), theirs)
    assert not merkle.verify_consistency(old, merkle.root(changed[:old]), size, after, proof)
    assert not merkle.verify_consistency(old, before, size, after, [*proof, foreign])
    for gone in range(len(proof)):
        assert not merkle.verify_consistency(old, before, size, after, proof[:gone])
        assert not merkle.verify_consistency(old, before, size, after, [*proof[:gone], foreign, *proof[gone + 1 :]])


def test_the_empty_tree_is_the_beginning_of_every_tree_and_of_nothing_else() -> None:
    root = merkle.root(LEAVES)
    assert merkle.range_root((0, 0), node_of([])) == merkle.EMPTY_ROOT
    assert merkle.verify_consistency(0, merkle.EMPTY_ROOT, 8, root, [])
    assert merkle.verify_consistency(0, merkle.EMPTY_ROOT, 0, merkle.EMPTY_ROOT, [])
    assert not merkle.verify_consistency(0, root, 8, root, [])
    assert not merkle.verify_consistency(0, merkle.EMPTY_ROOT, 8, root, [root])
    assert not merkle.verify_consistency(8, root, 8, merkle.EMPTY_ROOT, [])
    assert not merkle.verify_consistency(8, root, 7, root, [])
    assert not merkle.verify_consistency(-1, root, 7, root, [])


@pytest.mark.parametrize(("old", "new"), [(3, 2), (-1, 2)])
def test_a_tree_does_not_grow_backwards(old: int, new: int) -> None:
    with pytest.raises(IndexError, match="no tree of"):
        merkle.consistency_ranges(old, new)
