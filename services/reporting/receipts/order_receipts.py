"""Build order receipts (参保凭证) from charging's proofs and the ledger's log; nothing is stored here."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime

from msgspec import Struct

from services.reporting.service_clients import Charging, InternalApi, read_as
from shared.domain.calendar import insured_day
from shared.domain.evidence.leaf import OrderRow, RowKind, is_charge, is_reversal, read_order_leaf
from shared.domain.evidence.order_receipt import OrderReceipt, ReceiptRow


class _ProofRow(Struct, frozen=True):
    """A row of an order with its proof to the root of its batch, as charging answers."""

    kind: int
    accepted_at: str
    worker_id: str
    run: str
    number: int
    content: str
    rank: int
    proof: list[str]
    entry: str


class _CoveredOrder(Struct, frozen=True):
    """An order that covers a worker at an instant, as charging answers."""

    enterprise: str
    order_id: str
    accepted_at: datetime
    is_reversed: bool = False


class _LogProof(Struct, frozen=True):
    """The proof of a manifest to a checkpoint, as the ledger answers."""

    index: int
    size: int
    proof: list[str]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Order:
    """One order of one worker. `receipt` is None while no signed checkpoint covers its acceptance.

    `open_rows` counts rows that the receipt does not hold yet, for the same reason.
    """

    first: OrderRow
    receipt: OrderReceipt | None
    open_rows: int

    @property
    def province(self) -> str:
        """Two digits."""
        return f"{self.first.region // 10_000:02}"


class OrderReceipts:
    """Queries charging and the ledger. `Retry` when one does not answer, `Refused` when rows do not give their root."""

    def __init__(self, charging: Charging, ledger: InternalApi) -> None:
        self._charging, self._ledger = charging, ledger

    async def of_order(self, enterprise: str, order_id: str, day: date | None) -> list[Order]:
        """An order's receipts: one for each assignment whose charge was not reversed; `day` narrows the search."""
        wanted = {} if day is None else {"day": day.isoformat()}
        path = f"/v1/orders/{enterprise}/{order_id}/proof"
        answer = await self._charging.of(enterprise).find(path, **wanted)
        groups: dict[tuple[str, str], list[_ProofRow]] = defaultdict(list)
        for row in read_as(list[_ProofRow], "charging", answer.get("rows")) if answer else ():
            groups[row.accepted_at, row.worker_id].append(row)
        return [await self._put_together(rows) for rows in groups.values() if _is_charged(rows)]

    async def of_worker(self, worker_id: str, at: datetime) -> list[Order]:
        """Every order that the worker had accepted and not ended at the instant, over all enterprises."""
        answers = await self._charging.get_all(f"/v1/workers/{worker_id}/covers", at=at.isoformat())
        covered: list[Order] = []
        for cover in (
            cover for answer in answers for cover in read_as(list[_CoveredOrder], "charging", answer.get("covers"))
        ):
            if cover.is_reversed:
                continue
            orders = await self.of_order(cover.enterprise, cover.order_id, insured_day(cover.accepted_at))
            covered += [order for order in orders if order.first.worker.hex() == worker_id]
        return list({order.first: order for order in covered}.values())

    async def _put_together(self, rows: list[_ProofRow]) -> Order:
        wanted: dict[str, int] = {}
        note = ""
        logged: list[tuple[_ProofRow, _LogProof]] = []
        for row in rows:
            answer = await self._ledger.find(f"/v1/log/proofs/{row.run}/{row.number}", **wanted)
            if answer is not None:
                log = read_as(_LogProof, "ledger", answer)
                # All rows lead to one checkpoint, so a receipt carries one.
                wanted, note = {"size": log.size}, log.checkpoint
                logged.append((row, log))
        receipt = None
        if logged and logged[0][0] is rows[0]:
            receipt = OrderReceipt(tuple(_receipt_row(row, log) for row, log in logged), note.encode())
        return Order(read_order_leaf(bytes.fromhex(rows[0].content)), receipt, len(rows) - len(logged))


def _is_charged(rows: list[_ProofRow]) -> bool:
    """The rows are an acceptance with what followed it, and its last charge was not reversed."""
    charges = [row.kind for row in rows if is_charge(row.kind) or is_reversal(row.kind)]
    return rows[0].kind == RowKind.ACCEPTANCE and not is_reversal(max(charges))


def _receipt_row(row: _ProofRow, log: _LogProof) -> ReceiptRow:
    return ReceiptRow(
        content=bytes.fromhex(row.content),
        rank=row.rank,
        batch_proof=tuple(map(bytes.fromhex, row.proof)),
        entry=bytes.fromhex(row.entry),
        index=log.index,
        log_proof=tuple(map(bytes.fromhex, log.proof)),
    )
