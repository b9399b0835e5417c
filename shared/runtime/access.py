"""API keys from a file, each with scopes; no page is open without one.

The file is TOML: `[[key]]` tables with `name`, `sha256` (hex of the key's SHA-256; the key itself is not kept) and
`scopes`, a list of `operator`, `national`, `province:<2 digits>`, `enterprise:<USCC>`, and of `<caller>-><callee>` for
a service that calls another (shared/runtime/callers.py). `operator` sees everything. A key comes as
`Authorization: Bearer <key>`: nothing that a browser sends by itself.
"""

import hashlib
import hmac
import tomllib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fastapi import HTTPException, Request

from shared.domain.errors import Refused
from shared.runtime.callers import ARROW, is_direction, is_question, may_call
from shared.runtime.persons import SAFE_METHODS, Persons

DECIDING = frozenset({"charging", "ledger"})
"""Services at which a key alone decides nothing; reporting knows its persons by their sessions and keys."""
FULL = frozenset({"service", "operator"})
"""Scopes that see everything. `service` is in no file: a caller's key has it for the one request that it may make."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The caller, as far as the file knows."""

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
    """The keys that open one service."""

    def __init__(
        self, readers: Iterable[tuple[str, Reader]], service: str = "", persons: Persons | None = None
    ) -> None:
        self._readers = dict(readers)
        self._service = service
        self._persons = persons or Persons((), service)

    @classmethod
    def load(cls, path: Path | None, service: str, persons: Persons | None = None) -> "AccessKeys":
        """Read the file for a service; raises Refused naming it when it is not of the form above."""
        if path is None:
            return cls([], service, persons)
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8")).get("key", [])
            readers = [(t["sha256"].lower(), Reader(t["name"], frozenset(t["scopes"]))) for t in tables]
        except (OSError, KeyError, TypeError, AttributeError, tomllib.TOMLDecodeError) as error:
            raise Refused(f"{path}: not a file of access keys: {error!r}") from error
        for _, reader in readers:
            _check_scopes(path, reader)
        return cls(readers, service, persons)

    def entries(self) -> Iterator[tuple[str, Reader]]:
        """The SHA-256 of each key that opens a route here, with its reader, as it is where it may call."""
        for digest, reader in self._readers.items():
            directions = [scope for scope in reader.scopes if ARROW in scope]
            if not directions:
                yield digest, reader
            elif any(scope.endswith(f"{ARROW}{self._service}") for scope in directions):
                yield digest, replace(reader, scopes=frozenset({"service"}))

    def find(self, request: Request) -> Reader | None:
        """The reader whose key the request shows; None when there is none.

        A caller's key has the scope `service` on a route that the table gives to it, and no scope on any other.
        """
        digest = sha256_hex(_shown_key(request))
        for known, reader in self._readers.items():
            if hmac.compare_digest(known, digest):
                return self._narrowed(reader, request)
        return None

    def _narrowed(self, reader: Reader, request: Request) -> Reader:
        directions = [scope for scope in reader.scopes if ARROW in scope]
        if not directions:
            return reader
        method, path = request.method, request.scope["path"]
        is_allowed = any(may_call(scope, self._service, method, path) for scope in directions)
        return replace(reader, scopes=frozenset({"service"} if is_allowed else ()))

    def reader(self, request: Request) -> Reader:
        """The reader; 401 when there is none, 403 when its service may not call this route, or no person decides.

        The person of a decision is `request.state.person` afterwards.
        """
        reader = self.find(request)
        if reader is None:
            raise HTTPException(401, "an API key is needed", {"WWW-Authenticate": "Bearer"})
        if not reader.scopes:
            raise HTTPException(403, f"the key {reader.name!r} may not call {request.method} {request.scope['path']}")
        if self._is_decision(request):
            request.state.person = self._persons.of(request)
        return reader

    def _is_decision(self, request: Request) -> bool:
        method, path = request.method, request.scope["path"]
        if self._service not in DECIDING or method in SAFE_METHODS:
            return False
        return not is_question(self._service, method, path)

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


def _check_scopes(path: Path, reader: Reader) -> None:
    """Raises Refused for a scope that would open every service, and for a direction that the table does not know."""
    if "service" in reader.scopes:
        raise Refused(f"{path}: the key {reader.name!r} has the scope service: name a direction instead")
    unknown = sorted(scope for scope in reader.scopes if ARROW in scope and not is_direction(scope))
    if unknown:
        raise Refused(f"{path}: the key {reader.name!r} has unknown directions: {', '.join(unknown)}")
    if len(reader.scopes) > 1 and any(ARROW in scope for scope in reader.scopes):
        raise Refused(f"{path}: the key {reader.name!r} has more scopes than its direction")


def sha256_hex(key: str) -> str:
    """Lower-case hex of the key's SHA-256, as the file holds it."""
    return hashlib.sha256(key.encode()).hexdigest()


def _shown_key(request: Request) -> str:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""
