"""Serve the page /receipt: identical bytes for everybody, self-contained, with no address that it could call."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.reporting.rendering.layout import HOUSE, STATIC, language_of
from services.reporting.rendering.texts import LANGUAGES, Language, Translator, read_texts
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.province import PROVINCES
from shared.domain.scheme.rating import ExclusionReason

SCRIPTS: Final = ("noble-ed25519.js", "check.js", "page.js")
"""In the page's one script, in this order; the first is @noble/ed25519 as published (docs/dependencies.md)."""
RECEIPT: Final = HOUSE / "templates" / "receipt"
SECTION: Final = "check."


def make_page_router(vkeys: Sequence[str], names: Mapping[str, str]) -> APIRouter:
    """`/receipt`, in the reader's language."""
    router = APIRouter(include_in_schema=False)
    pages = {language: render_page(vkeys, names, language) for language in LANGUAGES}

    @router.get("/receipt")
    async def receipt_page(request: Request) -> Response:
        body, headers = pages[language_of(request)]
        return HTMLResponse(body, headers=headers)

    return router


def render_page(
    vkeys: Sequence[str], names: Mapping[str, str], language: Language = "zh"
) -> tuple[str, dict[str, str]]:
    """The page and its headers: it may run its own script and style, and may make no request."""
    style = (STATIC / "portal.css").read_text(encoding="utf-8")
    script = "\n".join((RECEIPT / name).read_text(encoding="utf-8") for name in SCRIPTS)
    texts = read_texts()
    t = Translator(language, texts, names)
    environment = Environment(
        loader=FileSystemLoader(HOUSE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    known = _known(vkeys, names, t, [key for key in texts if key.startswith(SECTION)])
    other = next(candidate for candidate in LANGUAGES if candidate != language)
    body = environment.get_template("receipt.html").render(t=t, other=other, style=style, script=script, known=known)
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; frame-ancestors 'none'"
    return body, {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "public, max-age=300",
        "Vary": "Cookie",
    }


def _known(vkeys: Sequence[str], names: Mapping[str, str], t: Translator, keys: Sequence[str]) -> str:
    """JSON for within a script element: no tag can begin in it."""
    known: dict[str, list[str] | dict[str, str] | dict[int, str]] = {
        "keys": list(vkeys),
        "enterprises": dict(names),
        "provinces": {code: t.province(code) for code in PROVINCES},
        "industries": {industry.code: t.industry(industry) for industry in Industry},
        "exclusions": ["", *(t.word("reason", reason) for reason in ExclusionReason)],
        "words": {key.removeprefix(SECTION): t(key) for key in keys},
    }
    return json.dumps(known, ensure_ascii=False).replace("<", "\\u003c")


def _digest(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
