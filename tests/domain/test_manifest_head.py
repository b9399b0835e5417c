"""Heads of manifests against checked-in vectors, and against the layout written out by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.manifests import PremiumsCharged, head_of, total_content
from shared.domain.errors import Refused
from shared.domain.evidence.manifest_head import (
    BYTES,
    KINDS,
    LARGEST,
    RESERVED,
    Authorship,
    ManifestHead,
    read_entry,
    totals_root,
)
from shared.domain.evidence.merkle import EMPTY_ROOT, leaf_hash, root

VECTORS = json.loads((Path(__file__).parent / "manifest_head_vectors.json").read_text(encoding="utf-8"))
hashes, numbers = st.binary(min_size=32, max_size=32), st.integers(0, LARGEST)
heads = st.builds(
    ManifestHead,
    kind=st.sampled_from(sorted(KINDS)),
    run=st.binary(min_size=16, max_size=16).map(bytes.hex),
    number=numbers,
    leaves=numbers,
    root=hashes,
    totals_root=hashes,
)
authorships = st.builds(Authorship, numbers, st.binary(min_size=4, max_size=4), st.binary(min_size=64, max_size=64))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vectors(vector: dict[str, Any]) -> None:
    manifest = msgspec.convert(vector["manifest"], PremiumsCharged)
    assert [total_content(total).decode() for total in manifest.totals] == vector["totals"]
    head = head_of(manifest)
    assert bytes(head).hex() == vector["entry"]
    assert leaf_hash(bytes(head)).hex() == vector["leaf_hash"]
    assert totals_root(text.encode() for text in vector["totals"]) == head.totals_root


@given(heads)
def test_the_layout(head: ManifestHead) -> None:
    entry = bytes(head)
    numbers = head.number.to_bytes(4, "big") + head.leaves.to_bytes(4, "big")
    assert entry == bytes([1, KINDS[head.kind]]) + bytes.fromhex(head.run) + numbers + head.root + head.totals_root
    assert len(entry) == BYTES[1] == 90
    assert ManifestHead.parse(entry) == head


@given(heads, authorships)
def test_the_layout_of_version_2(unsigned: ManifestHead, written: Authorship) -> None:
    head = replace(unsigned, authorship=written)
    entry, signed = bytes(head), b"\x02" + bytes(unsigned)[1:] + written.edition.to_bytes(4, "big") + written.key_id
    assert entry == signed + written.signature
    assert len(entry) == BYTES[2] == 162
    assert head.statement(written.edition, written.key_id) == b"danbao log entry/v2\n" + signed
    assert ManifestHead.parse(entry) == read_entry(entry) == head
    assert bytes(ManifestHead.parse(entry).without_author()) == bytes(unsigned)


@given(heads, st.sampled_from([*RESERVED.values(), 0, 7, 255]), st.binary(max_size=300))
def test_an_entry_of_another_kind_is_only_included(head: ManifestHead, kind: int, rest: bytes) -> None:
    assert read_entry(bytes([2, kind]) + rest) is None
    assert read_entry(bytes([3, kind]) + rest) is None
    with pytest.raises(Refused, match="no head of a manifest"):
        read_entry(bytes([1, kind]) + bytes(head)[2:])


@given(heads)
def test_what_is_no_head(head: ManifestHead) -> None:
    entry = bytes(head)
    for broken in (entry[:-1], entry + b"\0", b"\x02" + entry[1:], entry[:1] + b"\x00" + entry[2:], b""):
        with pytest.raises(Refused, match="no head of a manifest"):
            ManifestHead.parse(broken)


def test_the_totals_root_is_the_tree_over_the_totals_in_their_order() -> None:
    assert totals_root([]) == EMPTY_ROOT
    assert totals_root([b"a", b"b"]) == root([leaf_hash(b"a"), leaf_hash(b"b")]) != totals_root([b"b", b"a"])
