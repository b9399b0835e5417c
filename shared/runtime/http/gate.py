"""The gate: every request passes it before anything of its body is read.

In this order: where it came from, whether its body may be so long, whether there is room for it, whether its sender
sends too often, and, below /v1, its key or session. A refusal is a problem (RFC 9457); no body is read first.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.runtime.access import sha256_hex
from shared.runtime.http.client_address import Proxies, network_of
from shared.runtime.http.errors import ErrorAnswers, make_problem
from shared.runtime.http.limits import KNOWN_SECONDS, MOST_HEADER_BYTES, PROBES, BodyLimits
from shared.runtime.http.token_buckets import Recent, TokenBuckets
from shared.runtime.settings import Settings

PREFIX: Final = "danbao.prefix"
"""Key of a request's scope: the path below which browsers reach the pages, such as `/danbao`; else empty."""
NEEDS_KEY: Final = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key or session a request shows; a service or command of the project has no limit on its requests."""

    name: str
    is_service: bool = False


Identify = Callable[[Request], Awaitable[Caller | None]]
"""Who shows this key or session; None for nobody. It reads headers only."""


class Gate:
    """Checks that one service's requests have to pass. `open_paths` below /v1 need no key."""

    def __init__(
        self, service: str, settings: Settings, proxies: Proxies, identify: Identify, errors: ErrorAnswers
    ) -> None:
        self.identify, self.errors = identify, errors
        self.open_paths: Collection[str] = frozenset()
        self.bodies, self._proxies, self._settings = BodyLimits(service), proxies, settings
        self._public = urlsplit("")
        self._under_way: Counter[str] = Counter()
        self._total = self._strangers = 0
        self._stranger_rate = TokenBuckets(settings.http_stranger_rate, settings.http_stranger_burst)
        self._caller_rate = TokenBuckets(settings.http_caller_rate, settings.http_caller_burst)
        self._known, self._unknown = Recent(KNOWN_SECONDS), Recent(KNOWN_SECONDS)

    def publish(self, url: str) -> None:
        """Serve pages under this address only; its scheme counts, over any scheme in a proxy's header."""
        self._public = urlsplit(url)

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the pages by TLS."""
        return self._public.scheme == "https"

    def locate(self, scope: Scope) -> None:
        """Put the client's address, and the scheme that the client used, into the scope; take a path prefix off.

        A proxy that serves the pages below a path may pass that path on, or take it off itself. Below it there are no
        probes: a proxy that hides them by their paths would not hide these.
        """
        scope[PREFIX] = prefix = self._public.path.rstrip("/")
        path = scope["path"].removeprefix(prefix)
        if prefix and scope["path"].startswith(f"{prefix}/") and path not in PROBES:
            scope["path"] = path
            scope["raw_path"] = scope.get("raw_path", b"").removeprefix(prefix.encode())
        headers = Headers(scope=scope)
        peer, port = scope.get("client") or ("", 0)
        if self._proxies.are(peer):
            scope["client"] = (self._proxies.client(peer, headers.getlist("x-forwarded-for")), port)
            forwarded = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip()
            if forwarded in {"http", "https"}:
                scope["scheme"] = forwarded
        if self._public.scheme:
            scope["scheme"] = self._public.scheme

    def check_host(self, scope: Scope) -> None:
        """Raises 421 for a page requested under another name than the published one."""
        host = Headers(scope=scope).get("host", "").lower()
        if self._public.netloc and host != self._public.netloc.lower() and not _is_guarded(scope["path"]):
            raise HTTPException(421, "these pages are not served under this host name")

    def check_length(self, scope: Scope) -> int:
        """The most bytes that the body may have; raises 413 where it says that it has more."""
        most = self.bodies.of(scope["path"])
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isascii() or not length.isdecimal() or len(length) > 18 or int(length) > most:
            raise too_long(most)
        return most

    def enter(self, network: str, *, is_known: bool) -> None:
        """Count a request under way; raises 503 where there are too many, of all, of strangers, or of one address."""
        most = self._settings.http_requests
        is_full = self._total >= most
        if not is_known:
            is_full |= (
                self._strangers >= most // 2 or self._under_way[network] >= self._settings.http_requests_of_address
            )
        if is_full:
            raise HTTPException(503, "too many requests are under way: try again later", {"Retry-After": "1"})
        self._total += 1
        if not is_known:
            self._strangers += 1
            self._under_way[network] += 1

    def leave(self, network: str, *, was_known: bool) -> None:
        """Free the place of an answered request."""
        self._total -= 1
        if was_known:
            return
        self._strangers -= 1
        self._under_way[network] -= 1
        if self._under_way[network] <= 0:
            del self._under_way[network]

    def is_known(self, credential: str) -> bool:
        """Whether this key or session was accepted lately."""
        return credential in self._known

    def admit(self, network: str) -> None:
        """Raises 429 for a stranger that sends too often."""
        if not self._stranger_rate.take(network):
            raise _too_often(self._settings.http_stranger_rate)

    async def identify_caller(self, request: Request, credential: str) -> Caller:
        """Whose key or session it is; raises 401 for nobody's, 429 for one that sends too often."""
        if not credential or credential in self._unknown:
            raise HTTPException(401, "an API key is needed", NEEDS_KEY)
        caller = await self.identify(request)
        if caller is None:
            self._unknown.note(credential)
            raise HTTPException(401, "an API key is needed", NEEDS_KEY)
        if not caller.is_service and not self._caller_rate.take(caller.name):
            raise _too_often(self._settings.http_caller_rate)
        return caller

    def accept(self, network: str, credential: str, *, was_known: bool) -> None:
        """Remember a key or session that was accepted; its first request does not count as a stranger's."""
        self._known.note(credential)
        if not was_known:
            self._stranger_rate.give_back(network)

    def needs_key(self, path: str) -> bool:
        """Whether nothing at this path is for strangers."""
        return _is_guarded(path) and path not in self.open_paths


class GateMiddleware:
    """ASGI middleware that applies the gate."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _header_bytes(scope) > MOST_HEADER_BYTES:
            error = HTTPException(431, f"a request's line and headers have at most {MOST_HEADER_BYTES} bytes")
            await make_problem(error)(scope, receive, send)
            return
        self._gate.locate(scope)
        if scope["path"] in PROBES:
            await self._app(scope, _Bounded(receive, 0), send)
            return
        network, credential = network_of((scope.get("client") or ("", 0))[0]), _credential(scope)
        is_known = bool(credential) and self._gate.is_known(credential)
        try:
            self._gate.check_host(scope)
            most = self._gate.check_length(scope)
            self._gate.enter(network, is_known=is_known)
        except HTTPException as error:
            await make_problem(error)(scope, receive, send)
            return
        try:
            await self._pass(scope, _Bounded(receive, most), send, network, credential, is_known=is_known)
        finally:
            self._gate.leave(network, was_known=is_known)

    async def _pass(
        self, scope: Scope, receive: Receive, send: Send, network: str, credential: str, *, is_known: bool
    ) -> None:
        gate, state = self._gate, scope.setdefault("state", {})
        try:
            if not is_known:
                gate.admit(network)
            if gate.needs_key(scope["path"]):
                state["caller"] = (await gate.identify_caller(Request(scope), credential)).name
        except HTTPException as error:
            await make_problem(error)(scope, receive, send)
            return
        except gate.errors.passing as error:
            await make_problem(gate.errors.as_http(error))(scope, receive, send)
            return
        if state.get("caller"):
            gate.accept(network, credential, was_known=is_known)
        await self._app(scope, receive, send)
        if state.get("caller") and not gate.needs_key(scope["path"]):
            gate.accept(network, credential, was_known=is_known)


class _Bounded:
    """`receive` of a body that ends with 413 once it is too long, with any length that its sender claimed."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most, self._read = receive, most, 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self._most:
                raise too_long(self._most)
        return message


def prefix_of(scope: Mapping[str, Any]) -> str:
    """The path below which browsers reach the pages; empty where that is the root."""
    return str(scope.get(PREFIX, ""))


def _header_bytes(scope: Scope) -> int:
    """Bytes of a request before its body; h11 bounds only those of a header that comes in parts."""
    lines = sum(len(name) + len(value) for name, value in scope["headers"])
    return lines + len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))


def too_long(most: int) -> HTTPException:
    """413, with the limit."""
    return HTTPException(413, f"a request's body has at most {most} bytes here")


def _too_often(rate: float) -> HTTPException:
    return HTTPException(429, f"at most {rate:g} requests a second: try again later", {"Retry-After": "1"})


def _is_guarded(path: str) -> bool:
    return path.startswith("/v1/") or path == "/openapi.json"


def _credential(scope: Scope) -> str:
    """A hash of the key or session that a request shows; empty where it shows neither."""
    headers = Headers(scope=scope)
    shown = headers.get("authorization") or headers.get("cookie")
    return sha256_hex(shown) if shown else ""
