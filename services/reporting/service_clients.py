"""Query the other services' HTTP APIs. Every failure is `Retry`, of which `WrongAnswer` is one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Final, TypeVar

import httpx
import msgspec
from msgspec import Struct
from pydantic import JsonValue, TypeAdapter, ValidationError

from services.reporting.settings import ReportingSettings
from shared.adapters.http.bounded_answer import BoundedAnswer, need_success, read_object, refusal, send_request
from shared.adapters.http.charging_deployments import ChargingWorkers, open_charging
from shared.adapters.http.clients import make_client
from shared.contracts.findings import DayFindings
from shared.contracts.manifests import ALONE
from shared.contracts.reports import EmployeeExclusion, PaymentItem
from shared.domain.errors import Archived, WrongAnswer
from shared.runtime.deployments import Deployment, Deployments, load_deployments

PATIENCE_SECONDS: Final = 300.0
"""How long charging may take to read a whole day."""


T = TypeVar("T")
JsonObject = dict[str, JsonValue]
_EXCLUSIONS: Final = TypeAdapter(list[EmployeeExclusion])


class Cover(Struct, frozen=True, kw_only=True):
    """An order that covers a worker at an instant; it was sent at `recorded_at`, or within a minute of it."""

    enterprise: str
    order_id: str
    accepted_at: datetime
    province: str
    recorded_at: datetime


class PartyBalance(Struct, frozen=True):
    """What an enterprise paid in a province to date, and what became of it, in yuan."""

    enterprise: str
    province: str
    received_yuan: str
    settled_yuan: str
    late_fees_paid_yuan: str
    balance_yuan: str


class LogState(Struct, frozen=True):
    """State of the evidence log, in entries; `witness` cosigned last."""

    entries: int
    signed: int | None
    cosigned: int | None
    witness: str | None


class DayCheckpoint(Struct, frozen=True):
    """The size and the note of the checkpoint of a day's close."""

    size: int
    checkpoint: str


class ReceivedDay(Struct, frozen=True):
    """Events that charging received from an enterprise for a counted day."""

    received: dict[str, int]
    parked: dict[str, int]
    series: dict[str, str]
    manifests: list[tuple[str, str]]


_REFUSED: Final = (httpx.codes.CONFLICT, httpx.codes.GONE)


class InternalApi:
    """JSON from one service."""

    def __init__(self, name: str, client: httpx.AsyncClient) -> None:
        self._name, self._client = name, client

    @property
    def client(self) -> httpx.AsyncClient:
        """The HTTP client of the requests."""
        return self._client

    async def get(self, path: str, **params: str | int) -> JsonObject:
        """The answer's object; raises `Retry` for none, `Archived` for archived rows, else `WrongAnswer`."""
        return self._read(path, await send_request(self._client, self._name, "GET", path, params=params))

    async def get_patiently(self, path: str) -> JsonObject:
        """The answer's object, where charging may take PATIENCE_SECONDS."""
        return self._read(
            path, await send_request(self._client, self._name, "GET", path, timeout_seconds=PATIENCE_SECONDS)
        )

    async def post(self, path: str, body: Mapping[str, JsonValue]) -> JsonObject:
        """The answer to a posted object; nothing is retried."""
        return self._read(path, await send_request(self._client, self._name, "POST", path, json=body))

    async def find(self, path: str, **params: str | int) -> JsonObject | None:
        """The answer's object; None where there is none (404), `Refused` for conflicts (409) or archived data (410)."""
        answer = await send_request(self._client, self._name, "GET", path, params=params)
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        if answer.status in _REFUSED:
            raise refusal(self._name, answer)
        return self._read(path, answer)

    def _read(self, path: str, answer: BoundedAnswer) -> JsonObject:
        if answer.status == httpx.codes.GONE:
            raise Archived(str(refusal(self._name, answer)))
        return read_object(self._name, path, need_success(self._name, path, answer))


def read_as(kind: type[T], service: str, value: JsonValue) -> T:
    """A part of an answer as `kind`; raises `WrongAnswer` for anything else."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise WrongAnswer(f"{service}: an answer is not of its type: {error}") from error


class Charging:
    """Charging's deployments: one for an enterprise, all of them for what is no single enterprise's."""

    def __init__(self, apis: Mapping[str, InternalApi], deployments: Deployments) -> None:
        self._apis, self._deployments = apis, deployments
        self.workers = ChargingWorkers({name: api.client for name, api in apis.items()})

    @classmethod
    def alone(cls, api: InternalApi) -> "Charging":
        """The one that there is."""
        return cls({ALONE: api}, Deployments([Deployment(ALONE, "")]))

    def of(self, enterprise: str) -> InternalApi:
        """The one that charges this enterprise's orders."""
        return self._apis[self._deployments.of(enterprise).name]

    async def get_all(self, path: str, **params: str | int) -> list[JsonObject]:
        """Every deployment's answer; raises `Retry` where one does not."""
        return [await api.get(path, **params) for api in self._apis.values()]

    async def get_all_patiently(self, path: str) -> list[JsonObject]:
        """Every deployment's object, where each may take PATIENCE_SECONDS."""
        return [await api.get_patiently(path) for api in self._apis.values()]


class Sources:
    """Charging's and the ledger's answers in the words of the reports."""

    def __init__(self, charging: Charging, ledger: InternalApi) -> None:
        self._charging, self._ledger = charging, ledger

    async def registrations(self, day: date, province: str) -> list[str]:
        """Tokens of the workers charged in this province for the first time on the day, sorted."""
        return await self._charging.workers.first_time(day, province)

    async def employee_exclusions(self, day: date, province: str) -> list[EmployeeExclusion]:
        """Orders of the insured day that were excluded because the worker is insured as an employee."""
        answers = await self._charging.get_all(f"/v1/days/{day}/employee-exclusions", province=province)
        try:
            parts = [_EXCLUSIONS.validate_python(answer["exclusions"]) for answer in answers]
            return [exclusion for part in parts for exclusion in part]
        except (ValidationError, LookupError, TypeError) as error:
            raise WrongAnswer(f"charging: employee exclusions of {day} in {province} are not of their type") from error

    async def findings(self, day: date) -> DayFindings:
        """Charging's findings of a counted day; charging reads all rows of the day."""
        answers = await self._charging.get_all_patiently(f"/v1/days/{day}/findings")
        try:
            of_deployments = [msgspec.convert(answer, DayFindings) for answer in answers]
        except msgspec.ValidationError as error:
            raise WrongAnswer(f"charging: findings of {day}: {error}") from error
        return DayFindings(
            findings=[finding for deployment in of_deployments for finding in deployment.findings],
            delays=[delays for deployment in of_deployments for delays in deployment.delays],
        )

    async def covers(self, worker_id: str, at: datetime) -> list[Cover]:
        """Every order, of any enterprise, that was open for the worker at the instant."""
        answers = await self._charging.get_all(f"/v1/workers/{worker_id}/covers", at=at.isoformat())
        try:
            return [cover for answer in answers for cover in msgspec.convert(answer["covers"], list[Cover])]
        except (msgspec.ValidationError, LookupError, TypeError) as error:
            raise WrongAnswer("charging: the covers of a worker are not of their type") from error

    async def payment_states(self, period: str, as_of: date) -> dict[str, list[PaymentItem]]:
        """Payment state of each statement of the month at the end of a day, by province."""
        answer = await self._ledger.get("/v1/payment-states", period=period, as_of=as_of.isoformat())
        states: dict[str, list[PaymentItem]] = {}
        try:
            for item in msgspec.convert(answer["items"], list[dict[str, str | bool]]):
                known = {name: item[name] for name in PaymentItem.model_fields if name in item}
                states.setdefault(str(item["province"]), []).append(PaymentItem.model_validate(known))
        except (ValidationError, msgspec.ValidationError, LookupError) as error:
            raise WrongAnswer(f"ledger: payment states of {period} are not of their type") from error
        return states

    async def balances(self, as_of: date, enterprise: str | None, province: str | None) -> list[PartyBalance]:
        """Money of every party, or of those of an enterprise or province, to the end of a day."""
        wanted = {"as_of": as_of.isoformat(), "enterprise": enterprise, "province": province}
        given = {name: value for name, value in wanted.items() if value is not None}
        return read_as(list[PartyBalance], "ledger", (await self._ledger.get("/v1/balances", **given)).get("balances"))

    async def is_closed(self, day: date) -> bool:
        """Whether the books of the day are closed."""
        answer = await self._ledger.find(f"/v1/days/{day}")
        return answer is not None and answer.get("state") == "closed"

    async def received(self, enterprise: str, day: date) -> ReceivedDay | None:
        """Events that charging received from an enterprise for a counted day."""
        answer = await self._charging.of(enterprise).find(f"/v1/enterprises/{enterprise}/received/{day}")
        return None if answer is None else read_as(ReceivedDay, "charging", answer)

    async def log_state(self) -> LogState:
        """State of the evidence log."""
        return read_as(LogState, "ledger", (await self._ledger.get("/v1/status")).get("log"))

    async def checkpoint(self, day: date) -> DayCheckpoint | None:
        """The size and the note of the checkpoint of a day's close; None where there is none."""
        answer = await self._ledger.find("/v1/log/checkpoints", day=day.isoformat())
        return None if answer is None else read_as(DayCheckpoint, "ledger", answer)

    async def checkpoint_note(self, day: date) -> str | None:
        """The note alone."""
        answer = await self._ledger.find("/v1/log/checkpoints", day=day.isoformat())
        return None if answer is None else read_as(str, "ledger", answer.get("checkpoint"))


@asynccontextmanager
async def open_apis(settings: ReportingSettings) -> AsyncIterator[tuple[Charging, InternalApi]]:
    """Clients of both services, showing reporting's key for either; closed at the end."""
    timeout, deployments = settings.report_timeout_seconds, load_deployments(settings)
    headers = {"Authorization": f"Bearer {settings.ledger_key.get_secret_value()}"}
    async with (
        open_charging(deployments, settings, timeout) as charging,
        make_client(settings, settings.ledger_url, timeout, headers=headers) as ledger,
    ):
        apis = {name: InternalApi(name, client) for name, client in charging.items()}
        yield Charging(apis, deployments), InternalApi("ledger", ledger)
