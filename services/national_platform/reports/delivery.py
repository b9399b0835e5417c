"""What comes in and what is said to it."""

import hashlib
from dataclasses import dataclass

from shared.contracts.reports import Receipt


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request as it came. `provinces` None: the reporter may report for all."""

    reporter: str
    provinces: frozenset[str] | None
    idempotency_key: str | None
    signature: str | None
    body: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class Taken:
    """The report is held. `is_new` False: it was held before, and this is the same receipt again."""

    receipt: Receipt
    is_new: bool
