"""Order receipts over HTTP: who sees which, what waits for a checkpoint, and the link is what the verifier proves."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException

from services.verify.keys import Keys as Vkeys
from services.verify.receipt import Expected, verify_receipt
from shared.domain.evidence.leaf import read_order_leaf
from shared.domain.evidence.manifest_head import ManifestHead
from shared.domain.evidence.order_receipt import OrderReceipt
from shared.runtime.command_settings import CommandSettings
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import House, bearer, make_keys, reporting_house
from tests.support.authors import AUTHORS
from tests.support.receipt_cases import ACCEPTED, COMPLETED, LOG_KEY, ORDER, USCC, WITNESS_KEY, WORKER, receipt_of

RECEIPT = receipt_of([ACCEPTED, COMPLETED])
BY_ORDER = f"/v1/order-receipts?enterprise={USCC}&order_id={ORDER}"
BY_WORKER = f"/v1/order-receipts?worker={WORKER}&at=2026-10-03T12:05:00%2B08:00"


@dataclass(slots=True)
class EvidenceServices(OtherServices):
    """Charging and the ledger with one order; `covered` says of which rows the log knows the batch."""

    covered: set[int] = field(default_factory=lambda: {1, 2})
    is_altered: bool = False

    def app(self) -> FastAPI:
        app = OtherServices.app(self)

        @app.get("/v1/orders/{enterprise}/{order_id}/proof")
        async def proof(enterprise: str, order_id: str) -> dict[str, Any]:
            if self.is_altered:
                raise HTTPException(409, "the rows of run x number 1 do not give its root")
            return {"rows": [_row(number) for number in (0, 1)] if order_id == ORDER else []}

        @app.get("/v1/log/proofs/{run}/{number}")
        async def log(run: str, number: int, size: int = 21) -> dict[str, Any]:
            place = number - 100
            if place + 1 not in self.covered or size != 21:
                raise HTTPException(404, "not covered")
            row = RECEIPT.rows[place]
            reported = [node.hex() for node in row.log_proof]
            return {"index": row.index, "size": 21, "proof": reported, "checkpoint": RECEIPT.note.decode()}

        return app


def _row(number: int) -> dict[str, Any]:
    row, head = RECEIPT.rows[number], ManifestHead.parse(RECEIPT.rows[number].entry)
    return {
        "kind": read_order_leaf(row.content).kind,
        "accepted_at": "2026-10-03T11:59:50.123456+08:00",
        "worker_id": WORKER,
        "content": row.content.hex(),
        "rank": row.rank,
        "proof": [node.hex() for node in row.batch_proof],
        "run": head.run,
        "number": head.number,
        "entry": row.entry.hex(),
    }


@pytest.fixture
def others() -> EvidenceServices:
    cover = {"enterprise": USCC, "order_id": ORDER, "accepted_at": "2026-10-03T11:59:50+08:00"}
    return EvidenceServices(covers={WORKER: [cover]})


@pytest.fixture
async def reporting(
    database: str, platform_database: str, others: EvidenceServices, tmp_path: Path
) -> AsyncIterator[House]:
    vkeys = tmp_path / "vkeys"
    vkeys.write_text(f"# published\n{LOG_KEY}\n{WITNESS_KEY}\n", encoding="utf-8")
    house = reporting_house(database, platform_database, make_keys(tmp_path), others, vkeys=vkeys)
    async with house as opened:
        yield opened


async def fetch(house: House, path: str, key: str) -> httpx.Response:
    return await house.client.get(path, headers=bearer(key))


@pytest.mark.parametrize("path", [BY_ORDER, BY_WORKER, BY_ORDER + "&day=2026-10-03"], ids=["order", "worker", "day"])
async def test_the_link_of_an_order_is_what_the_verifier_proves(reporting: House, path: str) -> None:
    (order,) = (await fetch(reporting, path, "key-44")).raise_for_status().json()["orders"]
    assert (order["state"], order["province"], order["rows_not_in_the_log_yet"]) == ("in the log", "44", 0)
    assert order["link"].startswith(f"{CommandSettings().reporting_url}/receipt#")
    receipt = OrderReceipt.parse_text(order["link"])
    assert receipt == RECEIPT
    assert verify_receipt(
        receipt, Vkeys((LOG_KEY,), (WITNESS_KEY,), AUTHORS), Expected(WORKER, ORDER, USCC)
    ).startswith("Proved")


async def test_keys_see_the_orders_of_their_share(reporting: House) -> None:
    for key, status in (("key-national", 200), ("key-44", 200), ("key-11", 404), ("key-blue", 404), ("nobody", 401)):
        assert (await fetch(reporting, BY_ORDER, key)).status_code == status, key
    elsewhere = await fetch(reporting, BY_WORKER, "key-11")
    assert (elsewhere.status_code, elsewhere.json()["orders"]) == (200, [])


async def test_an_order_whose_batch_no_checkpoint_covers_is_told_without_a_receipt(
    reporting: House, others: EvidenceServices
) -> None:
    others.covered = set()
    (order,) = (await fetch(reporting, BY_WORKER, "key-44")).json()["orders"]
    assert (order["order_id"], order["state"], order["receipt"]) == (ORDER, "waiting for the next checkpoint", None)
    others.covered = {1}
    (order,) = (await fetch(reporting, BY_WORKER, "key-44")).json()["orders"]
    assert (len(OrderReceipt.parse_text(order["receipt"]).rows), order["rows_not_in_the_log_yet"]) == (1, 1)


async def test_a_code_is_drawn_when_asked_for(reporting: House) -> None:
    (order,) = (await fetch(reporting, BY_ORDER + "&qr=true", "key-44")).json()["orders"]
    assert order["qr_svg"].startswith("<svg ")
    assert "viewBox" in order["qr_svg"]


async def test_rows_that_no_longer_give_their_root_are_told_as_that(reporting: House, others: EvidenceServices) -> None:
    others.is_altered = True
    answer = await fetch(reporting, BY_ORDER, "key-44")
    assert answer.status_code == 409
    assert "do not give its root" in answer.text
    others.is_altered = False
    assert (await fetch(reporting, BY_ORDER.replace(ORDER, "order-6"), "key-44")).status_code == 404
    assert (await fetch(reporting, f"/v1/order-receipts?worker={WORKER}", "key-44")).status_code == 422


async def test_the_page_is_open_to_everybody_and_may_ask_nobody(reporting: House) -> None:
    page = await reporting.client.get("/receipt", headers={"Authorization": ""})
    assert page.status_code == 200
    assert str(LOG_KEY) in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
