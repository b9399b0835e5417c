"""Hashing what lies in arrays gives what hashlib and the domain's tree give."""

from hashlib import sha256

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.arrow.hashing import hash_rows, merkle_root
from shared.domain.evidence.merkle import root


@given(st.integers(1, 320), st.binary(max_size=3_000))
def test_each_row_is_a_message(width: int, data: bytes) -> None:
    count = len(data) // width
    messages = np.frombuffer(data, np.uint8, count * width).reshape(count, width)
    assert [row.tobytes() for row in hash_rows(messages)] == [
        sha256(message.tobytes()).digest() for message in messages
    ]


def test_a_row_of_fields_is_its_bytes() -> None:
    messages = np.array([(1, b"ab", -3), (2**40, b"cd", 4)], [("number", ">i8"), ("text", "V2"), ("other", ">i2")])
    expected = [sha256(row.tobytes()).digest() for row in messages]
    assert [row.tobytes() for row in hash_rows(messages)] == expected


def test_the_tree_of_an_array_is_the_domains() -> None:
    for size in [*range(1, 70), 127, 128, 129, 1_000]:
        leaves = [sha256(bytes([size % 256, place % 256])).digest() for place in range(size)]
        assert merkle_root(np.frombuffer(b"".join(leaves), np.uint8).reshape(size, 32)) == root(leaves), size
