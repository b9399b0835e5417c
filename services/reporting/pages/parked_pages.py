"""Show an enterprise's parked events: a list by reason, one event with its bytes, and their download."""

from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response
from msgspec import Struct

from services.reporting.access.access_log import log_access
from services.reporting.access.viewers import Role, Viewer
from services.reporting.rendering.layout import EVERYWHERE
from services.reporting.rendering.page_context import (
    PageContext,
    Uscc,
    address,
    answer_or_none,
    check_enterprise,
)
from services.reporting.service_clients import read_as
from shared.contracts.parking import ParkReason
from shared.contracts.topics import orders_topic

PARKED_SHOWN: Final = 50
BYTES_SHOWN: Final = 8_192
Cursor = Annotated[str, Path(pattern=r"^[0-9]{1,18}\.[0-9]{1,9}$")]
AnyCursor = Annotated[str | None, Query(pattern=r"^([0-9]{1,18}\.[0-9]{1,9})?$")]


def make_router(context: PageContext) -> APIRouter:
    """`/enterprises/{uscc}/parked`, one event, and its bytes."""
    router = APIRouter(include_in_schema=False)
    Allowed = Annotated[Viewer, Depends(context.access.require(*EVERYWHERE, Role.ENTERPRISE))]  # noqa: N806 - a type

    @router.get("/enterprises/{uscc}/parked")
    async def parked(
        request: Request, viewer: Allowed, uscc: Uscc, reason: str | None = None, after: AnyCursor = None
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
        events = None if answer is None else read_as(list[ParkedEvent], "charging", answer.get("parked"))
        rows = None if events is None else [_describe(parked_event) for parked_event in events]
        if rows:
            await log_access(context.engine, viewer, "parked_events", uscc)
        t, path = context.renderer.translator(request), f"/enterprises/{uscc}/parked"
        following = answer.get("next") if answer else None
        return context.renderer.page(
            request, "parked.html", viewer=viewer, uscc=uscc, rows=rows, wanted=reason,
            reasons=[(park_reason.value, t.word("park", park_reason)) for park_reason in ParkReason],
            next_href=address(path, reason=reason, after=following) if following else None,
        )  # fmt: skip

    @router.get("/enterprises/{uscc}/parked/{cursor}")
    async def event(request: Request, viewer: Allowed, uscc: Uscc, cursor: Cursor) -> Response:
        parked_event = await _event(context, viewer, uscc, cursor)
        shown = _describe(parked_event)
        return context.renderer.page(
            request, "parked_event.html", viewer=viewer, uscc=uscc, event=shown,
            may_try=shown.is_text and not shown.is_cut and parked_event.value_base64 is not None,
        )  # fmt: skip

    @router.get("/enterprises/{uscc}/parked/{cursor}/bytes")
    async def very_bytes(viewer: Allowed, uscc: Uscc, cursor: Cursor) -> Response:
        value = (await _event(context, viewer, uscc, cursor)).value_base64
        if value is None:
            raise HTTPException(410, f"the bytes of {cursor} are erased; hash and redacted form remain")
        headers = {"Content-Disposition": f'attachment; filename="parked-{cursor}.bin"'}
        return Response(b64decode(value), media_type="application/octet-stream", headers=headers)

    return router


class ParkedEvent(Struct, frozen=True):
    """A parked event as charging answers. Headers and value come in base64: the sender chose their bytes."""

    cursor: str
    topic: str
    partition: int
    offset: int
    record_time_ms: int
    headers: list[tuple[str, str]]
    reason: str
    detail: str
    bytes: int
    value_base64: str | None
    sha256: str
    redacted: str
    erased_at: datetime | None
    was_resent: bool


@dataclass(frozen=True, slots=True)
class EventShown:
    """A parked event for the templates; `shown` is the beginning of its bytes, or their redacted form when erased."""

    cursor: str
    topic: str
    partition: int
    offset: int
    recorded_at: datetime
    headers: list[tuple[str, str]]
    reason: str
    detail: str
    bytes: int
    value_base64: str | None
    sha256: str
    erased_at: datetime | None
    was_resent: bool
    shown: str
    is_text: bool
    is_cut: bool


async def _event(context: PageContext, viewer: Viewer, uscc: str, cursor: str) -> ParkedEvent:
    """One parked event of the enterprise's topic, with all its bytes; the access is written down."""
    check_enterprise(context, viewer, uscc)
    answer = await context.charging.of(uscc).find("/v1/parked/" + cursor.replace(".", "/"))
    event = None if answer is None else read_as(ParkedEvent, "charging", answer)
    if event is None or event.topic != orders_topic(uscc):
        raise HTTPException(404, f"no event is parked as {cursor}")
    await log_access(context.engine, viewer, "parked_event", cursor)
    return event


def _describe(event: ParkedEvent) -> EventShown:
    shown, is_text, is_cut = _shown(event)
    return EventShown(
        cursor=event.cursor,
        topic=event.topic,
        partition=event.partition,
        offset=event.offset,
        recorded_at=datetime.fromtimestamp(event.record_time_ms / 1000, UTC),
        headers=[(name, _readable(b64decode(value))) for name, value in event.headers],
        reason=event.reason,
        detail=event.detail,
        bytes=event.bytes,
        value_base64=event.value_base64,
        sha256=event.sha256,
        erased_at=event.erased_at,
        was_resent=event.was_resent,
        shown=shown,
        is_text=is_text,
        is_cut=is_cut,
    )


def _shown(event: ParkedEvent) -> tuple[str, bool, bool]:
    """The beginning of the bytes, whether they are text, and whether there are more; the redacted form when erased."""
    if event.value_base64 is None:
        return _readable(event.redacted.encode()), True, False
    value = b64decode(event.value_base64)
    beginning, is_cut = value[:BYTES_SHOWN], len(value) > BYTES_SHOWN
    try:
        beginning.decode() if is_cut else value.decode()
        is_text = True
    except UnicodeDecodeError as error:
        is_text = error.start > len(beginning) - 4 and is_cut  # a letter cut in the middle
    return _readable(beginning) if is_text else beginning.hex(" "), is_text, is_cut


def _readable(value: bytes) -> str:
    """Text in which nothing is hidden: controls, marks of direction and bytes that are no text are escapes."""
    text = value.decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() or letter in "\n\t" else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
