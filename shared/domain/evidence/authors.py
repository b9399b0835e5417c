"""Authors (作者): who may say what, by Ed25519 keys with ids, and whether a log entry or a message is theirs.

A line of the file of verifier keys names an author: `vkey role`, `vkey role identity`, both with `retired` behind them
once the key has ended. An author may have several keys at a time, so that a new one is known before the old one ends.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final, Literal

from shared.domain.errors import Refused
from shared.domain.evidence.manifest_head import ManifestHead
from shared.domain.evidence.signed_note import ED25519, IsSigned, VerifierKey


class Role(StrEnum):
    """What an author is to this system.

    The identity of charging is its deployment, that of a meter its `source`, that of an operator the person's account.
    """

    CHARGING = "charging"
    LEDGER = "ledger"
    REMITTANCES = "remittances"
    INJURIES = "injuries"
    TOTALS = "totals"
    OPERATOR = "operator"


NAMED: Final = frozenset({Role.CHARGING, Role.TOTALS, Role.OPERATOR})
"""Roles whose content names its author: these keys are bound to one identity."""
RETIRED: Final = "retired"
_IDENTITY: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
_SIGNATURE: Final = re.compile(r"([0-9a-f]{8}):([A-Za-z0-9+/]{86}==)", re.ASCII)
Fault = Literal["unsigned", "wrong_author"]


class NotAuthorizedError(Refused):
    """A message or a manifest that no author who may say it has signed; `fault` is the reason it is kept under."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault: Fault = fault


@dataclass(frozen=True, slots=True)
class Author:
    """A key, and what it may say. A retired one has signed entries that stay; nothing new is taken of it."""

    key: VerifierKey
    role: Role
    identity: str = ""
    is_retired: bool = False

    @property
    def name(self) -> str:
        """For a sentence."""
        return f"{self.role} {self.identity}".strip()

    def __str__(self) -> str:
        words = (str(self.key), self.role.value, self.identity, RETIRED if self.is_retired else "")
        return " ".join(word for word in words if word)

    @classmethod
    def parse(cls, line: str) -> "Author":
        """The author of a line; `Refused` with the reason for anything else."""
        vkey, *words = line.split()
        is_retired = words[-1:] == [RETIRED]
        role, *rest = words[:-1] if is_retired else words
        key = VerifierKey.parse(vkey)
        if role not in {*Role} or key.kind != ED25519 or len(rest) != (role in NAMED):
            raise Refused(f"{line!r} is no author: an Ed25519 vkey, a role, and for {_listed(NAMED)} whose key it is")
        if not all(_IDENTITY.fullmatch(word) for word in rest):
            raise Refused(f"{line!r}: {rest[0]!r} is no name of a deployment or source")
        return cls(key, Role(role), "".join(rest), is_retired)


def is_author_line(line: str) -> bool:
    """Whether a line of the file of verifier keys has more than a vkey on it."""
    return len(line.split()) > 1


class Authors:
    """All authors that are known here."""

    def __init__(self, known: Iterable[Author], is_signed: IsSigned) -> None:
        self._is_signed = is_signed
        self._by_id: dict[bytes, list[Author]] = {}
        for author in known:
            self._by_id.setdefault(author.key.key_id, []).append(author)

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def has(self, role: Role) -> bool:
        """Whether there is any key of the role."""
        return any(author.role == role for held in self._by_id.values() for author in held)

    def of_head(self, head: ManifestHead, *, is_new: bool = True) -> Author:
        """The charging deployment that made the manifest; `NotAuthorizedError` where none is proved to have.

        A new manifest must not be signed with a retired key.
        """
        written = head.authorship
        if written is None:
            raise NotAuthorizedError("unsigned", f"the author of {head.name} is not proved: nobody has signed it")
        statement = head.statement(written.edition, written.key_id)
        author = self._find(written.key_id, (Role.CHARGING,), statement, written.signature, is_new=is_new)
        if author is None:
            reason = f"{head.name} was not made by charging: key {written.key_id.hex()} is none of its known keys"
            if any(known.role == Role.CHARGING for known in self._by_id.get(written.key_id, ())):
                reason = f"{head.name} was not made by charging: the signature of its key does not hold"
            raise NotAuthorizedError("wrong_author", reason)
        return author

    def of_message(self, roles: Mapping[str, Role], topic: str, signature: bytes | None, value: bytes) -> Author:
        """Who sent this message; `roles` says by topic who may. `NotAuthorizedError` unless he has signed it."""
        if signature is None:
            raise NotAuthorizedError("unsigned", f"{topic}: the message has no signature")
        match = _SIGNATURE.fullmatch(signature.decode("ascii", "replace"))
        if match is None:
            raise NotAuthorizedError("unsigned", f"{topic}: the signature is not of the form key id:base64")
        key_id, data = bytes.fromhex(match[1]), _decoded(match[2])
        wanted = (roles[topic],) if topic in roles else ()
        author = self._find(key_id, wanted, message_statement(topic, value), data, is_new=True)
        if author is None:
            raise NotAuthorizedError("wrong_author", f"{topic}: key {key_id.hex()} is of nobody who may say this")
        return author

    def _find(
        self, key_id: bytes, roles: tuple[Role, ...], statement: bytes, signature: bytes, *, is_new: bool
    ) -> Author | None:
        for author in self._by_id.get(key_id, ()):
            may_say = author.role in roles and not (is_new and author.is_retired)
            if may_say and self._is_signed(author.key.public, statement, signature):
                return author
        return None


def message_statement(topic: str, value: bytes) -> bytes:
    """What the author of a message signs: a domain, the topic, and the SHA-256 of the record's value."""
    return f"danbao message/v1\n{topic}\n{sha256(value).hexdigest()}\n".encode()


def signature_header(key_id: bytes, signature: bytes) -> bytes:
    """The value of the header that carries a message's signature."""
    return f"{key_id.hex()}:{base64.b64encode(signature).decode()}".encode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _listed(roles: Iterable[Role]) -> str:
    return " and ".join(sorted(roles))
