"""Leaves against checked-in vectors, and against a second, slower encoder."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.evidence.leaf import (
    NO_INT64,
    VERSION,
    RowKind,
    assessed_leaf,
    declaration_leaf,
    is_charge,
    is_reversal,
    kept_leaf,
    next_charge,
    order_leaf,
    reversal_of,
    shared_leaf,
)
from shared.domain.evidence.merkle import LEAF_PREFIX, leaf_hash

VECTORS = json.loads((Path(__file__).parent / "leaf_vectors.json").read_text(encoding="utf-8"))
SHARED = ("uscc", "premium", "tariff_line", "token_key", "industry", "reason", "departed")
ORDER_KINDS = sorted(set(RowKind) - {RowKind.ASSESSED, RowKind.PARKED, RowKind.CONFLICT, RowKind.DECLARATION})


def content_of(vector: dict[str, Any]) -> bytes:
    """The leaf's content by the function for its kind."""
    kind: RowKind = RowKind[vector["kind"]]
    row = vector["row"]
    if kind in ORDER_KINDS:
        encoded = {
            name: row[name].encode() if isinstance(row[name], str) else row[name]
            for name in ("uscc", "order_id", "series", "agency", "insurance_no")
        }
        hashes = {name: bytes.fromhex(row[name]) for name in ("worker", "received")}
        return order_leaf(kind, **{**row, **encoded, **hashes})
    if kind is RowKind.ASSESSED:
        return assessed_leaf(**{**row, "uscc": row["uscc"].encode()})
    received = bytes.fromhex(row["received"])
    if kind is RowKind.DECLARATION:
        uscc, body = row["uscc"].encode(), bytes.fromhex(row["body"])
        return declaration_leaf(uscc, row["declaration_id"], row["day_number"], received, body)
    return kept_leaf(kind, **{**row, "received": received})


def model_order(kind: int, row: dict[str, Any]) -> bytes:
    """Encode the leaf layout column by column."""
    numbers = (
        ("accepted_at_us", 8), ("ended_at_us", 8), ("sequence", 8), ("premium", 8), ("region", 4), ("tariff_line", 4),
    )  # fmt: skip
    small = (("token_key", 2), ("industry", 2), ("reason", 2))
    out: bytes = bytes([VERSION, kind]) + row["uscc"]
    out += b"".join(row[name].to_bytes(size, "big", signed=True) for name, size in numbers)
    out += b"".join(row[name].to_bytes(size, "big") for name, size in small)
    out += row["departed"].to_bytes(1, "big", signed=True) + row["worker"] + row["received"]
    for name in ("order_id", "series", "agency", "insurance_no"):
        text = row[name]
        out += b"\xff\xff" if text is None else len(text).to_bytes(2, "big") + text
    return out


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any]) -> None:
    content = content_of(vector)
    assert content.hex() == vector["content"]
    assert leaf_hash(content).hex() == vector["leaf"]
    assert leaf_hash(content) == sha256(b"\x00" + content).digest()


def test_every_kind_of_row_has_a_vector() -> None:
    assert {vector["kind"] for vector in VECTORS} == {kind.name for kind in RowKind}


def test_every_generation_of_charge_and_reversal_has_a_kind_of_its_own() -> None:
    charges = [int(RowKind.ACCEPTANCE)]
    while charges[-1] < 254:
        charges.append(next_charge(charges[-1]))
    reversals = [reversal_of(charge) for charge in charges]
    assert (charges[:3], reversals[:3]) == ([1, 8, 10], [4, 9, 11])
    assert [kind for kind in range(256) if is_charge(kind)] == charges
    assert [kind for kind in range(256) if is_reversal(kind)] == reversals
    assert not {RowKind.PARKED, RowKind.CONFLICT, RowKind.DECLARATION} & {*charges, *reversals}


INT64 = st.integers(NO_INT64, 2**63 - 1)
TEXT = st.binary(max_size=70)
ROWS = st.fixed_dictionaries(
    {
        "uscc": st.binary(min_size=18, max_size=18),
        "accepted_at_us": INT64,
        "ended_at_us": INT64,
        "sequence": INT64,
        "premium": INT64,
        "region": st.integers(-(2**31), 2**31 - 1),
        "tariff_line": st.integers(0, 32_767),
        "token_key": st.integers(0, 32_767),
        "industry": st.integers(0, 32_767),
        "reason": st.integers(0, 32_767),
        "departed": st.sampled_from([-1, 0, 1]),
        "worker": st.binary(min_size=32, max_size=32),
        "received": st.binary(min_size=32, max_size=32),
        "order_id": TEXT,
        "series": st.none() | TEXT,
        "agency": st.none() | TEXT,
        "insurance_no": st.none() | TEXT,
    }
)


@given(kind=st.sampled_from(ORDER_KINDS), row=ROWS)
def test_the_layout_is_that_of_the_model(kind: RowKind, row: dict[str, Any]) -> None:
    assert order_leaf(kind, **row) == model_order(kind, row)


@given(kind=st.sampled_from(ORDER_KINDS), row=ROWS)
def test_what_leaves_share_is_theirs(kind: RowKind, row: dict[str, Any]) -> None:
    shared = shared_leaf(kind, **{name: row[name] for name in SHARED})
    whole = LEAF_PREFIX + order_leaf(kind, **row)
    assert (whole[:21], whole[45:53], whole[57:68]) == shared


@given(first=ROWS, second=ROWS)
def test_two_rows_with_one_leaf_are_one_row(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert (order_leaf(1, **first) == order_leaf(1, **second)) == (first == second)


def test_text_cannot_move_from_one_column_to_the_next() -> None:
    fixed = VECTORS[0]["row"]
    leaves = {
        content_of({"kind": "ACCEPTANCE", "row": {**fixed, "series": series, "agency": agency}})
        for series, agency in (("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), (None, "abc"), ("abc", None))
    }
    assert len(leaves) == 6
