"""Change the viewer's own password: /my-password and /v1/my-password require the old one, and the new one twice."""

from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.accounts import Throttled, is_password_of, note
from services.reporting.access.authentication import OWN_PAGE, SESSION, Access, cookie, form_fields
from services.reporting.access.password_rules import UnfitPassword, check_fit
from services.reporting.access.passwords import Passwords
from services.reporting.access.sign_in import Render
from services.reporting.access.viewers import Viewer
from shared.domain.errors import Refused
from shared.runtime.access import sha256_hex
from shared.runtime.http.client_address import network_of

_LAST: Final = text(
    "select array[password_hash] || former_hashes from reporting.account where name = :name and not is_disabled"
)
_CHANGE: Final = text("""
update reporting.account set password_hash = :hash, must_change = false,
    former_hashes = (array[password_hash] || former_hashes)[1:4]
where name = :name and password_hash = :before and not is_disabled returning 1
""")
_END_OTHERS: Final = text("delete from reporting.session where account = :name and session_sha256 <> :kept")


class OwnPassword(BaseModel):
    """The old password, and the new one twice."""

    model_config = ConfigDict(extra="forbid")

    old: SecretStr
    new: SecretStr
    again: SecretStr


class OwnPasswords:
    """Changes the passwords of those who are signed in."""

    def __init__(self, engine: AsyncEngine, passwords: Passwords) -> None:
        self._engine, self._passwords = engine, passwords

    async def change(self, request: Request, name: str, wish: OwnPassword) -> None:
        """Give the account its new password and end its other sessions; raises UnfitPassword, Throttled or Retry.

        The rules come first: who misses one has not used up an attempt at the old password.
        """
        old, new = wish.old.get_secret_value(), wish.new.get_secret_value()
        if new != wish.again.get_secret_value():
            raise UnfitPassword("not_twice")
        check_fit(new, name)
        address = request.client.host if request.client else ""
        async with self._engine.connect() as connection:
            last: list[str] | None = await connection.scalar(_LAST, {"name": name})
        if not await is_password_of(self._engine, self._passwords, name, old, address) or last is None:
            raise UnfitPassword("wrong_old")
        network = network_of(address)
        for kept in last:
            if await self._passwords.is_right(kept, new, network):
                raise UnfitPassword("reused")
        row = {"name": name, "hash": await self._passwords.hash(new, name), "before": last[0]}
        async with self._engine.begin() as connection:
            if await connection.scalar(_CHANGE, row) is None:
                raise Refused("the password was changed by somebody else meanwhile: sign in once more")
            await connection.execute(_END_OTHERS, {"name": name, "kept": sha256_hex(cookie(request, SESSION))})
            await note(connection, "password_changed", name, address=network, actor=name)


def make_own_password_router(engine: AsyncEngine, access: Access, passwords: Passwords, render: Render) -> APIRouter:
    """Template `my_password.html` gets `refusal`, the name of a rule, and `is_done`."""
    router, own = APIRouter(), OwnPasswords(engine, passwords)
    _add_page(router, access, own, render)

    @router.post(f"/v1{OWN_PAGE}")
    async def change(
        request: Request, viewer: Annotated[Viewer, Depends(access.person)], body: OwnPassword
    ) -> dict[str, str]:
        try:
            await own.change(request, viewer.name, body)
        except Throttled as error:
            raise HTTPException(429, str(error), {"Retry-After": str(error.seconds)}) from error
        return {"name": viewer.name}

    return router


def _add_page(router: APIRouter, access: Access, own: OwnPasswords, render: Render) -> None:
    Person = Annotated[Viewer, Depends(access.person)]  # noqa: N806 - a type, made here since it holds the engine

    def page(
        request: Request, viewer: Viewer, status: int = 200, refusal: str | None = None, *, is_done: bool = False
    ) -> Response:
        return render(request, "my_password.html", status, viewer=viewer, refusal=refusal, is_done=is_done)

    @router.get(OWN_PAGE, include_in_schema=False)
    async def show(request: Request, viewer: Person) -> Response:
        return page(request, viewer)

    @router.post(OWN_PAGE, include_in_schema=False)
    async def change(request: Request, viewer: Person) -> Response:
        fields = await form_fields(request)
        typed = {name: SecretStr(fields.get(name, "")) for name in OwnPassword.model_fields}
        try:
            await own.change(request, viewer.name, OwnPassword(**typed))
        except UnfitPassword as error:
            return page(request, viewer, 409, error.rule)
        except Throttled as error:
            response = page(request, viewer, 429, "throttled")
            response.headers["Retry-After"] = str(error.seconds)
            return response
        return page(request, replace(viewer, must_change=False), is_done=True)
