"""The routes /sign-in, /sign-out, and /w/<link>, which opens a worker's receipts."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.accounts import Throttled, check_password
from services.reporting.access.api_keys import LinkUsedUp, find_link, note_opening
from services.reporting.access.authentication import SESSION, VISIT, Access, begin_visit, cookie, local_path, set_cookie
from services.reporting.access.passwords import Passwords
from services.reporting.access.sessions import end_session, find_session, open_session
from services.reporting.access.viewers import Role

Render = Callable[..., Response]
"""`render(request, template, status, **values)`: a page."""
WORKERS_PAGE = "/my-receipts"
Link = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class SignIn:
    """Signing in and out, with the page of it."""

    def __init__(self, engine: AsyncEngine, passwords: Passwords, render: Render) -> None:
        self._engine, self._passwords, self._render = engine, passwords, render

    def page(
        self, request: Request, status: int, wanted: str, refusal: str | None, wait_seconds: int | None = None
    ) -> Response:
        """The form; `refusal` is None, `wrong` or `throttled`."""
        visit = begin_visit(request)
        response = self._render(request, "sign_in.html", status, next=wanted, refusal=refusal)
        if visit is not None:
            set_cookie(request, response, VISIT, visit)
        if wait_seconds is not None:
            response.headers["Retry-After"] = str(wait_seconds)
        return response

    async def sign_in(self, request: Request, form: dict[str, str]) -> Response:
        """Answer a right password: a new session, for any cookie that came, and the page that was wanted."""
        name, wanted = form.get("name", "").strip().lower(), local_path(form.get("next", "/"))
        address = request.client.host if request.client else ""
        try:
            if not await check_password(self._engine, self._passwords, name, form.get("password", ""), address):
                return self.page(request, 401, wanted, "wrong")
        except Throttled as error:
            return self.page(request, 429, wanted, "throttled", error.seconds)
        return enter(
            request, await open_session(self._engine, account=name, instead_of=cookie(request, SESSION)), wanted
        )

    async def sign_out(self, request: Request) -> Response:
        """The session ends, here too."""
        await end_session(self._engine, cookie(request, SESSION))
        return enter(request, "", "/sign-in")

    async def show_link(self, request: Request, link: str, status: int = 200) -> Response:
        """A page with a button: following the link alone changes nothing. 404 for a link that has ended."""
        await self._find_link(link)
        session = cookie(request, SESSION)
        viewer = await find_session(self._engine, session, is_asked=False) if session else None
        replaced = viewer.name if viewer is not None and viewer.role is not Role.WORKER else None
        visit = begin_visit(request)
        response = self._render(request, "open_link.html", status, link=link, replaced=replaced)
        if visit is not None:
            set_cookie(request, response, VISIT, visit)
        return response

    async def open_link(self, request: Request, link: str, form: dict[str, str]) -> Response:
        """A short session of the worker. Another viewer's session is replaced only where the form says so."""
        key_id = await self._find_link(link)
        session = cookie(request, SESSION)
        viewer = await find_session(self._engine, session) if session else None
        if viewer is not None and viewer.role is not Role.WORKER and form.get("replaces") != viewer.name:
            return await self.show_link(request, link, 409)
        try:
            await note_opening(self._engine, key_id)
        except LinkUsedUp as error:
            raise HTTPException(429, str(error), {"Retry-After": "3600"}) from error
        return enter(request, await open_session(self._engine, key_id=key_id, instead_of=session), WORKERS_PAGE)

    async def _find_link(self, link: str) -> int:
        key_id = await find_link(self._engine, link)
        if key_id is None:
            raise HTTPException(404, "this link has ended: request a new one")
        return key_id


def enter(request: Request, token: str, where: str) -> Response:
    """On to another page, with this session's cookie from now on; with none for an empty token."""
    response = RedirectResponse(where, 303, {"Cache-Control": "no-store"})
    set_cookie(request, response, SESSION, token)
    return response


def make_sign_in_router(engine: AsyncEngine, access: Access, passwords: Passwords, render: Render) -> APIRouter:
    """Template `sign_in.html` gets `next` and `refusal`, and what `render` gives to every form."""
    router, handlers = APIRouter(include_in_schema=False), SignIn(engine, passwords, render)
    Form = Annotated[dict[str, str], Depends(access.form)]  # noqa: N806 - a type, made here since it holds the engine

    @router.get("/sign-in")
    async def show(request: Request, next: str = "/") -> Response:  # noqa: A002 - the name in the address
        return handlers.page(request, 200, local_path(next), None)

    @router.post("/sign-in")
    async def sign_in(request: Request, form: Form) -> Response:
        return await handlers.sign_in(request, form)

    @router.post("/sign-out")
    async def sign_out(request: Request, _: Form) -> Response:
        return await handlers.sign_out(request)

    @router.get("/w/{link}")
    async def show_link(request: Request, link: Link) -> Response:
        return await handlers.show_link(request, link)

    @router.post("/w/{link}")
    async def open_link(request: Request, link: Link, form: Form) -> Response:
        return await handlers.open_link(request, link, form)

    return router
