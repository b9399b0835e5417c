"""Authenticate requests by a session's cookie or an API key, and check the form token.

A page without a session leads to /sign-in; a program without a key gets 401. A request that changes something and
comes with a cookie must show the form token, as the field `form_token` or the header `Danbao-Form-Token`: it is
checked here, so that no route can forget it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Final
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Depends, HTTPException, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.api_keys import find_key
from services.reporting.access.sessions import find_session
from services.reporting.access.viewers import Role, Viewer, viewer_of
from shared.runtime.access import FULL, AccessKeys, sha256_hex
from shared.runtime.http.gate import Caller, prefix_of

SESSION: Final = "danbao_session"
VISIT: Final = "danbao_visit"
"""The cookie that form tokens of visitors without a session hang on."""
FIELD: Final = "form_token"
HEADER: Final = "Danbao-Form-Token"
LIVE: Final = "Danbao-Live"
"""Header of the requests that a page repeats by itself: they do not extend the session."""
MOST_FORM_BYTES: Final = 256 * 1024
"""A larger form is refused: the largest event, with every byte escaped, still fits."""
OWN_PAGE: Final = "/my-password"
_READING: Final = {"GET", "HEAD"}


class Access:
    """Dependencies of routes: `access.viewer`, `access.require(...)`, `access.form`."""

    def __init__(self, engine: AsyncEngine, keys: AccessKeys) -> None:
        self._engine, self._keys = engine, keys

    async def viewer(self, request: Request) -> Viewer:
        """The viewer of a request; 401 for a program, the way to /sign-in for a person.

        Whose password an operator knows gets nothing but the way to change it: 403 for a program.
        """
        viewer = await self._signed_in(request)
        if not viewer.must_change:
            return viewer
        if request.url.path.startswith("/v1/"):
            raise HTTPException(403, f"an operator knows this password: change it first, by POST /v1{OWN_PAGE}")
        raise HTTPException(303, "change the password first", {"Location": OWN_PAGE, "Cache-Control": "no-store"})

    async def person(self, request: Request) -> Viewer:
        """The viewer signed in to an account, even if it must change its password; 403 for a key or a worker's link."""
        viewer = await self._signed_in(request)
        if _shown_key(request) or viewer.role is Role.WORKER:
            raise HTTPException(403, "only an account has a password: sign in to it")
        return viewer

    async def _signed_in(self, request: Request) -> Viewer:
        key, viewer = _shown_key(request), await self._find(request)
        if viewer is not None:
            if not key:
                await self.form(request)
            request.state.caller = viewer.name
            return viewer
        if request.url.path.startswith("/v1/") or key:
            raise HTTPException(401, "an API key is needed", {"WWW-Authenticate": "Bearer"})
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        where = f"?next={quote(target, safe='')}" if request.method in _READING and target != "/" else ""
        raise HTTPException(303, "sign in first", {"Location": f"/sign-in{where}", "Cache-Control": "no-store"})

    async def identify(self, request: Request) -> Caller | None:
        """The holder of a known key or session, for the gate; it reads headers only."""
        reader = self._keys.find(request)
        if reader is not None and reader.scopes & FULL:
            return Caller(reader.name, is_service=True)
        viewer = await self._find(request)
        return None if viewer is None else Caller(viewer.name)

    async def _find(self, request: Request) -> Viewer | None:
        """The viewer of a key or session; queried from the database once per request."""
        if not hasattr(request.state, "viewer"):
            key, session = _shown_key(request), cookie(request, SESSION)
            if key:
                request.state.viewer = await self._of_key(request, key)
            elif session:
                is_asked = LIVE not in request.headers
                request.state.viewer = await find_session(self._engine, session, is_asked=is_asked)
            else:
                request.state.viewer = None
        viewer: Viewer | None = request.state.viewer
        return viewer

    def require(self, *roles: Role) -> Callable[..., Awaitable[Viewer]]:
        """A dependency: the viewer, if of one of these roles; else 403."""

        async def check(viewer: Annotated[Viewer, Depends(self.viewer)]) -> Viewer:
            if viewer.role not in roles:
                raise HTTPException(403, f"not for {viewer.role}: for {', '.join(roles)}")
            return viewer

        return check

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of the form; 403 where its token is not the one of the cookie."""
        if request.method in _READING:
            return {}
        fields = await form_fields(request)
        shown = request.headers.get(HEADER) or fields.get(FIELD, "")
        if not hmac.compare_digest(shown.encode(), form_token(request).encode()) or not _hung_on(request):
            raise HTTPException(403, "this form is out of date: go back, load the page again, and send it once more")
        return fields

    async def _of_key(self, request: Request, key: str) -> Viewer | None:
        known = self._keys.find(request)
        return await find_key(self._engine, key) if known is None else viewer_of(known, sha256_hex(key))


def _shown_key(request: Request) -> str:
    """An API key; not what a proxy before us has a browser send as basic authentication."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


async def form_fields(request: Request) -> dict[str, str]:
    """The fields of a form, for a route whose viewer is known: that dependency has checked the session's token."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MOST_FORM_BYTES:
        raise HTTPException(413, f"a form has a length, of at most {MOST_FORM_BYTES} bytes")
    try:
        text = (await request.body()).decode("ascii")
        fields = dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100))
    except ValueError as error:
        raise HTTPException(400, "not a form") from error
    if any("\x00" in value for value in fields.values()):
        raise HTTPException(400, "a form with a NUL in it")
    return fields


def form_token(request: Request) -> str:
    """The token that forms of a page must send: derived from the cookie without revealing it."""
    return hmac.new(_hung_on(request).encode(), b"danbao form", hashlib.sha256).hexdigest()


def _hung_on(request: Request) -> str:
    return cookie(request, SESSION) or cookie(request, VISIT) or getattr(request.state, "visit", "")


def begin_visit(request: Request) -> str | None:
    """A cookie's value for a visitor who has none yet, to hang the page's form token on."""
    if _hung_on(request):
        return None
    request.state.visit = secrets.token_urlsafe(32)
    return str(request.state.visit)


def cookie(request: Request, name: str) -> str:
    """A cookie's value; empty where there is none."""
    return request.cookies.get(_full_name(request, name), "")


def set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    """Give a cookie that scripts do not read and other sites do not send; an empty value takes it back."""
    is_secure, path = request.url.scheme == "https", prefix_of(request.scope) or "/"
    response.set_cookie(
        _full_name(request, name), value, max_age=None if value else 0, path=path, httponly=True, samesite="lax",
        secure=is_secure,
    )  # fmt: skip


def _full_name(request: Request, name: str) -> str:
    """With TLS the prefix has browsers refuse the cookie from a neighbouring name, or without TLS.

    A cookie of one path cannot be `__Host-`: other paths of that host are somebody else's.
    """
    if request.url.scheme != "https":
        return name
    return f"__Secure-{name}" if prefix_of(request.scope) else f"__Host-{name}"


def local_path(wanted: str) -> str:
    """The page after the sign-in: a path of the portal, else the first page."""
    parts = urlsplit(wanted)
    is_ours = wanted.isprintable() and "\\" not in wanted and not parts.scheme and not parts.netloc
    return wanted if is_ours and wanted.startswith("/") and not wanted.startswith("//") else "/"
