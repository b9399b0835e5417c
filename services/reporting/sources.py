"""What reporting asks of the other services' HTTP APIs. Every failure is `Retry`: nothing here decides."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any, Final

import httpx
import msgspec
from msgspec import Struct
from pydantic import ValidationError

from shared.contracts.findings import DayFindings
from shared.contracts.reports import EmployeeExclusion, PaymentItem
from shared.domain.errors import Refused, Retry

PAGE: Final = 10_000
"""Tokens asked for at a time."""
PATIENCE_SECONDS: Final = 300.0
"""How long charging may look through a whole day."""


class Cover(Struct, frozen=True, kw_only=True):
    """An order that covers a worker at an instant; it was sent at `recorded_at` or later."""

    enterprise: str
    order_id: str
    accepted_at: datetime
    province: str
    recorded_at: datetime | None


_REFUSED: Final = (httpx.codes.CONFLICT, httpx.codes.GONE)


class InternalApi:
    """JSON from one service."""

    def __init__(self, name: str, client: httpx.AsyncClient) -> None:
        self._name, self._client = name, client

    async def get(self, path: str, **params: str | int) -> dict[str, Any]:
        """The answer's object; raises `Retry` for anything else."""
        return await self._ask(path, params, self._client.timeout)

    async def get_patiently(self, path: str) -> dict[str, Any]:
        """The same, of what may take PATIENCE_SECONDS."""
        return await self._ask(path, {}, httpx.Timeout(PATIENCE_SECONDS))

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to an object that is asked about; nothing is tried twice."""
        return await self._ask(path, {}, self._client.timeout, body)

    async def _ask(
        self,
        path: str,
        params: Mapping[str, str | int],
        timeout: httpx.Timeout,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        method = "GET" if body is None else "POST"
        try:
            response = await self._client.request(method, path, params=params, json=body, timeout=timeout)
            response.raise_for_status()
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Retry(f"{self._name}, {path}: {type(error).__name__}: {error}") from error
        if not isinstance(answer, dict):
            raise Retry(f"{self._name}, {path}: not an object")
        return answer

    async def find(self, path: str, **params: str | int) -> dict[str, Any] | None:
        """The same; None where there is none (404), `Refused` where things do not agree (409) or are archived (410)."""
        try:
            return await self.get(path, **params)
        except Retry as error:
            match error.__cause__:
                case httpx.HTTPStatusError(response=response) if response.status_code == httpx.codes.NOT_FOUND:
                    return None
                case httpx.HTTPStatusError(response=response) if response.status_code in _REFUSED:
                    raise Refused(f"{self._name}: {response.text}") from error
            raise


class Sources:
    """Charging's and the ledger's answers in the words of the reports."""

    def __init__(self, charging: InternalApi, ledger: InternalApi) -> None:
        self._charging, self._ledger = charging, ledger

    async def registrations(self, day: date, province: str) -> list[str]:
        """Tokens of the workers charged in this province for the first time on the day, sorted."""
        found: list[str] = []
        while True:
            after = found[-1] if found else ""
            answer = await self._charging.get(
                f"/v1/days/{day}/registrations", province=province, after=after, limit=PAGE
            )
            workers = answer.get("workers")
            if not isinstance(workers, list) or any(worker <= after for worker in workers):
                raise Retry(f"charging, registrations of {day} in {province}: not sorted tokens after {after!r}")
            found += workers
            if len(workers) < PAGE:
                return found

    async def employee_exclusions(self, day: date, province: str) -> list[EmployeeExclusion]:
        """Orders of the insured day that were excluded because the worker is insured as an employee."""
        answer = await self._charging.get(f"/v1/days/{day}/employee-exclusions", province=province)
        try:
            return [EmployeeExclusion.model_validate(each) for each in answer["exclusions"]]
        except (ValidationError, LookupError, TypeError) as error:
            raise Retry(f"charging, employee exclusions of {day} in {province}: {error!r}") from error

    async def findings(self, day: date) -> DayFindings:
        """What charging names of a counted day; it goes over all rows of the day."""
        answer = await self._charging.get_patiently(f"/v1/days/{day}/findings")
        try:
            return msgspec.convert(answer, DayFindings)
        except msgspec.ValidationError as error:
            raise Retry(f"charging, findings of {day}: {error}") from error

    async def covers(self, worker_id: str, at: datetime) -> list[Cover]:
        """Every order, of any enterprise, that was open for the worker at the instant."""
        answer = await self._charging.get(f"/v1/workers/{worker_id}/covers", at=at.isoformat())
        try:
            return msgspec.convert(answer["covers"], list[Cover])
        except (msgspec.ValidationError, LookupError) as error:
            raise Retry(f"charging, covers of a worker: {error!r}") from error

    async def payment_states(self, period: str, as_of: date) -> dict[str, list[PaymentItem]]:
        """Where each statement of the month stands at the end of a day, by province."""
        answer = await self._ledger.get("/v1/payment-states", period=period, as_of=as_of.isoformat())
        found: dict[str, list[PaymentItem]] = {}
        try:
            for item in answer["items"]:
                known = {name: item[name] for name in PaymentItem.model_fields}
                found.setdefault(item["province"], []).append(PaymentItem.model_validate(known))
        except (ValidationError, LookupError, TypeError) as error:
            raise Retry(f"ledger, payment states of {period}: {error!r}") from error
        return found

    async def is_closed(self, day: date) -> bool:
        """Whether the books of the day stand."""
        answer = await self._ledger.find(f"/v1/days/{day}")
        return answer is not None and answer.get("state") == "closed"

    async def received(self, enterprise: str, day: date) -> dict[str, Any] | None:
        """What charging received of an enterprise for a counted day."""
        return await self._charging.find(f"/v1/enterprises/{enterprise}/received/{day}")

    async def log_state(self) -> dict[str, Any]:
        """How far the evidence log is: `entries`, `signed`, `cosigned`, `witness`."""
        answer = await self._ledger.get("/v1/status")
        try:
            return dict(answer["log"])
        except (LookupError, TypeError, ValueError) as error:
            raise Retry(f"ledger, state of the log: {error!r}") from error

    async def checkpoint(self, day: date) -> str | None:
        """The note of the checkpoint of a day's close; None where there is none."""
        answer = await self._ledger.find("/v1/log/checkpoints", day=day.isoformat())
        return None if answer is None else str(answer["checkpoint"])


@asynccontextmanager
async def open_apis(
    charging_url: str, ledger_url: str, service_key: str, timeout_seconds: float
) -> AsyncIterator[tuple[InternalApi, InternalApi]]:
    """Clients of both services, showing the key that the services share; closed at the end."""
    headers = {"Authorization": f"Bearer {service_key}"}
    async with (
        httpx.AsyncClient(base_url=charging_url, headers=headers, timeout=timeout_seconds, trust_env=False) as charging,
        httpx.AsyncClient(base_url=ledger_url, headers=headers, timeout=timeout_seconds, trust_env=False) as ledger,
    ):
        yield InternalApi("charging", charging), InternalApi("ledger", ledger)
