"""What the attacks on the portal's database login do with it, by raw SQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.integration.reporting.reporting_harness import House

SEEN = "select enterprise, province from reporting.discrepancy"


@asynccontextmanager
async def logged_in(house: House) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(house.service.settings.portal_database.get_secret_value())
    try:
        yield connection
    finally:
        await connection.close()


async def view(portal: asyncpg.Connection, ticket: str | None, role: str) -> None:
    """Take a view role in the open transaction, with this as the ticket."""
    await portal.execute("select set_config('danbao.view', $1, true)", ticket or "")
    await portal.execute(f"set local role {role}")


async def ticket_of(portal: asyncpg.Connection, credential: str) -> str | None:
    ticket: str | None = await portal.fetchval("select reporting.view_ticket($1)", credential)
    return ticket


async def seen(portal: asyncpg.Connection, ticket: str | None, role: str) -> set[tuple[str, str]]:
    """Whose findings this ticket and view role show, in the open transaction."""
    async with portal.transaction():
        await view(portal, ticket, role)
        rows = {(row[0], row[1]) for row in await portal.fetch(SEEN)}
        await portal.execute("reset role")
        return rows


async def refused(portal: asyncpg.Connection, sql: str, *values: object) -> bool:
    """Whether the database says that this login may not do it."""
    try:
        async with portal.transaction():
            await portal.execute(sql, *values)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError):
        return True
    return False
