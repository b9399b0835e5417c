"""Order receipts: their form against checked-in vectors, and what the command proves of them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.verify.keys import Keys
from services.verify.receipt import Expected, verify_receipt
from services.verify.verdict import NotProved
from shared.domain.errors import Refused
from shared.domain.evidence.leaf import read_order_leaf
from shared.domain.evidence.order_receipt import QR_DIGITS, OrderReceipt, ReceiptRow
from tests.support.authors import AUTHORS, CHARGING
from tests.support.receipt_cases import (
    ACCEPTED,
    COMPLETED,
    LOG_KEY,
    ORDER,
    WITNESS_KEY,
    WORKER,
    Case,
    cases,
    content,
    receipt_of,
)

VECTORS = Path(__file__).parent / "receipt_vectors.json"
KEYS = Keys((LOG_KEY,), (WITNESS_KEY,), AUTHORS)
CASES = {case.name: case for case in cases()}
HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple)
ROWS = st.builds(
    ReceiptRow,
    content=st.binary(max_size=300),
    rank=st.integers(0, 2**32 - 1),
    batch_proof=HASHES,
    entry=st.one_of(
        st.binary(min_size=89, max_size=89).map(b"\x01".__add__),
        st.binary(min_size=161, max_size=161).map(b"\x02".__add__),
    ),
    index=st.integers(0, 2**64 - 1),
    log_proof=HASHES,
)


def vector(case: Case) -> dict[str, str | None]:
    return {
        "name": case.name,
        "text": case.receipt.text,
        "worker": case.worker,
        "order": case.order,
        "fails_at": case.fails_at,
    }


def test_the_checked_in_receipts_are_these() -> None:
    written = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert written["keys"] == [str(LOG_KEY), str(WITNESS_KEY), str(CHARGING.author)]
    assert written["receipts"] == [vector(case) for case in CASES.values()]


@pytest.mark.parametrize("name", CASES)
def test_a_receipt_is_proved_or_fails_at_its_step(name: str) -> None:
    case = CASES[name]
    assert OrderReceipt.parse_text(case.receipt.text) == case.receipt
    expected = Expected(case.worker, case.order)
    if case.fails_at is None:
        assert verify_receipt(case.receipt, KEYS, expected).startswith("Proved: order order-5 of worker 5555")
        return
    with pytest.raises(NotProved) as failed:
        verify_receipt(case.receipt, KEYS, expected)
    assert failed.value.step == case.fails_at


def test_the_sentence_says_what_was_insured_by_whom_and_whose_word_it_is() -> None:
    said = verify_receipt(CASES["completed"].receipt, KEYS, Expected(WORKER, ORDER))
    assert said == (
        f"Proved: order order-5 of worker {WORKER} (出行 ride_hailing, 广东省 Guangdong) was recorded as accepted at"
        " 2026-10-03 11:59:50 +08:00 and completed at 2026-10-03 12:20:24 +08:00; 91000000FAKE00001F pays 0.01 yuan of"
        " premium for it. This is in the log danbao.example/log of 21 entries, signed by danbao.example/log and"
        " cosigned by platform.example/witness at 2026-10-03 12:01:00 +08:00. Charging made 2 of these manifests: its"
        " keys have signed them. It is the worker and order that you named."
    )


def test_a_receipt_without_a_named_worker_says_that_nobody_asked() -> None:
    assert "was not checked" in verify_receipt(CASES["completed"].receipt, KEYS, Expected())


@given(st.lists(ROWS, min_size=1, max_size=4), st.binary(max_size=600))
def test_both_texts_give_the_receipt_back(rows: list[ReceiptRow], note: bytes) -> None:
    receipt = OrderReceipt(tuple(rows), note)
    assert OrderReceipt.parse_text(f"https://portal.example/receipt#{receipt.text}") == receipt
    assert OrderReceipt.parse_text(receipt.digits) == receipt


@given(st.integers(0, 3_000), st.integers(0, 255))
def test_bytes_that_are_no_receipt_are_refused(place: int, value: int) -> None:
    data = bytearray(bytes(CASES["completed"].receipt))
    cut = bytes(data[: place % len(data)])
    with pytest.raises(Refused):
        OrderReceipt.parse(cut)
    data[place % len(data)] ^= value
    try:
        changed = OrderReceipt.parse(bytes(data))
    except Refused:
        return
    if value:
        with pytest.raises(NotProved):
            verify_receipt(changed, Keys((LOG_KEY,), (WITNESS_KEY,), AUTHORS), Expected(WORKER, ORDER))


@pytest.mark.parametrize("text", ["", "#", "no receipt!", "9" * 29, "12", "AA", "A" * 400_000])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(Refused):
        OrderReceipt.parse_text(text)


def test_an_order_in_full_batches_of_a_log_of_a_million_fits_a_qr_code() -> None:
    proof = tuple(bytes([number]) * 32 for number in range(20))
    other = tuple(bytes([100 + number]) * 32 for number in range(13))
    rows = [
        ReceiptRow(content(1, "o" * 40), 1, proof[:13], bytes(90), 2**20 - 1, proof),
        ReceiptRow(content(2, "o" * 40), 1, other, bytes(90), 2**20 - 300, other[:9] + proof[9:]),
    ]
    receipt = OrderReceipt(tuple(rows), receipt_of([ACCEPTED]).note)
    assert len(bytes(receipt)) < 2_800
    assert len(receipt.digits) + 200 < QR_DIGITS, "a link takes the room of some 200 digits"


def test_a_leaf_is_read_back_as_it_was_made() -> None:
    row = read_order_leaf(COMPLETED)
    assert (row.kind, row.order_id, row.worker.hex(), row.series) == (2, ORDER, WORKER, None)
    for broken in (b"", COMPLETED[:-1], COMPLETED + b"\0", b"\x01\x05" + COMPLETED[2:]):
        with pytest.raises(Refused):
            read_order_leaf(broken)


def write() -> None:
    """Rewrite the vectors: `python -m tests.domain.test_order_receipt`."""
    reported = {"keys": [str(LOG_KEY), str(WITNESS_KEY)], "receipts": [vector(case) for case in CASES.values()]}
    VECTORS.write_text(json.dumps(reported, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
