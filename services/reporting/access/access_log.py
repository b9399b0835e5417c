"""The trail of looks (查阅记录): who looked at data of which single orders, for the national regulator."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.access.viewers import Viewer, act

_NOTE: Final = text("select reporting.note_look(:credential, :what, :subject)")
_LIST: Final = text("""
select id, looked_at, viewer, role, scope, what, subject from reporting.look
where id < :before order by id desc limit :limit
""")
NEWEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Look:
    """One look; `what` was looked at (`order_receipt`, `parked_event`, ...), `subject` says which."""

    id: int
    looked_at: datetime
    viewer: str
    role: str
    scope: str | None
    what: str
    subject: str


async def note_look(engine: AsyncEngine, viewer: Viewer, what: str, subject: str) -> None:
    """Write a look down, before its answer leaves."""
    async with engine.begin() as connection:
        await act(connection, viewer, _NOTE, what=what, subject=subject)


async def list_looks(connection: AsyncConnection, before: int = NEWEST, limit: int = 100) -> list[Look]:
    """The looks with a smaller id than `before`, newest first; of the connection's viewer."""
    rows = await connection.execute(_LIST, {"before": before, "limit": limit})
    return [Look(*row) for row in rows]
