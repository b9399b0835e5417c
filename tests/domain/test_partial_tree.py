"""Subtrees in place of leaves kept elsewhere: they give the same root and the same proofs."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Refused
from shared.domain.evidence.merkle import inclusion_proof, inclusion_ranges, range_root, root
from shared.domain.evidence.partial_tree import fold, free_ranks, node_at, pack, unpack, whole_root

LEAVES = [sha256(bytes([number])).digest() for number in range(70)]
shared_out = st.lists(st.integers(0, 2), min_size=1, max_size=70)
"""For each leaf which of three holders has it."""


@given(shared_out)
def test_what_each_holder_has_gives_the_root_together(holders: list[int]) -> None:
    leaves = LEAVES[: len(holders)]
    parts = [fold({(0, n): leaves[n] for n, holder in enumerate(holders) if holder == one}) for one in range(3)]
    together = {place: node for part in parts for place, node in part.items()}
    assert whole_root(len(leaves), together) == root(leaves)
    assert free_ranks(len(leaves), [*parts[0], *parts[1]]) == [n for n, holder in enumerate(holders) if holder == 2]
    assert unpack(pack(together)) == together


@given(shared_out)
def test_a_leaf_that_is_here_is_proved_over_those_that_are_not(holders: list[int]) -> None:
    leaves = LEAVES[: len(holders)]
    away = fold({(0, n): leaves[n] for n, holder in enumerate(holders) if holder})
    here = {(0, n): leaves[n] for n, holder in enumerate(holders) if not holder}
    for _, rank in here:
        proof = [
            range_root(wanted, lambda *place: node_at(away | here, place))
            for wanted in inclusion_ranges(rank, len(leaves))
        ]
        assert proof == inclusion_proof(leaves, rank)


def test_a_whole_batch_is_few_subtrees() -> None:
    assert sorted(fold({(0, n): LEAVES[n] for n in range(70)})) == [(1, 34), (2, 16), (6, 0)]


@given(st.integers(0, 69), st.integers(1, 70))
def test_one_leaf_too_few_or_another_size_is_refused(missing: int, size: int) -> None:
    nodes = fold({(0, n): LEAVES[n] for n in range(70) if n != missing})
    with pytest.raises(Refused):
        whole_root(70, nodes)
    if size != 70:
        with pytest.raises(Refused):
            whole_root(size, fold({(0, n): LEAVES[n] for n in range(70)}))
    with pytest.raises(Refused):
        node_at(nodes, (0, missing))
    with pytest.raises(Refused):
        unpack(pack(nodes)[:-1])
