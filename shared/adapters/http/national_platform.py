"""The client of the national platform (全国信息平台): the one room that knows its addresses and headers.

No public specification of the real interface was found; a real one replaces this module and `contracts/reports.py`.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec
from msgspec import Struct
from pydantic import ValidationError

from shared.adapters.crypto.signing import Signer
from shared.adapters.http.bounded_answer import BoundedAnswer, need_success, send_request
from shared.adapters.http.clients import make_client
from shared.contracts.reports import Receipt, Reconciliation, Refusal
from shared.domain.errors import Retry, WrongAnswer
from shared.runtime.settings import Settings

PLATFORM: Final = "national platform"
MOST_RECEIPT_BYTES: Final = 4 * 1024 * 1024
"""Bytes of the answer to one report: it may name every exclusion of the report as unconfirmed."""
MOST_HELD: Final = 1_000_000
"""Reports of a month; 31 provinces with 40 reports a day are 40,000."""
CONNECTIONS: Final = 8
"""Most requests to the platform at a time."""


class _Held(Struct, frozen=True):
    report_id: str
    body_sha256: str


class _Holdings(Struct, frozen=True):
    reports: list[_Held]


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
            answer = await send_request(
                self._client,
                PLATFORM,
                "POST",
                "/v1/reports",
                most_bytes=MOST_RECEIPT_BYTES,
                content=body,
                headers=headers,
            )
        except Retry as error:
            return NoAnswer(str(error))
        return read_answer(answer, report_id, body)

    async def reconcile(self, period: str) -> Reconciliation:
        """What the platform finds between declarations and daily reports of a month; raises `Retry`."""
        body = await self._get(f"/v1/reconciliations/{period}")
        try:
            return Reconciliation.model_validate_json(body)
        except ValidationError as error:
            raise WrongAnswer(f"{PLATFORM}: the reconciliation of {period} has {error.error_count()} faults") from error

    async def holdings(self, period: str) -> dict[str, str]:
        """Every report of a month that the platform holds: id to SHA-256 of its bytes; raises `Retry`."""
        held: dict[str, str] = {}
        after = ""
        while True:
            body = await self._get("/v1/reports", period=period, after=after)
            try:
                rows = msgspec.json.decode(body, type=_Holdings).reports
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise WrongAnswer(f"{PLATFORM}: the list of {period} is not of its type") from error
            if any(row.report_id in held for row in rows) or len(held) > MOST_HELD:
                raise WrongAnswer(f"{PLATFORM}: the list of {period} does not end")
            held.update((row.report_id, row.body_sha256) for row in rows)
            if not rows:
                return held
            after = rows[-1].report_id

    async def _get(self, path: str, **params: str) -> bytes:
        return need_success(PLATFORM, path, await send_request(self._client, PLATFORM, "GET", path, params=params))


@asynccontextmanager
async def open_national_platform(
    settings: Settings, signer: Signer, timeout_seconds: float
) -> AsyncIterator[NationalPlatform]:
    """A client with the key that the platform issued; closed at the end."""
    headers = {"Authorization": f"Bearer {settings.platform_key.get_secret_value()}"}
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with make_client(settings, settings.platform_url, timeout_seconds, headers=headers, limits=limits) as client:
        yield NationalPlatform(client, signer)


def read_answer(answer: BoundedAnswer, report_id: str, body: bytes) -> Answer:
    """Interpret an answer about a report; only a refusal in the platform's own words is a refusal."""
    try:
        if answer.status in (200, 201):
            return _checked(Receipt.model_validate_json(answer.body), report_id, body)
        if 400 <= answer.status < 500:
            return Refusal.model_validate_json(answer.body)
    except ValidationError as error:
        return NoAnswer(f"HTTP {answer.status}, not readable: {error.error_count()} faults")
    return NoAnswer(f"HTTP {answer.status}")


def _checked(receipt: Receipt, report_id: str, body: bytes) -> Answer:
    if receipt.report_id != report_id or receipt.body_sha256 != hashlib.sha256(body).hexdigest():
        return WrongReceipt(
            f"receipt {receipt.receipt_id} is for {receipt.report_id} with SHA-256 {receipt.body_sha256}"
        )
    return receipt
