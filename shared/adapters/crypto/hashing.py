"""SHA-256 of many messages in one call: what each hash of an order costs in Python is the call, not the hash.

The same digests as `hashlib` gives, which everybody who checks evidence uses (audit, `danbao verify`): so a fault in
one of the two is seen by the other, and `check_hashing` checks for one before a worker writes anything.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from stringzilla import Sha256s

from shared.domain.errors import Stop

_LONGEST_CHECKED: Final = 320
"""Bytes: from nothing to beyond five blocks, each way that a message can end in a block."""


def hash_all(*pieces: Sequence[bytes]) -> list[bytes]:
    """32 bytes a message; message i is made of piece i of each argument, one after the other, all equally many."""
    lanes = Sha256s(len(pieces[0]))
    for piece in pieces:
        lanes.update(piece)
    digests: list[bytes] = lanes.digest()
    return digests


def check_hashing(hash_all: Callable[..., list[bytes]] = hash_all) -> None:
    """Raises Stop when this machine's digests are not those of `hashlib`: no evidence may be made of them."""
    messages = [bytes((length + place) % 256 for place in range(length)) for length in range(_LONGEST_CHECKED)]
    halves = [(message[: at // 2], message[at // 2 :]) for at, message in enumerate(messages)]
    expected = [sha256(message).digest() for message in messages]
    if hash_all(messages) != expected or hash_all(*zip(*halves, strict=True)) != expected:
        raise Stop("stringzilla cannot be used: on this machine its SHA-256 of many messages differs from hashlib's")
