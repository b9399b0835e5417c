"""Fakes of charging and the ledger, as far as reporting queries them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from services.charging.queries.progress import ProgressQueries
from shared.contracts.findings import DayFindings


@dataclass(slots=True)
class OtherServices:
    """Charging and the ledger as far as reporting queries them; a test sets their answers."""

    tokens: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    exclusions: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    payments: list[dict[str, Any]] = field(default_factory=list)
    balances: list[dict[str, str]] = field(default_factory=list)
    findings: dict[str, DayFindings] = field(default_factory=dict)
    covers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    parked: list[dict[str, Any]] = field(default_factory=list)
    is_away: bool = False
    turned_away: int = 0
    unknown_days: set[str] = field(default_factory=set)
    """Days that charging never counted: 404."""
    answers: dict[str, Any] = field(default_factory=dict)
    """Path to the answer that replaces the usual one."""
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Path to the status and the words that replace the usual answer."""

    def app(self) -> FastAPI:
        app = FastAPI()

        app.middleware("http")(self._answer_otherwise)

        @app.get("/v1/days/{day}/registrations")
        async def registrations(day: str, province: str, after: str = "", limit: int = 10_000) -> dict[str, Any]:
            self._answers()
            known = sorted(token for token in self.tokens.get((day, province), []) if token > after)
            return {"workers": known[:limit]}

        @app.get("/v1/days/{day}/employee-exclusions")
        async def employee_exclusions(day: str, province: str) -> dict[str, Any]:
            self._answers()
            return {"exclusions": self.exclusions.get((day, province), [])}

        @app.get("/v1/days/{day}/findings")
        async def findings(day: str) -> Any:
            self._answers()
            self._know(day)
            return msgspec.to_builtins(self.findings.get(day, DayFindings(findings=[], delays=[])))

        @app.get("/v1/workers/{worker_id}/covers")
        async def covers(worker_id: str, at: str) -> dict[str, Any]:
            self._answers()
            return {"covers": self.covers.get(worker_id, [])}

        @app.get("/v1/status")
        async def status() -> dict[str, Any]:
            self._answers()
            return {"log": {"entries": 7, "signed": 7, "cosigned": 5, "witness": "witness.example"}}

        @app.get("/v1/payment-states")
        async def payment_states(period: str, as_of: str) -> dict[str, Any]:
            self._answers()
            return {"items": self.payments}

        @app.get("/v1/balances")
        async def balances(as_of: str, enterprise: str | None = None, province: str | None = None) -> dict[str, Any]:
            self._answers()
            wanted = {"enterprise": enterprise, "province": province}
            return {
                "balances": [
                    balance
                    for balance in self.balances
                    if all(value in {None, balance[name]} for name, value in wanted.items())
                ]
            }

        self._add_parked(app)
        return app

    def _add_parked(self, app: FastAPI) -> None:
        @app.get("/v1/parked")
        async def parked(enterprise: str) -> dict[str, Any]:
            self._answers()
            return {"parked": [event for event in self.parked if event["topic"].endswith(enterprise)]}

        @app.get("/v1/parked/{batch}/{leaf_index}")
        async def parked_event(batch: int, leaf_index: int) -> dict[str, Any]:
            events = [event for event in self.parked if event["cursor"] == f"{batch}.{leaf_index}"]
            if not events:
                raise HTTPException(404, "nothing is parked there")
            return events[0]

    async def _answer_otherwise(self, request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.url.path in self.answers:
            return JSONResponse(self.answers[request.url.path])
        if request.url.path in self.refusals:
            status, words = self.refusals[request.url.path]
            return JSONResponse({"detail": words}, status)
        return await go_on(request)

    def _know(self, day: str) -> None:
        if day in self.unknown_days:
            raise HTTPException(404, f"{day} was not counted")

    def _answers(self) -> None:
        if self.is_away:
            self.turned_away += 1
            raise HTTPException(503, "away")


class Manifests(httpx.AsyncBaseTransport):
    """Charging's answer to a request for a manifest, from its own tables."""

    def __init__(self, progress: ProgressQueries) -> None:
        self._progress = progress

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        run, number = request.url.path.split("/")[-2:]
        manifest = await self._progress.manifest(run, int(number))
        return httpx.Response(200, content=manifest) if manifest else httpx.Response(404)
