"""Sealed bytes: AES-256-GCM under a key that is destroyed after a time, bound to the place where they are kept."""

import secrets
from dataclasses import dataclass
from datetime import date
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.domain.errors import Refused

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_VERSION: Final = b"\x01"
"""First byte of what is sealed: AES-256-GCM, a random nonce of 12 bytes, ciphertext and tag."""


def make_key() -> bytes:
    """A new key."""
    return secrets.token_bytes(KEY_BYTES)


@dataclass(frozen=True, slots=True)
class DayKey:
    """The key of a day; everything sealed under it is unreadable once the key is destroyed."""

    day: date
    key: bytes

    def seal(self, plain: bytes, place: str) -> bytes:
        """Encrypt for one place: the ciphertext cannot be opened as one of another place."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + AESGCM(self.key).encrypt(nonce, plain, place.encode())


def unseal(key: bytes, sealed: bytes, place: str) -> bytes:
    """Decrypt; raises Refused where the bytes were changed, moved or sealed under another key."""
    nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    if sealed[:1] != _VERSION:
        raise Refused(f"{place}: not sealed in a form that is known")
    try:
        return AESGCM(key).decrypt(nonce, rest, place.encode())
    except (InvalidTag, ValueError) as error:
        raise Refused(f"{place}: the sealed bytes were changed") from error
