"""Keys of enterprises (企业密钥): who signed the manifest of a day, `day.declared.v1`, and what the signature is over.

A signature is required from the first day of an enterprise's first key on, without an end: a key that ended leaves the
enterprise without one, not without the duty. Which keys count is decided by the declared day, never by a clock.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Final

from shared.domain.evidence.authors import NotAuthorizedError
from shared.domain.evidence.signed_note import IsSigned, VerifierKey, decode_base64

LARGEST_REVISION: Final = 2**31 - 1
"""The largest Integer of CloudEvents."""
_DOMAIN: Final = "danbao declaration/v1"
"""What a signature is over begins with this, so that it can never pass for one over anything else."""
_SIGNATURE: Final = re.compile(r"([0-9a-f]{8}):([A-Za-z0-9+/]{86}==)", re.ASCII)


@dataclass(frozen=True, slots=True)
class EnterpriseKey:
    """A key of an enterprise, for declared days from `valid_from` until before `valid_to` (None: no end)."""

    uscc: str
    key: VerifierKey
    valid_from: date
    valid_to: date | None = None

    def holds_on(self, day: date) -> bool:
        """Whether it may sign the manifest of the day."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that holds, with all that is needed to check it again; `data` are the very bytes that were sent."""

    revision: int
    key_id: bytes
    signature: bytes
    data: bytes


class DeclarationKeys:
    """All keys of enterprises that are known here."""

    def __init__(self, keys: Iterable[EnterpriseKey], is_signed: IsSigned) -> None:
        self._is_signed = is_signed
        self._by_uscc: dict[str, list[EnterpriseKey]] = {}
        for key in keys:
            self._by_uscc.setdefault(key.uscc, []).append(key)

    def are_needed(self, uscc: str, day: date) -> bool:
        """Whether the enterprise has to sign its manifest of the day."""
        return any(key.valid_from <= day for key in self._by_uscc.get(uscc, ()))

    def check(self, uscc: str, day: date, revision: int, signature: str | None, data: bytes) -> Signed:
        """The signature of a key that holds on the day; `NotAuthorizedError` where there is none."""
        if signature is None:
            raise NotAuthorizedError("unsigned", f"{uscc} has a key on {day}, and nobody signed this manifest")
        match = _SIGNATURE.fullmatch(signature)
        written = decode_base64(match[2]) if match else None
        if match is None or written is None:
            raise NotAuthorizedError("unsigned", "the signature is not of the form key id:base64")
        signed = Signed(revision, bytes.fromhex(match[1]), written, data)
        fault = self.fault(uscc, day, signed)
        if fault is not None:
            raise NotAuthorizedError("wrong_author", fault)
        return signed

    def fault(self, uscc: str, day: date, signed: Signed) -> str | None:
        """Why this is no signature of the enterprise; None where it is one."""
        own = [key for key in self._by_uscc.get(uscc, ()) if key.key.key_id == signed.key_id and key.holds_on(day)]
        if not own:
            return f"key {signed.key_id.hex()} is no key of {uscc} on {day}"
        statement = declaration_statement(uscc, day, signed.revision, signed.data)
        if not any(self._is_signed(key.key.public, statement, signed.signature) for key in own):
            return f"the signature of key {signed.key_id.hex()} does not hold for {uscc}, {day}, revision, and data"
        return None


def declaration_statement(uscc: str, day: date, revision: int, data: bytes) -> bytes:
    """What an enterprise signs: a domain, its code, the day, the revision, and SHA-256 of the bytes of `data`."""
    return f"{_DOMAIN}\n{uscc}\n{day.isoformat()}\n{revision}\n{sha256(data).hexdigest()}\n".encode()
