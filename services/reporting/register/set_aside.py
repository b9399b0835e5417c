"""Set aside items that cannot be processed: each is the finding `unbuildable` in the register until it is done."""

import asyncio
from enum import StrEnum
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.metrics import Metrics
from services.reporting.register.discrepancies import Discrepancy, record, resolve
from services.reporting.tables import SET_ASIDE
from shared.adapters.postgres.faults import Fault
from shared.adapters.postgres.quarantine import Item, Quarantine, count_set_aside
from shared.adapters.postgres.queries.storable_text import storable
from shared.contracts.findings import FindingKind

CHECK_SECONDS: Final = 2.0
"""Pause between two checks of what is set aside."""


class Step(StrEnum):
    """The steps whose items can be set aside."""

    BUILD_DAY = "build_day"
    BUILD_DECLARATION = "build_declaration"
    EXAMINE_DAY = "examine_day"
    CHECK_NOTICE = "check_notice"
    CHECK_TOTAL = "check_total"
    PROJECT_DAY = "project_day"
    PROJECT_STATEMENT = "project_statement"
    SEND_REPORT = "send_report"
    RECONCILE = "reconcile"


_WORK: Final = {
    Step.BUILD_DAY: "the reports of closed day {} cannot be built",
    Step.BUILD_DECLARATION: "the declaration of statement {} cannot be built",
    Step.EXAMINE_DAY: "closed day {} cannot be examined: the history of later days has a hole there",
    Step.CHECK_NOTICE: "injury notice {} cannot be checked",
    Step.CHECK_TOTAL: "reported total {} cannot be checked",
    Step.PROJECT_DAY: "closed day {} cannot be shown in the portal",
    Step.PROJECT_STATEMENT: "statement {} cannot be shown in the portal",
    Step.SEND_REPORT: "report {} cannot be sent, or its answer cannot be kept",
    Step.RECONCILE: "difference {} cannot be registered",
}


def open_quarantine(engine: AsyncEngine) -> Quarantine:
    """The one of schema `reporting`."""
    return Quarantine(engine, SET_ASIDE, _note, _resolve)


class SetAsideGauge:
    """The step that keeps the metric of what is set aside."""

    def __init__(self, engine: AsyncEngine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics

    async def step(self) -> int:
        """Set the gauge from the table, then pause."""
        async with self._engine.connect() as connection:
            counts = await count_set_aside(connection, SET_ASIDE)
        for step in Step:
            self._metrics.set_aside.labels(step.value).set(counts.get(step.value, 0))
        await asyncio.sleep(CHECK_SECONDS)
        return 0


def key_of(step: str, name: str) -> str:
    """Identity of the finding of an item that is set aside."""
    return f"{step}.{name}"


async def _note(connection: AsyncConnection, item: Item[Any], fault: Fault) -> None:
    place = {name: _plain(value) for name, value in item.place.items()}
    discrepancy = Discrepancy(
        kind=FindingKind.UNBUILDABLE,
        key=key_of(item.step, item.name),
        detail=f"{_WORK[Step(item.step)].format(item.name)}: {fault.reason}: {fault.detail}",
        evidence={"step": item.step, "item": item.name, "reason": fault.reason.value},
        **place,
    )
    await record(connection, discrepancy)


async def _resolve(connection: AsyncConnection, step: str, name: str) -> None:
    await resolve(connection, FindingKind.UNBUILDABLE, key_of(step, name), "done at a later attempt")


def _plain(value: Any) -> Any:
    return storable(value) if isinstance(value, str) else value
