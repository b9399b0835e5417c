"""Serve the register as JSON, to every viewer within its scope.

The national regulator and provinces change states, each of what it sees; an enterprise reads its own.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.access_log import log_access
from services.reporting.access.authentication import Access
from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.downloads.formats import DOWNLOADS, Format, in_format
from services.reporting.downloads.spreadsheet_cells import Table
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
Limit = Annotated[int, Query(ge=1, le=5_000)]

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
        viewer: Allowed,
        kind: FindingKind | None = None,
        state: State | None = None,
        enterprise: AnyUscc = None,
        province: AnyProvince = None,
        day: AnyDay = None,
        period: AnyPeriod = None,
        after: Cursor = 0,
        limit: Limit = 1_000,
        format: Format = "json",  # noqa: A002 - the name in the address
    ) -> Any:
        """Findings by id, within what the reader sees; as CSV and XLSX without their evidence."""
        wanted = FindingFilter(
            kind=kind, state=state, enterprise=enterprise, province=province, day=day, period=period, after=after,
            limit=limit,
        )  # fmt: skip
        async with viewing(engine, viewer) as connection:
            findings = await list_findings(connection, wanted)
        named = [str(finding["id"]) for finding in findings if names_orders(finding)]
        if named and format == "json":
            await log_access(engine, viewer, "evidence_of_findings", f"{named[0]} to {named[-1]}: {len(named)}")
        page = {"discrepancies": findings, "next": findings[-1]["id"] if len(findings) == limit else None}
        return in_format(format, page, "discrepancies", lambda _: [Table("discrepancies", COLUMNS, findings)])

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


async def _find(engine: AsyncEngine, viewer: Viewer, discrepancy_id: int) -> FindingRow:
    async with viewing(engine, viewer) as connection:
        finding = await find_one(connection, discrepancy_id)
    if finding is None:
        raise HTTPException(404, f"no finding {discrepancy_id} within what this key sees")
    if names_orders(finding):
        await log_access(engine, viewer, "orders_of_finding", str(discrepancy_id))
    return finding
