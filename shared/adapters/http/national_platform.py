"""The client of the national platform (全国信息平台): the one room that knows its addresses and headers.

No public specification of the real interface was found; a real one replaces this module and `contracts/reports.py`.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
from pydantic import ValidationError

from shared.adapters.signing import Signer
from shared.contracts.reports import Receipt, Reconciliation, Refusal
from shared.domain.errors import Retry

CONNECTIONS: Final = 8
"""Most requests to the platform at a time."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing that settles the report: a time-out, a 5xx, a key that is not known. To be tried again."""

    cause: str


@dataclass(frozen=True, slots=True)
class WrongReceipt:
    """A receipt for other bytes or another report than were sent: an alarm, and no proof of anything."""

    cause: str


Answer = Receipt | Refusal | WrongReceipt | NoAnswer


class NationalPlatform:
    """Sends reports and reads reconciliations over one pooled HTTP client; what it is given, it signs as bytes."""

    def __init__(self, client: httpx.AsyncClient, signer: Signer) -> None:
        self._client, self._signer = client, signer

    async def send(self, report_id: str, body: bytes) -> Answer:
        """Hand over exactly these bytes. Bodies are never changed here."""
        headers = {
            "Idempotency-Key": report_id,
            "Danbao-Signature": self._signer.sign(body),
            "Content-Type": "application/json",
        }
        try:
            response = await self._client.post("/v1/reports", content=body, headers=headers)
        except httpx.HTTPError as error:
            return NoAnswer(f"{type(error).__name__}: {error}".strip(": "))
        return read_answer(response, report_id, body)

    async def reconcile(self, period: str) -> Reconciliation:
        """What the platform finds between declarations and daily reports of a month; raises `Retry`."""
        try:
            response = await self._client.get(f"/v1/reconciliations/{period}")
            response.raise_for_status()
            return Reconciliation.model_validate_json(response.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise Retry(f"the national platform gives no reconciliation of {period}: {error}") from error

    async def holdings(self, period: str) -> dict[str, str]:
        """Every report of a month that the platform holds: id to SHA-256 of its bytes; raises `Retry`."""
        held: dict[str, str] = {}
        after = ""
        while True:
            try:
                response = await self._client.get("/v1/reports", params={"period": period, "after": after})
                response.raise_for_status()
                rows = response.json()["reports"]
                held.update((row["report_id"], row["body_sha256"]) for row in rows)
            except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
                raise Retry(f"the national platform does not list {period}: {error}") from error
            if not rows:
                return held
            after = rows[-1]["report_id"]


@asynccontextmanager
async def open_national_platform(
    url: str, key: str, signer: Signer, timeout_seconds: float
) -> AsyncIterator[NationalPlatform]:
    """A client with the key that the platform gave us; closed at the end."""
    async with httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=timeout_seconds,
        limits=httpx.Limits(max_connections=CONNECTIONS),
        trust_env=False,
    ) as client:
        yield NationalPlatform(client, signer)


def read_answer(response: httpx.Response, report_id: str, body: bytes) -> Answer:
    """What a response says about the report; only a refusal in the platform's own words is a refusal."""
    try:
        if response.status_code in (200, 201):
            return _checked(Receipt.model_validate_json(response.content), report_id, body)
        if 400 <= response.status_code < 500:
            return Refusal.model_validate_json(response.content)
    except ValidationError as error:
        return NoAnswer(f"HTTP {response.status_code}, not readable: {error.error_count()} faults")
    return NoAnswer(f"HTTP {response.status_code}")


def _checked(receipt: Receipt, report_id: str, body: bytes) -> Answer:
    if receipt.report_id != report_id or receipt.body_sha256 != hashlib.sha256(body).hexdigest():
        return WrongReceipt(
            f"receipt {receipt.receipt_id} is for {receipt.report_id} with SHA-256 {receipt.body_sha256}"
        )
    return receipt
