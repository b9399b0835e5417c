"""Render the frame of every page: language, navigation by role, content policy; and serve the static files."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.reporting.access.authentication import SESSION, cookie, form_token
from services.reporting.access.viewers import Role, Viewer
from services.reporting.rendering.charts import meter, spark
from services.reporting.rendering.china_map import ChinaMap
from services.reporting.rendering.texts import (
    LANGUAGES,
    Language,
    Translator,
    change_text,
    grouped,
    percent,
    read_texts,
    shanghai_time,
    share_text,
    yuan_text,
)
from shared.runtime.http.gate import prefix_of

HOUSE: Final = Path(__file__).parents[1]
STATIC: Final = HOUSE / "static"
SERVED: Final = {"portal.css": "text/css", "portal.js": "text/javascript", "icon.svg": "image/svg+xml"}
COOKIE: Final = "danbao_language"
COOKIE_SECONDS: Final = 400 * 86_400
PLAIN: Final = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'"
POLICY: Final = f"{PLAIN}; script-src 'self'; connect-src 'self'; frame-ancestors 'none'"
_OUR_ADDRESS: Final = re.compile(r' (?:href|src|action|data-live)="(?=/(?!/))')
"""Where an address of ours begins in a page: what somebody else wrote is escaped, so no quote of it is one of these."""
TONES: Final = {
    "open": "bad", "explained": "warn", "corrected": "good", "confirmed": "warn",
    "received": "good", "pending": "warn", "refused": "bad", "undeliverable": "bad",
    "issued": "", "declared": "warn", "paid": "good", "overdue": "bad", "part_paid": "warn",
    "unknown": "warn",
}  # fmt: skip
EVERYWHERE: Final = (Role.NATIONAL, Role.OPERATOR)
"""Roles that see all provinces and enterprises."""
OFFICES: Final = (*EVERYWHERE, Role.PROVINCE, Role.ENTERPRISE)


@dataclass(frozen=True, slots=True)
class Tab:
    """One way in the navigation."""

    href: str
    label: str
    is_current: bool


class PageRenderer:
    """Renders the templates; everything put into them is escaped."""

    def __init__(self, enterprises: Mapping[str, str]) -> None:
        texts = read_texts()
        self.enterprises, self.map = enterprises, ChinaMap()
        self._speech = {language: Translator(language, texts, enterprises) for language in LANGUAGES}
        self._files = {name: (STATIC / name).read_bytes() for name in SERVED}
        self._environment = Environment(
            loader=FileSystemLoader(HOUSE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "grouped": grouped,
            "shanghai": shanghai_time,
            "yuan": yuan_text,
            "percent": percent,
        }
        self._environment.globals |= {
            "static": self._address, "tones": TONES, "meter": meter, "spark": spark, "share": share_text,
            "change": change_text,
        }  # fmt: skip

    def translator(self, request: Request) -> Translator:
        """The texts in the language of this request."""
        return self._speech[language_of(request)]

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """An HTML page; `viewer` is None where nobody has signed in."""
        t = self.translator(request)
        viewer: Viewer | None = values.setdefault("viewer", None)
        known = {
            "t": t,
            "tabs": _tabs(request, viewer, t) if viewer and not viewer.must_change else (),
            "whose": _whose(viewer, t) if viewer else "",
            "switch": _switch(request, t),
            "form_token": form_token(request),
            "has_session": bool(cookie(request, SESSION)),
            "has_password": bool(viewer and cookie(request, SESSION) and viewer.role is not Role.WORKER),
        }
        text, prefix = self._environment.get_template(template).render(known | values), prefix_of(request.scope)
        if prefix:
            text = _OUR_ADDRESS.sub(rf"\g<0>{prefix}", text)
        response = HTMLResponse(text, status, {"Content-Security-Policy": POLICY})
        if request.query_params.get("lang") in LANGUAGES:
            is_secure = request.url.scheme == "https"
            response.set_cookie(
                COOKIE, t.language, COOKIE_SECONDS, prefix or "/", secure=is_secure, samesite="lax", httponly=True
            )
        return response

    def files(self) -> APIRouter:
        """`/static/<name>`, for everybody; the address changes with the content."""
        router = APIRouter(include_in_schema=False)

        @router.get("/static/{name}")
        async def static(name: str) -> Response:
            if name not in self._files:
                raise HTTPException(404, "no such file")
            headers = {"Cache-Control": "public, max-age=31536000, immutable"}
            return Response(self._files[name], headers=headers, media_type=SERVED[name])

        return router

    def _address(self, name: str) -> str:
        return f"/static/{name}?{hashlib.sha256(self._files[name]).hexdigest()[:12]}"


def language_of(request: Request) -> Language:
    """The language that the address names, else the cookie's, else Chinese."""
    for wanted in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        for language in LANGUAGES:
            if wanted == language:
                return language
    return LANGUAGES[0]


def _switch(request: Request, t: Translator) -> dict[str, str]:
    """The way to this page in the other language; a page that answers a form leads to the page of the form."""
    other = "en" if t.language == "zh" else "zh"
    kept = [(name, value) for name, value in parse_qsl(request.url.query) if name != "lang"]
    return {
        "href": f"?{urlencode([*kept, ('lang', other)])}",
        "lang": "en" if other == "en" else "zh-Hans",
        "label": t("site.other_language"),
    }


def _whose(viewer: Viewer, t: Translator) -> str:
    match viewer.role:
        case Role.PROVINCE:
            return t.province(viewer.scope)
        case Role.ENTERPRISE:
            return t.enterprise(viewer.scope)
        case _:
            return t.word("role", viewer.role)


def _tabs(request: Request, viewer: Viewer, t: Translator) -> Sequence[Tab]:
    """The parts of the portal that this role has."""
    path = request.url.path
    ways = [(home_of(viewer), "overview"), ("/months", "months"), ("/statements", "statements")]
    ways += [("/discrepancies", "discrepancies"), ("/evidence", "evidence")]
    match viewer.role:
        case Role.NATIONAL:
            ways.append(("/looks", "looks"))
        case Role.OPERATOR:
            ways += [("/looks", "looks"), ("/keys", "keys")]
        case Role.ENTERPRISE:
            ways.append(("/keys", "keys"))
        case Role.WORKER:
            ways = [("/my-receipts", "my_receipts")]
        case Role.PROVINCE:
            pass
    return [Tab(href, t(f"nav.{name}"), _is_within(path, href)) for href, name in ways]


def home_of(viewer: Viewer) -> str:
    """The first page of a viewer."""
    match viewer.role:
        case Role.PROVINCE:
            return f"/provinces/{viewer.scope}"
        case Role.ENTERPRISE:
            return f"/enterprises/{viewer.scope}"
        case Role.WORKER:
            return "/my-receipts"
        case _:
            return "/"


def _is_within(path: str, href: str) -> bool:
    return path == href or (href != "/" and path.startswith(href + "/"))
