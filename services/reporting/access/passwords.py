"""Passwords as argon2id hashes. Hashing takes a core for some 50 ms and 64 MiB, so few at once, in threads."""

import asyncio
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error

from shared.domain.errors import Refused

SHORTEST: Final = 12
LONGEST: Final = 256
AT_ONCE: Final = 2
"""Who comes while so many are hashed waits: more would take the service's memory."""


class Passwords:
    """Hashes and checks with the parameters of RFC 9106 for little memory (3 passes, 64 MiB, 4 lanes)."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._nobodys = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The hash to keep; raises Refused for a password of an unfit length."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise Refused(f"a password has {SHORTEST} to {LONGEST} characters")
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def is_right(self, kept: str | None, password: str) -> bool:
        """Whether the hash is of this password. Without a hash it is false, and takes as long."""
        if len(password) > LONGEST:
            return False
        async with self._turn:
            return await asyncio.to_thread(self._verify, kept or self._nobodys, password) and kept is not None

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except Argon2Error:
            return False
