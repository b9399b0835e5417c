"""Headers that every answer of every service has, unless its route says otherwise."""

from typing import Final
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.runtime.http.gate import Gate, prefix_of

STRICT: Final = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""A page brings its own policy; the others hold for it too."""
HSTS: Final = ("Strict-Transport-Security", "max-age=31536000")
"""Sent where browsers reach the pages by TLS: from then on they come by TLS only."""


class StrictHeaders:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in STRICT.items():
                    headers.setdefault(name, value)
                if self._gate.is_secure:
                    headers.setdefault(*HSTS)
                if "location" in headers and (prefix := prefix_of(scope)):
                    headers["location"] = _below(prefix, headers["location"], Headers(scope=scope).get("host", ""))
            await send(message)

        await self._app(scope, receive, with_headers)


def _below(prefix: str, location: str, host: str) -> str:
    """An address of ours below the path at which browsers reach it; another one as it is."""
    parts = urlsplit(location)
    is_ours = parts.netloc in {"", host} and parts.path.startswith("/")
    return urlunsplit(("", "", prefix + parts.path, parts.query, parts.fragment)) if is_ours else location
