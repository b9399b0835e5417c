"""Makes and checks assertions of persons who decide: each is signed for one service and one minute.

A key says which program calls; it decides nothing. A decision (closing, billing, re-rating, resuming, reviewing) takes
its person from an assertion in the header `Danbao-Person`: a JSON Web Token (RFC 7519) signed with Ed25519 under the
person's own key, which the service knows as that of an author with the role `operator` and the account as identity.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import HTTPException, Request

from shared.domain.errors import Refused
from shared.domain.evidence.authors import Author, Role

HEADER: Final = "Danbao-Person"
ALGORITHM: Final = "EdDSA"
VALID_SECONDS: Final = 60
"""An assertion is refused so long after it was made."""
LEEWAY_SECONDS: Final = 5
"""By how much the clocks of two machines may differ."""
MOST_CHARACTERS: Final = 2_048
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Requests that decide nothing."""
_CLAIMS: Final = ["sub", "role", "aud", "iat", "exp"]


@dataclass(frozen=True, slots=True)
class Person:
    """An account, and the role in which the person decides."""

    account: str
    role: Role


def claims_of(person: Person, audience: str, now: datetime) -> dict[str, str | datetime]:
    """The claims of an assertion for one service; `now` is aware."""
    expires = now + timedelta(seconds=VALID_SECONDS)
    return {"sub": person.account, "role": person.role.value, "aud": audience, "iat": now, "exp": expires}


class Persons:
    """Checks assertions that are made for one service, with the keys of the persons that it knows."""

    def __init__(self, authors: Iterable[Author], audience: str) -> None:
        self._audience = audience
        self._authors: Mapping[str, Author] = {
            author.key.key_id.hex(): author
            for author in authors
            if author.role is Role.OPERATOR and not author.is_retired
        }

    def verify(self, assertion: str) -> Person:
        """The person; raises Refused with the reason where it does not hold, is over, or is for another service."""
        if len(assertion) > MOST_CHARACTERS:
            raise Refused(f"an assertion has up to {MOST_CHARACTERS} characters")
        try:
            author = self._authors[jwt.get_unverified_header(assertion)["kid"]]
            key = Ed25519PublicKey.from_public_bytes(author.key.public)
            claims = jwt.decode(
                assertion,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": _CLAIMS},
            )
            holds_seconds = claims["exp"] - claims["iat"]
        except (KeyError, TypeError) as error:
            raise Refused("the assertion of a person is signed with no key that is known here") from error
        except jwt.InvalidTokenError as error:
            raise Refused(f"the assertion of a person does not hold: {error}") from error
        if holds_seconds > VALID_SECONDS:
            raise Refused(f"the assertion of a person holds for more than {VALID_SECONDS} s")
        if (claims["sub"], claims["role"]) != (author.identity, author.role):
            raise Refused(f"the assertion is signed with the key of {author.name}, and names somebody else")
        return Person(author.identity, author.role)

    def of(self, request: Request) -> Person:
        """The person who decides; 403 with the reason where there is none."""
        assertion = request.headers.get(HEADER)
        if assertion is None:
            raise HTTPException(403, f"a decision needs a person: there is no header {HEADER}")
        try:
            return self.verify(assertion)
        except Refused as error:
            raise HTTPException(403, str(error)) from error
