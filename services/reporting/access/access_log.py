"""The access log (查阅记录): who read data of which single orders, for the national regulator."""

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
class AccessEntry:
    """One access; `what` was read (`order_receipt`, `parked_event`, ...), `subject` says which."""

    id: int
    looked_at: datetime
    viewer: str
    role: str
    scope: str | None
    what: str
    subject: str


async def log_access(engine: AsyncEngine, viewer: Viewer, what: str, subject: str) -> None:
    """Write an access down, before its answer leaves."""
    async with engine.begin() as connection:
        await act(connection, viewer, _NOTE, what=what, subject=subject)


async def read_access_log(connection: AsyncConnection, before: int = NEWEST, limit: int = 100) -> list[AccessEntry]:
    """Entries with a smaller id than `before`, newest first, that the connection's viewer sees."""
    rows = await connection.execute(_LIST, {"before": before, "limit": limit})
    return [AccessEntry(*row) for row in rows]
