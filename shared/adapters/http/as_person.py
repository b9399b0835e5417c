"""Signs the deciding requests of a client as a person (shared/runtime/persons.py checks them)."""

from collections.abc import Generator

import httpx

from shared.adapters.crypto.signing import AuthorSigner
from shared.runtime import clock
from shared.runtime.persons import HEADER, SAFE_METHODS, Person, claims_of


class AsPerson(httpx.Auth):
    """Signs each deciding request of a client as a person; `audience` is the service that it calls."""

    def __init__(self, signer: AuthorSigner, audience: str) -> None:
        self._signer, self._audience = signer, audience

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header where the request decides something."""
        if request.method not in SAFE_METHODS:
            author = self._signer.author
            claims = claims_of(Person(author.identity, author.role), self._audience, clock.now())
            request.headers[HEADER] = self._signer.sign_token(claims)
        yield request
