"""Hashing many messages at once gives what hashlib gives for each."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.crypto import hashing
from shared.domain.errors import Stop


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=70), st.binary(max_size=10)), max_size=40))
def test_each_digest_is_that_of_its_pieces_one_after_the_other(messages: list[tuple[bytes, bytes, bytes]]) -> None:
    pieces = [[message[place] for message in messages] for place in range(3)]
    assert hashing.hash_all(*pieces) == [sha256(b"".join(message)).digest() for message in messages]


def test_a_large_message_among_small_ones() -> None:
    messages = [bytes(size) for size in (0, 70_000, 1, 65_536, 3)]
    assert hashing.hash_all(messages) == [sha256(message).digest() for message in messages]


def test_this_machine_hashes_right() -> None:
    hashing.check_hashing()


def test_a_wrong_digest_is_noticed() -> None:
    def last_is_wrong(*pieces: list[bytes]) -> list[bytes]:
        return [*hashing.hash_all(*pieces)[:-1], bytes(32)]

    with pytest.raises(Stop, match="cannot be used"):
        hashing.check_hashing(last_is_wrong)
