"""Serve evidence within the scope of the reader's key: order receipts and a statement's; and the page /receipt."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.access_log import log_access
from services.reporting.access.authentication import Access
from services.reporting.access.viewers import Role, Viewer
from services.reporting.receipts.order_receipts import Order, OrderReceipts
from services.reporting.service_clients import InternalApi, JsonObject, read_as
from shared.adapters.qr_codes import receipt_code, svg_of
from shared.domain.calendar import instant_of
from shared.runtime.http.types import AnyDay, AnyInstant, AnyUscc, PathDocumentId

OrderId = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
Token = Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class ReceiptRequest:
    """Either an order, or a worker and an instant."""

    enterprise: AnyUscc = None
    order_id: OrderId = None
    day: AnyDay = None
    worker: Token = None
    at: AnyInstant = None
    qr: bool = False

    @property
    def subject(self) -> str:
        """The subject as the access log names it."""
        return f"worker {self.worker} at {self.at}" if self.worker else f"order {self.enterprise} {self.order_id}"


OrderShown = dict[str, str | int | datetime | None]
"""An order as the API answers it; `qr_svg` is left out where no code was requested."""


class _Party(Struct, frozen=True):
    """Whose a statement is."""

    province: str
    enterprise: str


def make_receipt_router(
    access: Access, engine: AsyncEngine, receipts: OrderReceipts, ledger: InternalApi, page: str
) -> APIRouter:
    """`page` is the address of /receipt as workers reach it."""
    router = APIRouter(prefix="/v1")
    Anybody = Annotated[Viewer, Depends(access.viewer)]  # noqa: N806 - a type, made here since it holds the engine
    Office = Annotated[Viewer, Depends(access.require(*(role for role in Role if role is not Role.WORKER)))]  # noqa: N806 - as above

    @router.get("/order-receipts")
    async def order_receipts(
        request: Annotated[ReceiptRequest, Depends()], viewer: Anybody
    ) -> dict[str, list[OrderShown]]:
        seen = [order for order in await _find(receipts, request) if _is_seen(viewer, order)]
        await log_access(engine, viewer, "order_receipt", request.subject)
        if not seen and request.worker is None:
            raise HTTPException(404, "no such order in your share")
        return {"orders": [_as_json(order, page, has_qr=request.qr) for order in seen]}

    @router.get("/statements/{statement_id}/evidence")
    async def evidence(statement_id: PathDocumentId, viewer: Office) -> JsonObject:
        document = await ledger.find(f"/v1/statements/{statement_id}/evidence")
        statement = None if document is None else read_as(_Party, "ledger", document.get("statement"))
        if document is None or statement is None or not viewer.sees(statement.province, statement.enterprise):
            raise HTTPException(404, "no such statement in your share")
        return document

    return router


def _is_seen(viewer: Viewer, order: Order) -> bool:
    return viewer.sees(order.province, order.first.uscc, order.first.worker.hex())


async def _find(receipts: OrderReceipts, request: ReceiptRequest) -> list[Order]:
    if request.worker is not None and request.at is not None:
        return await receipts.of_worker(request.worker, request.at)
    if request.enterprise is not None and request.order_id is not None:
        return await receipts.of_order(request.enterprise, request.order_id, request.day)
    raise HTTPException(422, "name enterprise and order_id, or worker and at")


def _as_json(order: Order, page: str, *, has_qr: bool) -> OrderShown:
    first, receipt = order.first, order.receipt
    values: OrderShown = {
        "enterprise": first.uscc,
        "order_id": first.order_id,
        "worker_id": first.worker.hex(),
        "province": order.province,
        "accepted_at": instant_of(first.accepted_at_us),
        "state": "waiting for the next checkpoint" if receipt is None else "in the log",
        "rows_not_in_the_log_yet": order.open_rows,
        "receipt": None if receipt is None else receipt.text,
        "link": None if receipt is None else f"{page}#{receipt.text}",
    }
    if has_qr:
        code = None if receipt is None else receipt_code(page, receipt)
        values["qr_svg"] = None if code is None else svg_of(code)
    return values
