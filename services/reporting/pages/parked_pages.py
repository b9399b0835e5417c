"""Parked events of an enterprise's own stream: a list by reason, one with its bytes, and a download of these."""

from base64 import b64decode
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response

from services.reporting.access.access_log import note_look
from services.reporting.access.viewers import Role, Viewer
from services.reporting.rendering.layout import EVERYWHERE
from services.reporting.rendering.page_context import (
    PageContext,
    Uscc,
    address,
    answer_or_none,
    check_enterprise,
)
from shared.contracts.parking import ParkReason
from shared.contracts.topics import orders_topic

PARKED_SHOWN: Final = 50
BYTES_SHOWN: Final = 8_192
Cursor = Annotated[str, Path(pattern=r"^[0-9]{1,18}\.[0-9]{1,9}$")]
AnyCursor = Annotated[str | None, Query(pattern=r"^([0-9]{1,18}\.[0-9]{1,9})?$")]


def make_router(context: PageContext) -> APIRouter:
    """`/enterprises/{uscc}/parked`, one event, and its bytes."""
    router = APIRouter(include_in_schema=False)
    Asking = Annotated[Viewer, Depends(context.access.require(*EVERYWHERE, Role.ENTERPRISE))]  # noqa: N806 - a type

    @router.get("/enterprises/{uscc}/parked")
    async def parked(
        request: Request, viewer: Asking, uscc: Uscc, reason: str | None = None, after: AnyCursor = None
    ) -> Response:
        check_enterprise(context, viewer, uscc)
        if reason and reason not in set(ParkReason):
            raise HTTPException(422, f"no reason for parking: {reason}")
        wanted = {"reason": reason} if reason else {}
        answer = await answer_or_none(
            context.charging.of(uscc).get(
                "/v1/parked", enterprise=uscc, after=after or "", limit=PARKED_SHOWN, **wanted
            )
        )
        rows = [_described(row) for row in answer["parked"]] if answer else None
        if rows:
            await note_look(context.engine, viewer, "parked_events", uscc)
        t, path = context.renderer.translator(request), f"/enterprises/{uscc}/parked"
        is_full = rows and len(rows) == PARKED_SHOWN
        return context.renderer.page(
            request, "parked.html", viewer=viewer, uscc=uscc, rows=rows, wanted=reason,
            reasons=[(park_reason.value, t.word("park", park_reason)) for park_reason in ParkReason],
            next_href=address(path, reason=reason, after=rows[-1]["cursor"]) if rows and is_full else None,
        )  # fmt: skip

    @router.get("/enterprises/{uscc}/parked/{cursor}")
    async def event(request: Request, viewer: Asking, uscc: Uscc, cursor: Cursor) -> Response:
        row = await _event(context, viewer, uscc, cursor)
        return context.renderer.page(
            request, "parked_event.html", viewer=viewer, uscc=uscc, event=_described(row) | _shown(row),
            may_try=_shown(row)["is_text"] and not _shown(row)["is_cut"] and row["value_base64"] is not None,
        )  # fmt: skip

    @router.get("/enterprises/{uscc}/parked/{cursor}/bytes")
    async def very_bytes(viewer: Asking, uscc: Uscc, cursor: Cursor) -> Response:
        row = await _event(context, viewer, uscc, cursor)
        if row["value_base64"] is None:
            raise HTTPException(410, f"the bytes of {cursor} are erased; hash and redacted form remain")
        headers = {"Content-Disposition": f'attachment; filename="parked-{cursor}.bin"'}
        return Response(b64decode(row["value_base64"]), media_type="application/octet-stream", headers=headers)

    return router


async def _event(context: PageContext, viewer: Viewer, uscc: str, cursor: str) -> dict[str, Any]:
    """One parked event of the enterprise's topic, with all its bytes; the look is written down."""
    check_enterprise(context, viewer, uscc)
    row = await context.charging.of(uscc).find("/v1/parked/" + cursor.replace(".", "/"))
    if row is None or row["topic"] != orders_topic(uscc):
        raise HTTPException(404, f"no event is parked as {cursor}")
    await note_look(context.engine, viewer, "parked_event", cursor)
    return row


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
