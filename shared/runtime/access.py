"""API keys from a file, each with scopes; no page is open without one.

The file is TOML: `[[key]]` tables with `name`, `sha256` (hex of the key's SHA-256; the key itself is not kept) and
`scopes`, a list of `service`, `operator`, `national`, `province:<2 digits>`, `enterprise:<USCC>`. `service` and
`operator` see everything. A key comes as `Authorization: Bearer <key>`: nothing that a browser sends by itself.
"""

import hashlib
import hmac
import tomllib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fastapi import HTTPException, Request

from shared.domain.errors import Refused

FULL = frozenset({"service", "operator"})


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks, as far as the file knows."""

    name: str
    scopes: frozenset[str]

    def has_scope(self, *scopes: str) -> bool:
        """True when one of these, or a scope that sees everything, is held."""
        return bool(self.scopes & FULL) or bool(self.scopes.intersection(scopes))

    def provinces(self) -> frozenset[str] | None:
        """Two-digit codes this reader may see; None for all."""
        if self.has_scope("national"):
            return None
        return frozenset(s.removeprefix("province:") for s in self.scopes if s.startswith("province:"))

    def enterprises(self) -> frozenset[str] | None:
        """USCCs this reader may see; None for all."""
        if self.has_scope("national"):
            return None
        return frozenset(s.removeprefix("enterprise:") for s in self.scopes if s.startswith("enterprise:"))


class AccessKeys:
    """The keys of one file, plus the key the services share."""

    def __init__(self, readers: Iterable[tuple[str, Reader]]) -> None:
        self._readers = dict(readers)

    @classmethod
    def load(cls, path: Path | None, service_key: str) -> "AccessKeys":
        """Read the file; raises Refused naming it when it is not of the form above."""
        readers = [(sha256_hex(service_key), Reader("service", frozenset({"service"})))] if service_key else []
        if path is None:
            return cls(readers)
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8")).get("key", [])
            readers += [(t["sha256"].lower(), Reader(t["name"], frozenset(t["scopes"]))) for t in tables]
        except (OSError, KeyError, TypeError, AttributeError, tomllib.TOMLDecodeError) as error:
            raise Refused(f"{path}: not a file of access keys: {error!r}") from error
        return cls(readers)

    def find(self, request: Request) -> Reader | None:
        """The reader whose key the request shows; None when there is none."""
        digest = sha256_hex(_shown_key(request))
        for known, reader in self._readers.items():
            if hmac.compare_digest(known, digest):
                return reader
        return None

    def reader(self, request: Request) -> Reader:
        """The same; 401 when there is none."""
        found = self.find(request)
        if found is not None:
            return found
        raise HTTPException(401, "an API key is needed", {"WWW-Authenticate": "Bearer"})

    def require(self, *scopes: str) -> Callable[[Request], Awaitable[Reader]]:
        """A FastAPI dependency: the reader, when it holds one of the scopes (or sees everything); else 403.

        It is awaited though it waits for nothing: what is not, FastAPI hands to a thread, which waits for a busy loop.
        """

        async def check(request: Request) -> Reader:
            reader = self.reader(request)
            if not reader.has_scope(*scopes):
                raise HTTPException(403, f"the key {reader.name!r} has none of the scopes {', '.join(scopes)}")
            return reader

        return check


def sha256_hex(key: str) -> str:
    """Lower-case hex of the key's SHA-256, as the file holds it."""
    return hashlib.sha256(key.encode()).hexdigest()


def _shown_key(request: Request) -> str:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""
