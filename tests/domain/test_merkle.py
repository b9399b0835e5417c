"""Merkle trees against the published vectors of Certificate Transparency and a second, slower model."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import merkle

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
