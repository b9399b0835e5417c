"""A receipt counts only for the very report, and the very bytes, that were sent."""

import hashlib
from datetime import UTC, datetime

import pytest

from shared.adapters.http.bounded_answer import BoundedAnswer
from shared.adapters.http.national_platform import WrongReceipt, read_answer
from shared.contracts.reports import Receipt

BODY = b'{"report_id":"coverage.2026-10-03.44"}'
REPORT = "coverage.2026-10-03.44"


def answer(report_id: str, body: bytes) -> BoundedAnswer:
    """201 with a receipt for these bytes."""
    receipt = Receipt(
        receipt_id="R1",
        report_id=report_id,
        body_sha256=hashlib.sha256(body).hexdigest(),
        received_at=datetime(2026, 10, 4, 12, tzinfo=UTC),
    )
    return BoundedAnswer(201, receipt.model_dump_json().encode())


def test_a_receipt_for_what_was_sent_is_taken() -> None:
    taken = read_answer(answer(REPORT, BODY), REPORT, BODY)
    assert isinstance(taken, Receipt)
    assert taken.receipt_id == "R1"


@pytest.mark.parametrize(
    "received", [answer("coverage.2026-10-03.11", BODY), answer(REPORT, BODY + b" ")], ids=["other id", "other bytes"]
)
def test_a_receipt_for_something_else_is_not(received: BoundedAnswer) -> None:
    assert isinstance(read_answer(received, REPORT, BODY), WrongReceipt)
