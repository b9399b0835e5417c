"""Serve the register as JSON, to every viewer within its scope.

The national regulator and provinces change states, each of what it sees; an enterprise reads its own.
"""

from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.access_log import log_access
from services.reporting.access.authentication import Access
from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.downloads.formats import DOWNLOADS, Format, name_file
from services.reporting.downloads.lists import LongList
from services.reporting.read_model.responses import Where
from services.reporting.reader_scope import narrowed
from services.reporting.register.register_queries import (
    FindingFilter,
    FindingRow,
    State,
    change_state,
    find_one,
    list_findings,
    names_orders,
)
from shared.contracts.findings import FindingKind
from shared.runtime.http.types import AnyDay, AnyPeriod, AnyProvince, AnyUscc, Cursor

COLUMNS: Final = (
    "id", "kind", "state", "count", "found_at", "last_seen_at", "times_seen", "noted_at", "actor", "note", "report_id",
    "period", "day", "province", "enterprise", "declared", "reported", "detail",
)  # fmt: skip
DEFAULT_LISTED: Final = 1_000
MOST_LISTED: Final = 5_000
Limit = Annotated[
    int | None,
    Query(ge=1, le=MOST_LISTED, description="at most so many, and `next` leads on; 1,000, or all in a download"),
]

Number = Annotated[int, Path(ge=1, lt=2**63)]


class StateChange(BaseModel):
    """To which state, and why."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    state: State
    comment: Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^\x00]*$")]


_REGULATORS = (Role.NATIONAL, Role.PROVINCE, Role.OPERATOR)


def register_routes(access: Access, engine: AsyncEngine) -> APIRouter:
    """Every route under /v1/discrepancies."""
    router = APIRouter(prefix="/v1/discrepancies")
    Allowed = Annotated[Viewer, Depends(access.require(*_REGULATORS, Role.ENTERPRISE))]  # noqa: N806 - a type, made here
    Regulator = Annotated[Viewer, Depends(access.require(*_REGULATORS))]  # noqa: N806 - since it holds the engine

    @router.get("", responses=DOWNLOADS)
    async def list_them(
        request: Request,
        viewer: Allowed,
        kind: FindingKind | None = None,
        state: State | None = None,
        enterprise: AnyUscc = None,
        province: AnyProvince = None,
        day: AnyDay = None,
        period: AnyPeriod = None,
        after: Cursor = 0,
        limit: Limit = None,
        format: Format = "json",  # noqa: A002 - the name in the address
    ) -> Any:
        """Findings by id, within what the reader sees; as CSV and XLSX all of them, without their evidence."""
        wanted = FindingFilter(kind=kind, state=state, enterprise=enterprise, province=province, day=day, period=period)

        async def fetch(after: int | None, limit: int) -> list[FindingRow]:
            async with viewing(engine, viewer) as connection:
                return await list_findings(connection, replace(wanted, after=after or 0, limit=limit))

        listing = LongList(fetch, _number)
        if format == "json":
            page = await listing.read(after, limit or DEFAULT_LISTED)
            named = [str(finding["id"]) for finding in page.rows if names_orders(finding)]
            if named:
                await log_access(engine, viewer, "evidence_of_findings", f"{named[0]} to {named[-1]}: {len(named)}")
            return {"discrepancies": page.rows, "next": page.next}
        place = narrowed(viewer, Where(province=province, enterprise=enterprise))
        name = name_file("discrepancies", place, period, day, kind, state)
        return await listing.as_file(request, format, name, after, limit, COLUMNS, lambda finding: finding)

    @router.get("/{discrepancy_id}")
    async def show_one(viewer: Allowed, discrepancy_id: Number) -> dict[str, Any]:
        return await _find(engine, viewer, discrepancy_id)

    @router.post("/{discrepancy_id}/states")
    async def change(viewer: Regulator, discrepancy_id: Number, body: StateChange) -> dict[str, Any]:
        await _find(engine, viewer, discrepancy_id)
        async with engine.begin() as connection:
            if not await change_state(connection, discrepancy_id, body.state, body.comment, viewer):
                raise HTTPException(409, f"finding {discrepancy_id} is {body.state} already")
        return await _find(engine, viewer, discrepancy_id)

    return router


def _number(finding: FindingRow) -> int:
    number = finding["id"]
    assert isinstance(number, int)
    return number


async def _find(engine: AsyncEngine, viewer: Viewer, discrepancy_id: int) -> FindingRow:
    async with viewing(engine, viewer) as connection:
        finding = await find_one(connection, discrepancy_id)
    if finding is None:
        raise HTTPException(404, f"no finding {discrepancy_id} within what this key sees")
    if names_orders(finding):
        await log_access(engine, viewer, "orders_of_finding", str(discrepancy_id))
    return finding
