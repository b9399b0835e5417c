"""Verify an order's receipt (参保凭证): what it shows has to follow from a signed checkpoint."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from services.verify.keys import Keys, Signed, check_checkpoint, shown_instant
from services.verify.verdict import NotProved, step
from shared.domain.evidence.leaf import OrderRow, RowKind, is_charge, is_reversal, read_order_leaf
from shared.domain.evidence.log_authors import LogAuthors
from shared.domain.evidence.manifest_head import ManifestHead
from shared.domain.evidence.merkle import leaf_hash, verify_inclusion
from shared.domain.evidence.order_receipt import OrderReceipt, ReceiptRow
from shared.domain.money import Amount, yuan
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.province import PROVINCES

_EXCLUSIONS: Final = {
    1: "the province was not in the pilot",
    2: "the enterprise was not enrolled",
    3: "the worker is insured as an employee",
}
"""Meaning of the codes in `reason` of a charge."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the reader knows from elsewhere; None is not checked. A receipt checked against nothing may be anybody's."""

    worker: str | None = None
    order: str | None = None
    enterprise: str | None = None


def verify_receipt(receipt: OrderReceipt, keys: Keys, expected: Expected) -> str:
    """Return the sentence of what was proved; raises `NotProved` naming the step that failed."""
    rows = [_read_row(row) for row in receipt.rows]
    _check_one_order(rows)
    _check_expected(rows[0], expected)
    signed = check_checkpoint(receipt.note, keys)
    authors = LogAuthors(keys.authors)
    for number, row in enumerate(receipt.rows, 1):
        _check_row(number, row, signed, authors)
    return f"Proved: {_sentence(rows)} {_log(signed)} {authors.sentence} {_expectation(expected)}"


def _read_row(row: ReceiptRow) -> OrderRow:
    with step("leaf of the order"):
        return read_order_leaf(row.content)


def _check_one_order(rows: list[OrderRow]) -> None:
    """Check that the rows are of one order and worker, begin with its acceptance, and ascend by kind."""
    if rows[0].kind != RowKind.ACCEPTANCE:
        raise NotProved("order", "the first row is not the acceptance")
    for before, row in pairwise(rows):
        if _identity(row) != _identity(before):
            raise NotProved("order", "its rows are of several orders, workers or times of acceptance")
        if row.kind <= before.kind:
            raise NotProved("order", "a row comes twice, or not in its order")


def _identity(row: OrderRow) -> tuple[object, ...]:
    return row.uscc, row.order_id, row.worker, row.accepted_at_us


def _check_expected(row: OrderRow, expected: Expected) -> None:
    for what, wanted, actual in (
        ("worker", expected.worker, row.worker.hex()),
        ("order", expected.order, row.order_id),
        ("enterprise", expected.enterprise, row.uscc),
    ):
        if wanted is not None and wanted != actual:
            raise NotProved(what, f"this receipt is for {what} {actual}, not for {wanted}")


def _check_row(number: int, row: ReceiptRow, signed: Signed, authors: LogAuthors) -> None:
    with step(f"entry of row {number}"):
        head = ManifestHead.parse(row.entry)
    if not verify_inclusion(leaf_hash(row.content), row.rank, head.leaves, row.batch_proof, head.root):
        raise NotProved(f"batch proof of row {number}", f"the row does not lead to the root of {_name(head)}")
    checkpoint = signed.checkpoint
    if not verify_inclusion(leaf_hash(row.entry), row.index, checkpoint.size, row.log_proof, checkpoint.root):
        raise NotProved(f"log proof of row {number}", f"{_name(head)} does not lead to the checkpoint's root")
    with step(f"author of row {number}"):
        authors.check(row.index, row.entry)


def _name(head: ManifestHead) -> str:
    return f"batch {head.number} of run {head.run}"


def _sentence(rows: list[OrderRow]) -> str:
    first = rows[0]
    place = PROVINCES.get(f"{first.region // 10_000:02}")
    province = f"{place.chinese} {place.english}" if place else f"province {first.region // 10_000:02}"
    return (
        f"order {first.order_id} of worker {first.worker.hex()} ({_industry(first.industry)}, {province}) was recorded"
        f" as accepted at {shown_instant(first.accepted_at_us)} and {_end(rows)}; {_payer(rows)}."
    )


def _industry(code: int) -> str:
    try:
        industry = Industry.of_code(code)
    except KeyError:
        return f"industry {code}"
    return f"{industry.chinese} {industry.value}"


def _end(rows: list[OrderRow]) -> str:
    words = {RowKind.COMPLETION.value: "completed", RowKind.CANCELLATION.value: "cancelled"}
    ends = sorted(
        (row.ended_at_us, words[row.kind]) for row in rows if row.kind in words and row.ended_at_us is not None
    )
    return f"{ends[0][1]} at {shown_instant(ends[0][0])}" if ends else "no end is in this receipt"


def _payer(rows: list[OrderRow]) -> str:
    """Describe the charge in force: the last one, unless it was taken back."""
    last = max((row for row in rows if is_charge(row.kind)), key=lambda row: row.kind)
    if any(is_reversal(row.kind) and row.kind > last.kind for row in rows):
        return f"its premium was charged to {last.uscc} and taken back"
    if last.reason:
        return f"{last.uscc} pays no premium for it: {_EXCLUSIONS.get(last.reason, f'reason {last.reason}')}"
    return f"{last.uscc} pays {yuan(Amount(last.premium))} yuan of premium for it"


def _log(signed: Signed) -> str:
    checkpoint = signed.checkpoint
    return f"This is in the log {checkpoint.origin} of {checkpoint.size} entries, {signed.who}."


def _expectation(expected: Expected) -> str:
    named = [name for name in ("worker", "order", "enterprise") if getattr(expected, name) is not None]
    if not named:
        return "Whose receipt this is was not checked: name the worker and the order you expect."
    return f"It is the {' and '.join(named)} that you named."
