"""For an enterprise about its own stream: what arrives, what was parked and why, its numbers, and trying an event."""

import json
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response

from services.reporting.access.access_log import note_look
from services.reporting.access.authentication import form_fields
from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.read_model.arrivals import Arrived, read_arrivals
from services.reporting.read_model.projector import last_day
from services.reporting.rendering.charts import Mark, bars
from services.reporting.rendering.layout import EVERYWHERE
from services.reporting.rendering.page_context import AnyDay, Desk, Uscc, address, check_seen, day_of, if_there
from services.reporting.rendering.texts import Speech, grouped
from shared.contracts.manifests import Outcome
from shared.contracts.parking import ParkReason
from shared.contracts.topics import orders_topic
from shared.domain.calendar import SHANGHAI
from shared.domain.errors import Refused, Retry
from shared.runtime.clock import now

MINUTES: Final = 60
PARKED_SHOWN: Final = 50
BYTES_SHOWN: Final = 8_192
OUTCOMES: Final = (
    Outcome.CHARGED,
    Outcome.EXCLUDED,
    Outcome.RECORDED,
    Outcome.PARKED,
    Outcome.REPEAT,
    Outcome.CONFLICT,
)
Cursor = Annotated[str, Path(pattern=r"^[0-9]{1,18}\.[0-9]{1,9}$")]
AnyCursor = Annotated[str | None, Query(pattern=r"^([0-9]{1,18}\.[0-9]{1,9})?$")]
TONES: Final = {"charged": "good", "recorded": "good", "excluded": "warn", "repeat": "warn"}


def make_router(desk: Desk) -> APIRouter:
    """`/enterprises/{uscc}/…`; national viewers see every enterprise's, a province's none."""
    router = APIRouter(include_in_schema=False)
    Asking = Annotated[Viewer, Depends(desk.access.require(*EVERYWHERE, Role.ENTERPRISE))]  # noqa: N806 - a type
    _add_trials(router, desk)
    _add_parked(router, desk)

    @router.get("/enterprises/{uscc}/arriving")
    async def arriving(request: Request, viewer: Asking, uscc: Uscc) -> Response:
        _check(desk, viewer, uscc)
        at, t = now(), desk.site.speech(request)
        async with viewing(desk.engine, viewer) as connection:
            found = await read_arrivals(connection, at, MINUTES, uscc)
        return desk.site.page(
            request, "arriving.html", viewer=viewer, uscc=uscc, now=at, outcomes=OUTCOMES, minutes=_minutes(found),
            chart=_chart(found, at, t), reasons=_reasons(found),
        )  # fmt: skip

    @router.get("/enterprises/{uscc}/series")
    async def series(request: Request, viewer: Asking, uscc: Uscc, day: AnyDay = None) -> Response:
        _check(desk, viewer, uscc)
        shown = day_of(day) or await _newest_day(desk, viewer)
        path = f"/v1/enterprises/{uscc}/series"
        told = await if_there(desk.charging.of(uscc).find(path, day=str(shown), limit=200)) if shown else None
        return desk.site.page(request, "series.html", viewer=viewer, uscc=uscc, day=shown, told=told)

    return router


def _check(desk: Desk, viewer: Viewer, uscc: str) -> None:
    if uscc not in desk.site.enterprises:
        raise HTTPException(404, f"no enterprise {uscc}")
    check_seen(viewer, None, uscc)


async def _newest_day(desk: Desk, viewer: Viewer) -> Any:
    async with viewing(desk.engine, viewer) as connection:
        return await last_day(connection)


def _minutes(found: Sequence[Arrived]) -> list[dict[str, Any]]:
    """By minute, newest first."""
    counts: dict[datetime, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for each in found:
        counts[each.minute][each.outcome] += each.events
    return [
        {"at": f"{minute.astimezone(SHANGHAI):%H:%M}", "counts": dict(each), "total": sum(each.values())}
        for minute, each in sorted(counts.items(), reverse=True)
    ]


def _chart(found: Sequence[Arrived], at: datetime, t: Speech) -> Any:
    counts: dict[datetime, int] = defaultdict(int)
    for each in found:
        counts[each.minute] += each.events
    last = at.replace(second=0, microsecond=0)
    marks = []
    for back in range(MINUTES - 1, -1, -1):
        minute = last - timedelta(minutes=back)
        label = f"{minute.astimezone(SHANGHAI):%H:%M}"
        said = t("own.arrived_said", label=label, value=grouped(counts[minute]))
        marks.append(Mark(label, counts[minute], said, is_peak=True))
    return bars(marks, every=15)


def _reasons(found: Sequence[Arrived]) -> list[dict[str, Any]]:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for each in found:
        if each.reason and each.outcome in {Outcome.EXCLUDED, Outcome.PARKED}:
            counts[each.outcome, each.reason] += each.events
    ordered = sorted(counts.items(), key=lambda both: (-both[1], both[0]))
    return [{"outcome": outcome, "reason": reason, "events": events} for (outcome, reason), events in ordered]


def _add_parked(router: APIRouter, desk: Desk) -> None:
    Asking = Annotated[Viewer, Depends(desk.access.require(*EVERYWHERE, Role.ENTERPRISE))]  # noqa: N806 - a type

    @router.get("/enterprises/{uscc}/parked")
    async def parked(
        request: Request, viewer: Asking, uscc: Uscc, reason: str | None = None, after: AnyCursor = None
    ) -> Response:
        _check(desk, viewer, uscc)
        if reason and reason not in set(ParkReason):
            raise HTTPException(422, f"no reason for parking: {reason}")
        wanted = {"reason": reason} if reason else {}
        answer = await if_there(
            desk.charging.of(uscc).get("/v1/parked", enterprise=uscc, after=after or "", limit=PARKED_SHOWN, **wanted)
        )
        rows = [_described(row) for row in answer["parked"]] if answer else None
        if rows:
            await note_look(desk.engine, viewer, "parked_events", uscc)
        t, path = desk.site.speech(request), f"/enterprises/{uscc}/parked"
        is_full = rows and len(rows) == PARKED_SHOWN
        return desk.site.page(
            request, "parked.html", viewer=viewer, uscc=uscc, rows=rows, wanted=reason,
            reasons=[(each.value, t.word("park", each)) for each in ParkReason],
            next_href=address(path, reason=reason, after=rows[-1]["cursor"]) if rows and is_full else None,
        )  # fmt: skip

    @router.get("/enterprises/{uscc}/parked/{cursor}")
    async def event(request: Request, viewer: Asking, uscc: Uscc, cursor: Cursor) -> Response:
        found = await _event(desk, viewer, uscc, cursor)
        return desk.site.page(
            request, "parked_event.html", viewer=viewer, uscc=uscc, event=_described(found) | _shown(found),
            may_try=_shown(found)["is_text"] and not _shown(found)["is_cut"] and found["value_base64"] is not None,
        )  # fmt: skip

    @router.get("/enterprises/{uscc}/parked/{cursor}/bytes")
    async def very_bytes(viewer: Asking, uscc: Uscc, cursor: Cursor) -> Response:
        found = await _event(desk, viewer, uscc, cursor)
        if found["value_base64"] is None:
            raise HTTPException(410, f"the bytes of {cursor} are erased; hash and redacted form remain")
        headers = {"Content-Disposition": f'attachment; filename="parked-{cursor}.bin"'}
        return Response(b64decode(found["value_base64"]), media_type="application/octet-stream", headers=headers)


async def _event(desk: Desk, viewer: Viewer, uscc: str, cursor: str) -> dict[str, Any]:
    """One parked event of the enterprise's topic, with all its bytes; the look is written down."""
    _check(desk, viewer, uscc)
    found = await desk.charging.of(uscc).find("/v1/parked/" + cursor.replace(".", "/"))
    if found is None or found["topic"] != orders_topic(uscc):
        raise HTTPException(404, f"no event is parked as {cursor}")
    await note_look(desk.engine, viewer, "parked_event", cursor)
    return found


def _described(row: dict[str, Any]) -> dict[str, Any]:
    """Headers come in base64: whoever sent them chose their bytes."""
    headers = [(name, _readable(b64decode(value))) for name, value in row["headers"]]
    erased_at = row["erased_at"]
    return row | {
        "recorded_at": datetime.fromtimestamp(row["record_time_ms"] / 1000, UTC),
        "headers": headers,
        "erased_at": erased_at and datetime.fromisoformat(erased_at),
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """The beginning of the bytes; their redacted form when they are erased."""
    if row["value_base64"] is None:
        return {"shown": _readable(row["redacted"].encode()), "is_text": True, "is_cut": False}
    value = b64decode(row["value_base64"])
    beginning = value[:BYTES_SHOWN]
    try:
        beginning.decode() if len(value) > BYTES_SHOWN else value.decode()
        is_text = True
    except UnicodeDecodeError as error:
        is_text = error.start > len(beginning) - 4 and len(value) > BYTES_SHOWN  # a letter cut in the middle
    shown = _readable(beginning) if is_text else beginning.hex(" ")
    return {"shown": shown, "is_text": is_text, "is_cut": len(value) > BYTES_SHOWN}


def _readable(value: bytes) -> str:
    """Text in which nothing is hidden: controls, marks of direction and bytes that are no text are escapes."""
    text = value.decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() or letter in "\n\t" else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def _add_trials(router: APIRouter, desk: Desk) -> None:
    Asking = Annotated[Viewer, Depends(desk.access.require(*EVERYWHERE, Role.ENTERPRISE))]  # noqa: N806 - a type

    @router.get("/enterprises/{uscc}/trial")
    async def form(request: Request, viewer: Asking, uscc: Uscc) -> Response:
        _check(desk, viewer, uscc)
        return _trial_page(desk, request, viewer, uscc, _example(uscc))

    @router.post("/enterprises/{uscc}/trial")
    async def try_it(request: Request, viewer: Asking, uscc: Uscc) -> Response:
        _check(desk, viewer, uscc)
        event, t = (await form_fields(request)).get("event", ""), desk.site.speech(request)
        try:
            wish = {"enterprise": uscc, "event": b64encode(event.encode()).decode()}
            answer = (await desk.charging.of(uscc).post("/v1/trials", wish))["trial"]
        except (Refused, Retry):
            return _trial_page(desk, request, viewer, uscc, event, refused=t("error.away"))
        return _trial_page(desk, request, viewer, uscc, event, answer=_answer(answer, t))


def _trial_page(
    desk: Desk,
    request: Request,
    viewer: Viewer,
    uscc: str,
    event: str,
    *,
    answer: Any = None,
    refused: str | None = None,
) -> Response:
    return desk.site.page(request, "trial.html", viewer=viewer, uscc=uscc, event=event, answer=answer, refused=refused)


def _answer(answer: dict[str, Any], t: Speech) -> dict[str, Any]:
    outcome, reason = answer["outcome"], answer.get("reason")
    facts = [(t("own.tried_premium"), answer.get("amount_yuan")), (t("own.tried_line"), answer.get("tariff_line"))]
    return {
        "outcome": outcome,
        "tone": TONES.get(outcome, "bad"),
        "reason": reason,
        "reason_said": t.word("park" if outcome == Outcome.PARKED else "reason", reason),
        "detail": answer.get("detail"),
        "facts": [(name, value) for name, value in facts if value is not None],
    }


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
