"""Show an enterprise its own stream: what arrives, its numbers, and a dry run of an event."""

import json
from base64 import b64encode
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from markupsafe import Markup
from msgspec import Struct
from pydantic import JsonValue

from services.reporting.access.authentication import form_fields
from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.read_model.arrivals import Arrived, read_arrivals
from services.reporting.read_model.projector import last_day
from services.reporting.rendering.charts import Mark, bars
from services.reporting.rendering.layout import EVERYWHERE
from services.reporting.rendering.page_context import (
    AnyDay,
    PageContext,
    Uscc,
    answer_or_none,
    check_enterprise,
    day_of,
)
from services.reporting.rendering.texts import Translator, grouped
from services.reporting.service_clients import read_as
from shared.contracts.manifests import Outcome
from shared.domain.calendar import SHANGHAI
from shared.domain.errors import Refused, Retry
from shared.runtime.clock import now

MINUTES: Final = 60
RANGES_SHOWN: Final = 200
"""Ranges of a series on one page; a link leads to those behind."""
FromNumber = Annotated[int, Query(ge=1, lt=2**63)]
OUTCOMES: Final = (
    Outcome.CHARGED,
    Outcome.EXCLUDED,
    Outcome.RECORDED,
    Outcome.PARKED,
    Outcome.REPEAT,
    Outcome.CONFLICT,
)
TONES: Final = {"charged": "good", "recorded": "good", "excluded": "warn", "repeat": "warn"}


def make_router(context: PageContext) -> APIRouter:
    """`/enterprises/{uscc}/…`; national viewers see every enterprise's, a province's none."""
    router = APIRouter(include_in_schema=False)
    Allowed = Annotated[Viewer, Depends(context.access.require(*EVERYWHERE, Role.ENTERPRISE))]  # noqa: N806 - a type
    _add_trials(router, context)

    @router.get("/enterprises/{uscc}/arriving")
    async def arriving(request: Request, viewer: Allowed, uscc: Uscc) -> Response:
        check_enterprise(context, viewer, uscc)
        at, t = now(), context.renderer.translator(request)
        async with viewing(context.engine, viewer) as connection:
            arrivals = await read_arrivals(connection, at, MINUTES, uscc)
        return context.renderer.page(
            request, "arriving.html", viewer=viewer, uscc=uscc, now=at, outcomes=OUTCOMES, minutes=_minutes(arrivals),
            chart=_chart(arrivals, at, t), reasons=_reasons(arrivals),
        )  # fmt: skip

    @router.get("/enterprises/{uscc}/series")
    async def series(
        request: Request, viewer: Allowed, uscc: Uscc, day: AnyDay = None, after: FromNumber = 1
    ) -> Response:
        check_enterprise(context, viewer, uscc)
        shown = day_of(day) or await _newest_day(context, viewer)
        path = f"/v1/enterprises/{uscc}/series"
        query = context.charging.of(uscc).find
        wanted: dict[str, str | int] = {"day": str(shown), "after": after, "limit": RANGES_SHOWN}
        answer = await answer_or_none(query(path, **wanted)) if shown else None
        return context.renderer.page(request, "series.html", viewer=viewer, uscc=uscc, day=shown, reported=answer)

    return router


async def _newest_day(context: PageContext, viewer: Viewer) -> date | None:
    async with viewing(context.engine, viewer) as connection:
        return await last_day(connection)


@dataclass(frozen=True, slots=True)
class MinuteShown:
    """Events that arrived in a minute, by outcome."""

    at: str
    counts: dict[str, int]
    total: int


def _minutes(arrivals: Sequence[Arrived]) -> list[MinuteShown]:
    """By minute, newest first."""
    counts: dict[datetime, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for arrival in arrivals:
        counts[arrival.minute][arrival.outcome] += arrival.events
    return [
        MinuteShown(f"{minute.astimezone(SHANGHAI):%H:%M}", dict(outcomes), sum(outcomes.values()))
        for minute, outcomes in sorted(counts.items(), reverse=True)
    ]


def _chart(arrivals: Sequence[Arrived], at: datetime, t: Translator) -> Markup:
    counts: dict[datetime, int] = defaultdict(int)
    for arrival in arrivals:
        counts[arrival.minute] += arrival.events
    last = at.replace(second=0, microsecond=0)
    marks = []
    for back in range(MINUTES - 1, -1, -1):
        minute = last - timedelta(minutes=back)
        label = f"{minute.astimezone(SHANGHAI):%H:%M}"
        said = t("own.arrived_said", label=label, value=grouped(counts[minute]))
        marks.append(Mark(label, counts[minute], said, is_peak=True))
    return bars(marks, every=15)


@dataclass(frozen=True, slots=True)
class ReasonShown:
    """Events excluded or parked for one reason."""

    outcome: str
    reason: str
    events: int


def _reasons(arrivals: Sequence[Arrived]) -> list[ReasonShown]:
    """Most frequent first."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for arrival in arrivals:
        if arrival.reason and arrival.outcome in {Outcome.EXCLUDED, Outcome.PARKED}:
            counts[arrival.outcome, arrival.reason] += arrival.events
    ordered = sorted(counts.items(), key=lambda both: (-both[1], both[0]))
    return [ReasonShown(outcome, reason, events) for (outcome, reason), events in ordered]


def _add_trials(router: APIRouter, context: PageContext) -> None:
    Allowed = Annotated[Viewer, Depends(context.access.require(*EVERYWHERE, Role.ENTERPRISE))]  # noqa: N806 - a type

    @router.get("/enterprises/{uscc}/trial")
    async def form(request: Request, viewer: Allowed, uscc: Uscc) -> Response:
        check_enterprise(context, viewer, uscc)
        return _trial_page(context, request, viewer, uscc, _example(uscc))

    @router.post("/enterprises/{uscc}/trial")
    async def try_it(request: Request, viewer: Allowed, uscc: Uscc) -> Response:
        check_enterprise(context, viewer, uscc)
        event, t = (await form_fields(request)).get("event", ""), context.renderer.translator(request)
        try:
            wish: dict[str, JsonValue] = {"enterprise": uscc, "event": b64encode(event.encode()).decode()}
            answer = (await context.charging.of(uscc).post("/v1/trials", wish)).get("trial")
            tried = read_as(_Tried, "charging", answer)
        except (Refused, Retry):
            return _trial_page(context, request, viewer, uscc, event, refused=t("error.away"))
        return _trial_page(context, request, viewer, uscc, event, answer=_shown(tried, t))


def _trial_page(
    context: PageContext,
    request: Request,
    viewer: Viewer,
    uscc: str,
    event: str,
    *,
    answer: "TrialShown | None" = None,
    refused: str | None = None,
) -> Response:
    return context.renderer.page(
        request, "trial.html", viewer=viewer, uscc=uscc, event=event, answer=answer, refused=refused
    )


class _Tried(Struct, frozen=True):
    """Charging's answer to a dry run."""

    outcome: str
    reason: str | None = None
    detail: str | None = None
    amount_yuan: str | None = None
    tariff_line: int | None = None


@dataclass(frozen=True, slots=True)
class TrialShown:
    """The result that an event would get, in the reader's language."""

    outcome: str
    tone: str
    reason: str | None
    reason_said: str
    detail: str | None
    facts: list[tuple[str, str | int]]


def _shown(tried: _Tried, t: Translator) -> TrialShown:
    facts = [(t("own.tried_premium"), tried.amount_yuan), (t("own.tried_line"), tried.tariff_line)]
    return TrialShown(
        outcome=tried.outcome,
        tone=TONES.get(tried.outcome, "bad"),
        reason=tried.reason,
        reason_said=t.word("park" if tried.outcome == Outcome.PARKED else "reason", tried.reason),
        detail=tried.detail,
        facts=[(name, value) for name, value in facts if value is not None],
    )


def _example(uscc: str) -> str:
    """An acceptance in the form's field, to change."""
    at = now().astimezone(SHANGHAI).replace(microsecond=0)
    data = {
        "order_id": "TRIAL-1", "worker_id": "0" * 64, "token_key": 1, "industry": "instant_delivery",
        "acceptance_region": "440305", "accepted_at": at.isoformat(), "series": "A", "sequence": 1,
    }  # fmt: skip
    event = {
        "specversion": "1.0", "id": "trial-1", "source": f"urn:uscc:{uscc}", "type": "order.accepted.v1",
        "time": at.isoformat(), "data": data,
    }  # fmt: skip
    return json.dumps(event, ensure_ascii=False, indent=2)
