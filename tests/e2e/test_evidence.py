"""Evidence of a month that real services charged, booked, billed and had witnessed: taken out, and proved offline."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.cli.operations.service_requests import read_receipts, write_evidence
from services.demo.demo import OCTOBER
from services.demo.generator.month import Wanted, generate
from services.verify.keys import Keys
from services.verify.receipt import Expected, verify_receipt
from services.verify.statement import verify_statement
from services.verify.verdict import NotProved
from shared.domain.evidence.order_receipt import OrderReceipt
from tests.e2e.conftest import ORDERS, SEED, Month

pytestmark = pytest.mark.exhaustive


def keys_of(month: Month) -> Keys:
    assert month.system.settings.vkeys is not None, "the system has no keys"
    keys = Keys.read([str(month.system.settings.vkeys)])
    assert keys.witnesses
    return keys


def an_order(month: Month, kind: str) -> dict[str, Any]:
    """The data of the first event of a kind in the middle of the month."""
    records = generate(month.system.scheme, Wanted(ORDERS, SEED, OCTOBER))
    events = (json.loads(record.value) for record in records if kind.encode() in (record.value or b""))
    return next(
        {**event["data"], "uscc": event["source"][-18:]} for event in events if "2026-10-1" in str(event["data"])
    )


async def test_every_statement_of_the_month_is_worked_out_anew_from_its_evidence(month: Month, tmp_path: Path) -> None:
    await write_evidence(
        month.system.settings, [statement["statement_id"] for statement in month.summary.statements], tmp_path
    )
    keys = keys_of(month)
    for statement in month.summary.statements:
        said = verify_statement((tmp_path / f"{statement['statement_id']}.json").read_bytes(), keys)
        assert (
            f"{statement['orders']} orders, {statement['exact_yuan']} yuan exact, {statement['amount_yuan']} yuan due"
            in said
        )


@pytest.mark.parametrize(("kind", "end"), [("order.completed.v1", "completed"), ("order.cancelled.v1", "cancelled")])
async def test_a_worker_gets_a_receipt_for_an_order_and_for_an_instant(month: Month, kind: str, end: str) -> None:
    order = an_order(month, kind)
    wish = {"enterprise": order["uscc"], "order_id": order["order_id"]}
    (reported,) = (await read_receipts(month.system.settings, wish))["orders"]
    expected = Expected(order["worker_id"], order["order_id"], order["uscc"])
    said = verify_receipt(OrderReceipt.parse_text(str(reported["link"])), keys_of(month), expected)
    assert f" and {end} at " in said
    at = datetime.fromisoformat(order["accepted_at"]) + timedelta(microseconds=1)
    receipts = await read_receipts(month.system.settings, {"worker": order["worker_id"], "at": at.isoformat()})
    assert reported["receipt"] in [order["receipt"] for order in receipts["orders"]]


async def test_a_receipt_shown_for_another_order_or_worker_is_told_apart(month: Month) -> None:
    order = an_order(month, "order.completed.v1")
    wish = {"enterprise": order["uscc"], "order_id": order["order_id"]}
    (reported,) = (await read_receipts(month.system.settings, wish))["orders"]
    for expected, step in ((Expected(worker="0" * 64), "worker"), (Expected(order="another"), "order")):
        with pytest.raises(NotProved) as failed:
            verify_receipt(OrderReceipt.parse_text(str(reported["receipt"])), keys_of(month), expected)
        assert failed.value.step == step
