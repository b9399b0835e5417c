"""A seeded history played to the real services as they run, with a broker between them, and to the model."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

from services.demo.demo import bill
from services.demo.driver import Stream, close_day, open_stream, until
from services.demo.progress import Silent
from services.demo.running.system import System, Wishes, running_system
from shared.adapters.files.regions import known_regions
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.pool import open_pool
from shared.domain.calendar import Month
from tests.faults.shaken_system import environment
from tests.generators.workload import OPENED_ON, PARTITIONS, Workload, bytes_of
from tests.integration.charging.charging_harness import Record
from tests.integration.histories.history_harness import SCHEME
from tests.integration.histories.model_audit import Audit, same, units
from tests.model.model import CLOSE_AFTER, Model
from tests.model.rows import Count, Received
from tests.model.scheme import midnight, read_scheme
from tests.support.servers import Broker, client_settings

DAYS = 3
"""Up to the end of the month."""
EVENTS_A_DAY = 400


@dataclass
class Running:
    """The running system, the model, and the way in."""

    system: System
    stream: Stream
    model: Model
    workload: Workload
    offset: int = 0
    between: Callable[[], Awaitable[None]] | None = None
    """Done some times a day, between two sendings."""

    async def live(self, day: date) -> None:
        """Send a day's events, settle, and close the day: in the services and in the model."""
        records: list[Received] = []
        for number in range(EVENTS_A_DAY):
            if self.between is not None and number % (EVENTS_A_DAY // 4) == 0:
                await self.stream.sender.flush()
                await self.stream.is_taken_in()
                await self.between()
            record = self.workload.record()
            value = bytes_of(record["value"]) or b""
            key = str(record["partition"]).encode()  # an order's events keep their order
            await self.stream.sender.send(record["topic"], key, value, record["ms"])
            self.offset += 1
            records.append(Record(record["topic"], record["partition"], self.offset, record["ms"], key, value))
        await self.stream.sender.flush()
        await self.stream.is_taken_in()
        await self.system.apis.charging.post("/v1/settle")
        await self.stream.is_taken_in()
        await close_day(self.system.apis, day, midnight(day) + CLOSE_AFTER)
        self._live_in_the_model(day, records)

    def _live_in_the_model(self, day: date, records: list[Received]) -> None:
        run = f"orders {day}"
        self.model.take(run, records)
        if self.model.settle(f"settlement {day}"):
            self.model.deliver(f"settlement {day}", 1)
        self.model.deliver(run, 1)
        assert self.model.freeze(day, midnight(day) + CLOSE_AFTER) == "closing"
        self.model.close()

    async def live_all(self) -> None:
        """Every day up to the end of the month, and its bill."""
        for offset in range(DAYS):
            await self.live(date.fromordinal(OPENED_ON.toordinal() + offset))
        as_of = midnight(date(2026, 11, 1)) + CLOSE_AFTER
        await bill(self.system, Month(2026, 10), as_of)
        assert self.model.bill("2026-10", as_of) == "issued"

    async def agree(self) -> None:
        """Reports at the national platform, and every figure of the books."""
        await self.same_reports()
        auditor = self.system.variables["DANBAO_AUDIT_DATABASE"]
        async with open_pool(auditor, size=2) as pool, open_engine(auditor, size=1) as engine:
            await Audit(pool, engine, self.model).all()

    async def _nothing_pending(self) -> bool:
        status = await self.system.apis.reporting.get("/v1/status")
        receipts = (await self.system.apis.reporting.get("/v1/receipts", period="2026-10"))["receipts"]
        days = {receipt["day"] for receipt in receipts if receipt["kind"] == "coverage"}
        return bool(status["pending"] == 0 and len(days) == DAYS)

    async def same_reports(self) -> None:
        """What the national platform holds of each day and province, line by line."""
        await until(self._nothing_pending, "the receipts of all reports")
        platform = self.system.apis.national_platform
        listed = (await platform.get("/v1/reports", kind="coverage"))["reports"]
        reports = [await platform.get(f"/v1/reports/{item['report_id']}") for item in listed]
        held = Counter[tuple[Any, ...]]()
        for report in reports:
            held += reported_by(report)
        mine = Counter[tuple[Any, ...]]()
        for count in self.model.closed.values():
            mine += expected_of(count)
        same("the coverage reports", held, mine)


def reported_by(report: dict[str, Any]) -> Counter[tuple[Any, ...]]:
    """The figures of a coverage report by day, province and what they count."""
    counts: Counter[tuple[Any, ...]] = Counter()
    place = (report["day"], report["province"])
    counts[*place, "orders"] = report["orders"]
    counts[*place, "premium"] = units(Fraction(report["premium_yuan"]))
    counts[*place, "first time"] = report["first_time_workers"]
    counts[*place, "workers", report["day"], ""] = report["province_workers"]
    for line in report["lines"]:
        key = (*place, line["insured_on"], line["enterprise"], line["industry"], line["tariff_line"])
        counts[*key, "charged"] = line["charged"]
        counts[*key, "reversed"] = line["reversed"]
    for row in report["exclusions"]:
        counts[*place, row["insured_on"], row["enterprise"], row["industry"], row["reason"]] = row["orders"]
    for row in report["workers"]:
        counts[*place, "workers", row["insured_on"], row["enterprise"]] = row["workers"]
    return +counts


def expected_of(count: Count) -> Counter[tuple[Any, ...]]:
    """The figures of a coverage report by the model; no sum is negative before a month is over."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for total, orders in count.totals.items():
        place = (str(count.day), total.province)
        key = (*place, str(total.insured_on), total.enterprise, total.industry)
        if total.outcome == "excluded":
            counts[*key, total.reason] += orders
            continue
        counts[*place, "orders"] += orders if total.outcome == "charged" else -orders
        counts[*place, "premium"] += units(total.base) * orders
        counts[*key, int(total.line), total.outcome] += orders
    for (insured_on, enterprise, province), workers in count.workers.items():
        if enterprise or insured_on == count.day:
            counts[str(count.day), province, "workers", str(insured_on), enterprise] = workers
    for province, new in count.first_time.items():
        counts[str(count.day), province, "first time"] = len(new)
    return +counts


@asynccontextmanager
async def running(
    folder: Path, database: str, platform_database: str, broker: Broker, extra: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """A system on these servers, its books open and empty."""
    chosen = {"DANBAO_ORDER_PARTITIONS": str(PARTITIONS), "DANBAO_SETTLE_SECONDS": "0.2", **(extra or {})}
    wishes = Wishes(folder, scheme=str(SCHEME), books_open_on=OPENED_ON, extra={**chosen, **client_settings(broker)})
    places = {
        "DANBAO_DATABASE": database, "DANBAO_PLATFORM_DATABASE": platform_database, "DANBAO_KAFKA": broker.bootstrap,
    }  # fmt: skip
    with environment(places):
        async with running_system(wishes) as system:
            enterprises = {line["uscc"] for line in read_scheme([SCHEME]).enterprises}
            model = Model(read_scheme([SCHEME]), enterprises, known_regions(), opened_on=OPENED_ON)
            async with open_stream(system.settings, system.apis, Silent()) as stream:
                yield Running(system, stream, model, Workload(random.Random(1)))
