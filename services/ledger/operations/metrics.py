"""The names of the ledger's metrics, and the function that reads the books to set the gauges."""

from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger import tables
from services.ledger.books.clocks import Clocks
from services.ledger.books.missing_manifests import read_gap_seconds
from services.ledger.books.open_days import read_books
from services.ledger.log.checkpoints import read_log_state
from services.ledger.operations.alarms import NAMES, calendar_alarms, cosign_timeout, read_alarms
from services.ledger.settings import LedgerSettings
from shared.domain.calendar import day_start, insured_day
from shared.domain.working_days import WorkingDays
from shared.runtime.clock import now

REFRESH_SECONDS: Final = 2.0
"""Pause between two refreshes of the gauges."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """One attribute for each name; gauges are set by `refresh_gauges`, counters by the handlers."""

    manifests: Counter
    remittances: Counter
    counts: Counter
    inbox: Gauge
    gap_seconds: Gauge
    unpublished: Gauge
    unpublished_seconds: Gauge
    oldest_open_day: Gauge
    log_entries: Gauge
    log_signed: Gauge
    log_cosigned: Gauge
    alarms: Gauge
    published_until: Gauge

    @classmethod
    def make(cls, registry: CollectorRegistry) -> "Metrics":
        """Register them all."""

        def gauge(name: str, what: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"danbao_ledger_{name}", what, labels, registry=registry)

        def counter(name: str, what: str) -> Counter:
            return Counter(f"danbao_ledger_{name}", what, ("state",), registry=registry)

        return cls(
            manifests=counter("manifests", "Manifests received, by what became of them"),
            remittances=counter("remittances", "Remittances received, by what became of them"),
            counts=counter("counts", "Counts of a day received, by what became of them"),
            inbox=gauge("inbox_manifests", "Manifests that wait for an earlier one or for a close"),
            gap_seconds=gauge("gap_seconds", "Age of the oldest gap among the manifests"),
            unpublished=gauge("outbox_messages", "Messages not published yet"),
            unpublished_seconds=gauge("outbox_seconds", "Age of the oldest message not published yet"),
            oldest_open_day=gauge("oldest_open_day_seconds", "Start of the oldest day not closed, Unix time"),
            log_entries=gauge("log_entries", "Entries of the evidence log"),
            log_signed=gauge("log_signed_entries", "Entries under the newest checkpoint"),
            log_cosigned=gauge("log_cosigned_entries", "Entries under the newest checkpoint that a witness cosigned"),
            published_until=Gauge(
                "danbao_calendar_published_until", "Last day with published holidays, Unix time", registry=registry
            ),
            alarms=gauge("alarms", "Alarms, see services/ledger/operations/alarms.py", ("alarm",)),
        )


async def refresh_gauges(
    engine: AsyncEngine, metrics: Metrics, settings: LedgerSettings, calendar: WorkingDays, clocks: Clocks
) -> None:
    """Set the gauges from the books, and from the calendar."""
    async with engine.connect() as connection:
        books = await read_books(connection)
        alarms = await read_alarms(connection, books, settings.close_timeout_seconds, cosign_timeout(settings), clocks)
        alarms += calendar_alarms(calendar, insured_day(now()))
        state = await read_log_state(connection)
        inbox = await connection.scalar(select(func.count()).select_from(tables.manifest_inbox))
        unpublished = await connection.scalar(select(func.count()).select_from(tables.outbox))
        age = await connection.scalar(text("select extract(epoch from now() - min(written_at)) from ledger.outbox"))
        metrics.gap_seconds.set(await read_gap_seconds(connection))
    metrics.published_until.set(day_start(calendar.published_until).timestamp())
    metrics.log_entries.set(state.entries)
    metrics.log_signed.set(state.signed or 0)
    metrics.log_cosigned.set(state.cosigned or 0)
    metrics.inbox.set(inbox or 0)
    metrics.unpublished.set(unpublished or 0)
    metrics.unpublished_seconds.set(float(age or 0))
    metrics.oldest_open_day.set(day_start(books.first_open).timestamp())
    for name in NAMES:
        metrics.alarms.labels(name).set(sum(alarm.startswith(f"{name}:") for alarm in alarms))
