"""Show API keys and the access log to those who may see them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from services.reporting.access.access_log import NEWEST, read_access_log
from services.reporting.access.api_keys import (
    KEY_DAYS,
    LINK_DAYS,
    add_key,
    add_link,
    address_of_link,
    list_keys,
    revoke_key,
)
from services.reporting.access.authentication import form_fields
from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.reader_scope import KeyId
from services.reporting.rendering.page_context import PageContext, address, see_other
from shared.domain.errors import Refused

ENTRIES_SHOWN = 100


def make_router(context: PageContext) -> APIRouter:
    """`/keys` for an enterprise and operators, `/looks` for the national regulator and operators."""
    router = APIRouter(include_in_schema=False)
    _add_keys(router, context)

    @router.get("/looks")
    async def access_log(
        request: Request,
        viewer: Annotated[Viewer, Depends(context.access.require(Role.NATIONAL, Role.OPERATOR))],
        before: Annotated[int, Query(ge=0, le=NEWEST)] = NEWEST,
    ) -> Response:
        async with viewing(context.engine, viewer) as connection:
            rows = await read_access_log(connection, before, ENTRIES_SHOWN)
        more = address("/looks", before=rows[-1].id) if len(rows) == ENTRIES_SHOWN else None
        return context.renderer.page(request, "looks.html", viewer=viewer, rows=rows, next_href=more)

    return router


def _add_keys(router: APIRouter, context: PageContext) -> None:
    Maker = Annotated[Viewer, Depends(context.access.require(Role.OPERATOR, Role.ENTERPRISE))]  # noqa: N806 - a type
    _add_links(router, context)

    @router.get("/keys")
    async def keys(request: Request, viewer: Maker) -> Response:
        return await _show_keys(context, request, viewer)

    @router.post("/keys")
    async def make(request: Request, viewer: Maker) -> Response:
        name = (await form_fields(request)).get("name", "").strip()
        try:
            made = await add_key(context.engine, viewer, name, viewer.role, viewer.scope, KEY_DAYS)
        except Refused:
            return await _show_keys(context, request, viewer, refusal="no_name")
        return await _show_keys(context, request, viewer, fresh=made.key)

    @router.post("/keys/{key_id}/revoke")
    async def revoke(request: Request, viewer: Maker, key_id: KeyId) -> Response:
        try:
            await revoke_key(context.engine, viewer, key_id)
        except Refused:
            return await _show_keys(context, request, viewer, refusal="not_there")
        return see_other("/keys")


def _add_links(router: APIRouter, context: PageContext) -> None:
    Maker = Annotated[Viewer, Depends(context.access.require(Role.OPERATOR, Role.ENTERPRISE))]  # noqa: N806 - a type

    @router.post("/keys/links")
    async def make_link(request: Request, viewer: Maker) -> Response:
        worker = (await form_fields(request)).get("worker", "").strip().lower()
        try:
            made = await add_link(context.engine, viewer, worker, None, LINK_DAYS)
        except Refused:
            return await _show_keys(context, request, viewer, refusal="no_token")
        return await _show_keys(context, request, viewer, fresh=address_of_link(context.public_url, made))


async def _show_keys(
    context: PageContext, request: Request, viewer: Viewer, *, fresh: str | None = None, refusal: str | None = None
) -> Response:
    """The page, with what was made just now, or with why nothing was (409)."""
    async with context.engine.connect() as connection:
        rows = await list_keys(connection, viewer)
    refused = context.renderer.translator(request)(f"key.{refusal}") if refusal else None
    return context.renderer.page(
        request, "keys.html", 409 if refusal else 200, viewer=viewer, rows=rows, fresh=fresh, refused=refused,
        link_days=LINK_DAYS,
    )  # fmt: skip
