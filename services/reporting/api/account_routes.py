"""Serve accounts, keys, links and the access log over HTTP: /v1/accounts, /v1/api-keys, /v1/worker-links, /v1/looks."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access import access_log, accounts, api_keys
from services.reporting.access.accounts import NAME
from services.reporting.access.api_keys import KEY_DAYS, LINK_DAYS
from services.reporting.access.authentication import Access
from services.reporting.access.passwords import Passwords
from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.reader_scope import KeyId
from shared.domain.errors import Refused
from shared.runtime.http.answers import cut_page
from shared.runtime.http.types import USCC

Scope = Annotated[str | None, Field(max_length=100)]
AccountName = Annotated[str, Path(pattern=NAME.pattern)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Password(_Body):
    """A new password."""

    password: SecretStr


class NewAccount(Password):
    """An account; `scope` as the role wants it."""

    name: Annotated[str, Field(max_length=64)]
    role: Role
    scope: Scope = None


class NewApiKey(_Body):
    """A key of a program."""

    name: Annotated[str, Field(max_length=100)]
    role: Role
    scope: Scope = None
    days: int = KEY_DAYS


class NewLink(_Body):
    """A link to the receipts of a worker (token): of one enterprise's orders, or of all."""

    worker_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    enterprise: Annotated[str | None, Field(pattern=USCC)] = None
    days: int = LINK_DAYS


def make_account_router(engine: AsyncEngine, access: Access, passwords: Passwords, public_url: str) -> APIRouter:
    """Operators make accounts, and keys for anybody; an enterprise makes keys and links for itself.

    `public_url` is where people reach the pages: links are built from it.
    """
    router = APIRouter(prefix="/v1")
    _add_accounts(router, engine, access, passwords)
    _add_keys(router, engine, access)
    _add_links(router, engine, access, public_url)

    @router.get("/looks")
    async def list_looks(
        viewer: Annotated[Viewer, Depends(access.require(Role.NATIONAL, Role.OPERATOR))],
        before: Annotated[int, Query(ge=0, le=access_log.NEWEST)] = access_log.NEWEST,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> dict[str, list[access_log.AccessEntry] | int | None]:
        async with viewing(engine, viewer) as connection:
            rows = await access_log.read_access_log(connection, before, limit + 1)
        shown, following = cut_page(rows, limit, lambda entry: entry.id)
        return {"looks": list(shown), "next": following}

    return router


def _add_accounts(router: APIRouter, engine: AsyncEngine, access: Access, passwords: Passwords) -> None:
    Operator = Annotated[Viewer, Depends(access.require(Role.OPERATOR))]  # noqa: N806 - a type that holds the engine

    @router.get("/accounts")
    async def list_accounts(operator: Operator) -> dict[str, list[accounts.Account]]:
        async with engine.connect() as connection:
            return {"accounts": await accounts.list_accounts(connection, operator)}

    @router.post("/accounts", status_code=201)
    async def add_account(operator: Operator, body: NewAccount) -> dict[str, str]:
        password = body.password.get_secret_value()
        await accounts.add_account(engine, passwords, body.name, body.role, body.scope, password, operator)
        return {"name": body.name}

    @router.post("/accounts/{name}/disable")
    async def disable_account(operator: Operator, name: AccountName) -> dict[str, str]:
        with _refused_as_missing():
            await accounts.disable_account(engine, name, operator)
        return {"name": name}

    @router.post("/accounts/{name}/password")
    async def change_password(operator: Operator, name: AccountName, body: Password) -> dict[str, str]:
        password = body.password.get_secret_value()
        await accounts.change_password(engine, passwords, name, password, operator)
        return {"name": name}


def _add_keys(router: APIRouter, engine: AsyncEngine, access: Access) -> None:
    Maker = Annotated[Viewer, Depends(access.require(Role.OPERATOR, Role.ENTERPRISE))]  # noqa: N806 - as above

    @router.get("/api-keys")
    async def list_keys(maker: Maker) -> dict[str, list[api_keys.ApiKey]]:
        async with engine.connect() as connection:
            return {"api_keys": await api_keys.list_keys(connection, maker)}

    @router.post("/api-keys", status_code=201)
    async def add_key(maker: Maker, body: NewApiKey) -> api_keys.NewKey:
        if body.role is Role.WORKER:
            raise Refused("workers have links: POST /v1/worker-links")
        return await api_keys.add_key(engine, maker, body.name, body.role, body.scope, body.days)

    @router.post("/api-keys/{key_id}/revoke")
    async def revoke_key(maker: Maker, key_id: KeyId) -> dict[str, int]:
        with _refused_as_missing():
            await api_keys.revoke_key(engine, maker, key_id)
        return {"key_id": key_id}


def _add_links(router: APIRouter, engine: AsyncEngine, access: Access, public_url: str) -> None:
    @router.post("/worker-links", status_code=201)
    async def add_link(
        maker: Annotated[Viewer, Depends(access.require(Role.OPERATOR, Role.ENTERPRISE))],
        body: NewLink,
    ) -> dict[str, int | str | datetime]:
        made = await api_keys.add_link(engine, maker, body.worker_id, body.enterprise, body.days)
        link = api_keys.address_of_link(public_url, made)
        return {"key_id": made.key_id, "link": link, "path": f"/w/{made.key}", "ends_at": made.ends_at}


@contextmanager
def _refused_as_missing() -> Iterator[None]:
    """Answer 404: what these routes refuse is an account or key that is not there."""
    try:
        yield
    except Refused as error:
        raise HTTPException(404, str(error)) from error
