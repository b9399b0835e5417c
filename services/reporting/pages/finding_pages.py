"""Show the register: filters, one finding with its evidence side by side, and changes of its state."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, get_args

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import Response

from services.reporting.access.access_log import log_access
from services.reporting.access.authentication import form_fields
from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.register.register_queries import (
    Entry,
    FindingCount,
    FindingFilter,
    FindingRow,
    State,
    change_state,
    count_findings,
    find_one,
    list_findings,
    names_orders,
)
from services.reporting.rendering.finding_text import describe_finding, show_evidence
from services.reporting.rendering.layout import EVERYWHERE, OFFICES
from services.reporting.rendering.page_context import (
    AnyDay,
    AnyPeriod,
    AnyProvince,
    AnyUscc,
    PageContext,
    address,
    day_of,
    see_other,
)
from services.reporting.rendering.texts import Extent, say_bound
from shared.contracts.findings import FindingKind
from shared.runtime.http.types import PathInt8

STATES: Final[tuple[str, ...]] = get_args(State)
SHOWN: Final = 50
MOST_COMMENT: Final = 2_000


def make_router(context: PageContext) -> APIRouter:
    """`/discrepancies`, one of them, and the form that adds a state."""
    router = APIRouter(include_in_schema=False)
    Allowed = Annotated[Viewer, Depends(context.access.require(*OFFICES))]  # noqa: N806 - a type, it holds the engine
    Changing = Annotated[Viewer, Depends(context.access.require(*EVERYWHERE, Role.PROVINCE))]  # noqa: N806 - as above

    @router.get("/discrepancies")
    async def register(
        request: Request,
        viewer: Allowed,
        state: Annotated[str | None, Query(pattern="^(" + "|".join(STATES) + ")?$")] = None,
        kind: Annotated[str | None, Query(pattern=r"^[a-z_]*$")] = None,
        province: AnyProvince = None,
        enterprise: AnyUscc = None,
        day: AnyDay = None,
        period: AnyPeriod = None,
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    ) -> Response:
        if kind and kind not in set(FindingKind):
            raise HTTPException(422, f"no kind of finding: {kind}")
        criteria = {"state": state or None, "kind": kind or None, "province": province or None}
        criteria |= {"enterprise": enterprise or None, "period": period or None}
        wanted = FindingFilter(**criteria, day=day_of(day), after=after, limit=SHOWN + 1)  # type: ignore[arg-type]
        async with viewing(context.engine, viewer) as connection:
            listed = await list_findings(connection, wanted)
            is_whole = not after and len(listed) <= SHOWN
            counted = FindingCount(len(listed), 0) if is_whole else await count_findings(connection, wanted)
        here, rows = criteria | {"day": day}, listed[:SHOWN]
        more = address("/discrepancies", **here, after=rows[-1]["id"]) if len(listed) > SHOWN else None
        t = context.renderer.translator(request)
        return context.renderer.page(
            request, "discrepancies.html", viewer=viewer, next_href=more,
            rows=[row | {"reported": describe_finding(t, row)} for row in rows],
            first_href=address("/discrepancies", **here) if after else None,
            extent=Extent.of(counted.before, len(rows), counted.count),
            wanted=here, has_provinces=viewer.role is not Role.PROVINCE,
            has_enterprises=viewer.role is not Role.ENTERPRISE,
            states=[(name, t.word("state", name)) for name in STATES],
            kinds=sorted(((name.value, t.word("kind", name)) for name in FindingKind), key=lambda both: both[1]),
            provinces=[(code, t.province(code)) for code in sorted(context.joined)],
            enterprises=sorted(context.renderer.enterprises.items()),
            links=[(form.upper(), address("/v1/discrepancies", **here, format=form)) for form in ("xlsx", "csv")],
        )  # fmt: skip

    @router.get("/discrepancies/{discrepancy_id}")
    async def finding(request: Request, viewer: Allowed, discrepancy_id: PathInt8) -> Response:
        return await _show(context, request, viewer, discrepancy_id)

    @router.post("/discrepancies/{discrepancy_id}/states")
    async def change(request: Request, viewer: Changing, discrepancy_id: PathInt8) -> Response:
        t, fields = context.renderer.translator(request), await form_fields(request)
        state, comment = fields.get("state", ""), fields.get("comment", "").strip()
        finding = await _find(context, viewer, discrepancy_id)
        if state not in STATES or not 0 < len(comment) <= MOST_COMMENT:
            return await _show(context, request, viewer, discrepancy_id, t("finding.no_comment"))
        async with context.engine.begin() as connection:
            is_new = await change_state(connection, finding["id"], state, comment, viewer)  # type: ignore[arg-type]
        if not is_new:
            return await _show(context, request, viewer, discrepancy_id, t("finding.already"))
        return see_other(f"/discrepancies/{discrepancy_id}")

    return router


async def _find(context: PageContext, viewer: Viewer, discrepancy_id: int) -> FindingRow:
    if not 0 < discrepancy_id < 2**63:
        raise HTTPException(404, f"no finding {discrepancy_id}")
    async with viewing(context.engine, viewer) as connection:
        finding = await find_one(connection, discrepancy_id)
    if finding is None:
        raise HTTPException(404, f"no finding {discrepancy_id} in your share")
    return finding


async def _show(
    context: PageContext, request: Request, viewer: Viewer, discrepancy_id: int, refused: str | None = None
) -> Response:
    finding, t = await _find(context, viewer, discrepancy_id), context.renderer.translator(request)
    if names_orders(finding):
        await log_access(context.engine, viewer, "orders_of_finding", str(discrepancy_id))
    return context.renderer.page(
        request, "finding.html", 200 if refused is None else 409, viewer=viewer, found=finding, refused=refused,
        reported=describe_finding(t, finding), evidence=show_evidence(t, finding),
        bound=lambda place: say_bound(t, place),
        story=_story(finding), states=[(state, t.word("state", state)) for state in STATES],
        may_change=viewer.role in EVERYWHERE or (viewer.role is Role.PROVINCE and viewer.scope == finding["province"]),
        sees_province=viewer.role in EVERYWHERE or viewer.role is Role.PROVINCE,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoryShown:
    """A change of state, or a sighting (without a state), in the history of a finding."""

    at: datetime
    state: str | None
    actor: str
    note: str


def _story(finding: FindingRow) -> list[StoryShown]:
    """States and sightings in the order of time."""
    history, sightings = finding["history"], finding["sightings"]
    assert isinstance(history, list)
    assert isinstance(sightings, list)
    states = [_story_of(entry, str(entry["state"]), str(entry["actor"]), entry["note"]) for entry in history]
    seen = [_story_of(sighting, None, "danbao", sighting["detail"]) for sighting in sightings]
    return sorted(states + seen, key=lambda event: event.at)


def _story_of(entry: Entry, state: str | None, actor: str, note: str | int | datetime | None) -> StoryShown:
    at = entry["seen_at" if state is None else "noted_at"]
    assert isinstance(at, datetime)
    return StoryShown(at, state, actor, str(note))
