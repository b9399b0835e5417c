"""Show evidence: the log's size, growth and newest checkpoint with its signatures; and a worker's own receipts."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from markupsafe import Markup

from services.reporting.access.access_log import log_access
from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.read_model.projector import last_day
from services.reporting.receipts.order_receipts import Order
from services.reporting.rendering.charts import Mark, line_of_days
from services.reporting.rendering.layout import OFFICES
from services.reporting.rendering.page_context import PageContext, answer_or_none
from services.reporting.rendering.texts import Translator, grouped
from shared.adapters.qr_codes import receipt_code, svg_of
from shared.domain.calendar import FIRST_DAY, LAST_DAY, instant_of
from shared.domain.errors import Refused
from shared.domain.evidence.signed_note import Note
from shared.domain.times import read_local_time

DAYS: Final = 14


def make_router(context: PageContext) -> APIRouter:
    """`/evidence` for everybody but workers; `/my-receipts` for a worker's link."""
    router = APIRouter(include_in_schema=False)

    @router.get("/evidence")
    async def evidence(
        request: Request, viewer: Annotated[Viewer, Depends(context.access.require(*OFFICES))]
    ) -> Response:
        log = await answer_or_none(context.sources.log_state())
        async with viewing(context.engine, viewer) as connection:
            day = await last_day(connection)
        grown = await _growth(context, day) if day else []
        note = grown[-1].note if grown else None
        return context.renderer.page(
            request, "evidence.html", viewer=viewer, log=log, note=note,
            signatures=_signatures(note) if note else [], checkpoints=grown[::-1],
            growth=_draw(grown, context.renderer.translator(request)),
        )  # fmt: skip

    @router.get("/my-receipts")
    async def mine(
        request: Request,
        viewer: Annotated[Viewer, Depends(context.access.require(Role.WORKER))],
        at: Annotated[str, Query(max_length=40)] = "",
    ) -> Response:
        t = context.renderer.translator(request)
        orders, refused = None, None
        if at:
            try:
                instant = _instant_of(at)
            except Refused:
                refused = t("receipt.bad_instant")
            else:
                orders = await _receipts(context, viewer, instant)
        return context.renderer.page(request, "my_receipts.html", viewer=viewer, orders=orders, refused=refused, at=at)

    return router


def _instant_of(text: str) -> datetime:
    """An instant that a worker typed, in Shanghai where it names no zone; raises Refused for one that is out."""
    instant = read_local_time(text)
    if not FIRST_DAY <= instant.date() <= LAST_DAY:
        raise Refused(f"not between {FIRST_DAY} and {LAST_DAY}: {text!r}")
    return instant


@dataclass(frozen=True, slots=True)
class GrowthShown:
    """The checkpoint of a day's close, and by how many entries the log grew since the one before."""

    day: date
    size: int
    more: int
    note: str


async def _growth(context: PageContext, last: date) -> list[GrowthShown]:
    """The checkpoints of the last closes, oldest first."""
    checkpoints: list[GrowthShown] = []
    for back in range(DAYS - 1, -1, -1):
        day = last - timedelta(days=back)
        closed = await answer_or_none(context.sources.checkpoint(day))
        if closed is not None:
            before = checkpoints[-1].size if checkpoints else closed.size
            checkpoints.append(GrowthShown(day, closed.size, closed.size - before, closed.checkpoint))
    return checkpoints


def _draw(grown: list[GrowthShown], t: Translator) -> Markup:
    marks = [
        Mark(
            f"{checkpoint.day:%m-%d}",
            checkpoint.size,
            t("evidence.grown_said", label=checkpoint.day, value=grouped(checkpoint.size)),
        )
        for checkpoint in grown
    ]
    return line_of_days(marks, every=3) if len(marks) > 1 else Markup("")


@dataclass(frozen=True, slots=True)
class SignatureShown:
    """Signer of a checkpoint, as the log or as a witness, with the witness's time."""

    name: str
    role: str
    at: datetime | None


def _signatures(note: str) -> list[SignatureShown]:
    """Signers of a note; a witness's signature has the time in its first eight bytes."""
    signatures: list[SignatureShown] = []
    for signature in Note.parse(note.encode()).signatures:
        is_witness = len(signature.signature) > 64
        at = datetime.fromtimestamp(int.from_bytes(signature.signature[:8], "big"), UTC) if is_witness else None
        signatures.append(SignatureShown(signature.name, "witness" if is_witness else "log", at))
    return signatures


@dataclass(frozen=True, slots=True)
class ReceiptShown:
    """A worker's order; without link and code while no checkpoint covers it."""

    enterprise: str
    order_id: str
    province: str
    accepted_at: datetime
    link: str | None
    qr: Markup | None


async def _receipts(context: PageContext, viewer: Viewer, at: datetime) -> list[ReceiptShown]:
    """The worker's orders at an instant; of one enterprise where the link is narrowed to it."""
    worker, _, enterprise = (viewer.scope or "").partition(":")
    await log_access(context.engine, viewer, "worker_receipts", worker)
    orders = await context.receipts.of_worker(worker, at)
    return [_receipt(order, context.receipt_page) for order in orders if enterprise in {"", order.first.uscc}]


def _receipt(order: Order, page: str) -> ReceiptShown:
    code = None if order.receipt is None else receipt_code(page, order.receipt)
    return ReceiptShown(
        enterprise=order.first.uscc,
        order_id=order.first.order_id,
        province=order.province,
        accepted_at=instant_of(order.first.accepted_at_us),
        link=None if order.receipt is None else f"{page}#{order.receipt.text}",
        qr=None if code is None else Markup(svg_of(code)),  # noqa: S704 - drawn by us, out of digits
    )
