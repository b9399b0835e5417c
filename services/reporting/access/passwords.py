"""Hash passwords with argon2id. A hash takes a core for some 50 ms and 64 MiB, so few run at once, in threads."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error

from services.reporting.access.password_rules import LONGEST, check_fit, normalised
from shared.domain.errors import Retry

AT_ONCE: Final = 2
"""Hashes at once; further requests wait, since more would take the service's memory."""
MOST_WAITING: Final = 8
"""Requests beyond so many waiting get 503: a flood of passwords must not make a queue without end."""
MOST_WAITING_OF_ADDRESS: Final = 4
"""Limit per address, so that one address cannot fill the queue for all."""


class Passwords:
    """Hashes and checks with the parameters of RFC 9106 for little memory (3 passes, 64 MiB, 4 lanes)."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting: Counter[str] = Counter()
        self._nobodys = self._hasher.hash("nobody has this password")

    async def hash(self, password: str, account: str) -> str:
        """The hash to keep; raises UnfitPassword for one that an account of this name must not have."""
        check_fit(password, account)
        async with self._in_turn(""):
            return await asyncio.to_thread(self._hasher.hash, normalised(password))

    async def is_right(self, kept: str | None, password: str, address: str) -> bool:
        """Whether the hash is of this password. Without a hash it is false, and takes as long.

        Raises Retry where too many wait already, of all or of the address that it came from.
        """
        if len(password) > LONGEST:
            return False
        async with self._in_turn(address):
            return (
                await asyncio.to_thread(self._verify, kept or self._nobodys, normalised(password)) and kept is not None
            )

    @asynccontextmanager
    async def _in_turn(self, address: str) -> AsyncIterator[None]:
        is_full = self._waiting.total() >= MOST_WAITING or self._waiting[address] >= MOST_WAITING_OF_ADDRESS
        if self._turn.locked() and is_full:
            raise Retry("many sign in just now: try again in a moment")
        self._waiting[address] += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting[address] -= 1
            self._waiting += Counter()  # without those that are 0
        try:
            yield
        finally:
            self._turn.release()

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except Argon2Error:
            return False
