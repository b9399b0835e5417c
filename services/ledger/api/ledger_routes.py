"""The ledger over HTTP: its progress, and the commands that close, bill and assess. All need a service key."""

from collections.abc import Callable

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.billing.issue_statements import IssueResult, issue_statements
from services.ledger.billing.late_fees import book_late_fees
from services.ledger.books.clocks import Clocks
from services.ledger.close.close_day import CloseResult, close_day
from services.ledger.operations.alarms import cosign_timeout
from services.ledger.queries import balances, book_queries
from services.ledger.settings import LedgerSettings
from shared.adapters.http.decision_routes import store_decision
from shared.adapters.postgres.decisions import Decisions
from shared.domain.calendar import Month, insured_day
from shared.domain.errors import Refused
from shared.domain.money import yuan
from shared.domain.working_days import WorkingDays
from shared.runtime.access import AccessKeys
from shared.runtime.clock import now
from shared.runtime.http.types import (
    AnyPeriod,
    AnyProvince,
    AnyUscc,
    Day,
    Instant,
    PathDay,
    Period,
    QueryDay,
    QueryPeriod,
)


class CloseRequest(BaseModel):
    """Close a day as of an instant."""

    model_config = ConfigDict(extra="forbid")
    as_of: Instant


class BillRequest(BaseModel):
    """Bill a month as of an instant."""

    model_config = ConfigDict(extra="forbid")
    period: Period
    as_of: Instant


class LateFeeRequest(BaseModel):
    """Book late fees up to the end of a day."""

    model_config = ConfigDict(extra="forbid")
    as_of: Day


def make_router(
    keys: AccessKeys,
    engine: AsyncEngine,
    settings: LedgerSettings,
    calendar: WorkingDays,
    wake: Callable[[], None],
    decisions: Decisions,
    clocks: Clocks,
) -> APIRouter:
    """All routes; `wake` publishes at once what a command has written to the outbox.

    Nothing is closed, billed or assessed as of a time that has not come by the `clocks`.
    """
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service"))])
    _add_commands(router, engine, settings, calendar, wake, decisions, clocks)
    _add_queries(router, engine, settings, calendar, clocks)
    return router


def _add_commands(
    router: APIRouter,
    engine: AsyncEngine,
    settings: LedgerSettings,
    calendar: WorkingDays,
    wake: Callable[[], None],
    decisions: Decisions,
    clocks: Clocks,
) -> None:
    @router.post("/days/{day}/close")
    async def close(day: PathDay, wish: CloseRequest, request: Request) -> CloseResult:
        if reason := await clocks.object_to(engine, wish.as_of):
            return CloseResult("refused", reason)
        decision = await store_decision(decisions, request, wish)
        answer = await close_day(engine, day, wish.as_of, settings.close_after_hours, decision)
        wake()
        return answer

    @router.post("/statements")
    async def bill(wish: BillRequest, request: Request) -> IssueResult:
        if reason := await clocks.object_to(engine, wish.as_of):
            return IssueResult("refused", reason)
        decision = await store_decision(decisions, request, wish)
        answer = await issue_statements(engine, Month.parse(wish.period), wish.as_of, calendar, decision)
        wake()
        return answer

    @router.post("/late-fees")
    async def late_fees(wish: LateFeeRequest, request: Request) -> dict[str, int | str]:
        if reason := await clocks.object_to_day(engine, wish.as_of):
            raise Refused(reason)
        await store_decision(decisions, request, wish)
        booked = await book_late_fees(engine, wish.as_of)
        return {"booked": booked.booked, "amount_yuan": yuan(booked.amount)}


def _add_queries(
    router: APIRouter, engine: AsyncEngine, settings: LedgerSettings, calendar: WorkingDays, clocks: Clocks
) -> None:
    @router.get("/status")
    async def status() -> book_queries.LedgerStatus:
        async with engine.connect() as connection:
            more = settings.close_timeout_seconds, cosign_timeout(settings), clocks
            return await book_queries.read_status(connection, calendar, insured_day(now()), *more)

    @router.get("/days/{day}")
    async def day_state(day: PathDay) -> book_queries.DayState:
        async with engine.connect() as connection:
            return await book_queries.read_day(connection, day)

    @router.get("/statements")
    async def statements(
        period: AnyPeriod = None, enterprise: AnyUscc = None, province: AnyProvince = None
    ) -> dict[str, list[book_queries.Statement]]:
        month = None if period is None else Month.parse(period)
        async with engine.connect() as connection:
            return {"statements": await book_queries.read_statements(connection, month, enterprise, province)}

    @router.get("/payment-states")
    async def payment_states(period: QueryPeriod, as_of: QueryDay) -> dict[str, list[book_queries.PaymentState]]:
        async with engine.connect() as connection:
            return {"items": await book_queries.read_payment_states(connection, Month.parse(period), as_of)}

    @router.get("/balances")
    async def party_balances(
        as_of: QueryDay, enterprise: AnyUscc = None, province: AnyProvince = None
    ) -> dict[str, list[balances.PartyBalance]]:
        async with engine.connect() as connection:
            return {"balances": await balances.read_balances(connection, as_of, enterprise, province)}

    @router.get("/totals")
    async def totals(period: QueryPeriod) -> dict[str, list[book_queries.MonthTotal]]:
        async with engine.connect() as connection:
            return {"totals": await book_queries.read_totals(connection, Month.parse(period))}
