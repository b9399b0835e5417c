"""The figures of a day's coverage report, built from the totals of a closed day.

A closed day has totals by insured day: the day itself, and late ones before it (amendments). Here they become the
lines of one report for each province: netted per tariff line, nothing added across what does not add up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from shared.domain.errors import Refused
from shared.domain.money import Amount


class DayTotal(Protocol):
    """How many orders ended alike, and their premium in 0.0001 yuan; those of reversals are negative."""

    @property
    def insured_on(self) -> date | None: ...
    @property
    def enterprise(self) -> str: ...
    @property
    def province(self) -> str | None: ...
    @property
    def industry(self) -> str | None: ...
    @property
    def outcome(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def tariff_line(self) -> int | None: ...
    @property
    def orders(self) -> int: ...
    @property
    def premium(self) -> int: ...


class DayWorkers(Protocol):
    """Distinct workers of one enterprise, or (None) of all enterprises of the province."""

    @property
    def insured_on(self) -> date: ...
    @property
    def enterprise(self) -> str | None: ...
    @property
    def province(self) -> str: ...
    @property
    def workers(self) -> int: ...


class DayFirstTime(Protocol):
    """Workers charged in this province for the first time."""

    @property
    def province(self) -> str: ...
    @property
    def workers(self) -> int: ...


@dataclass(frozen=True, slots=True, order=True)
class CoverageLine:
    """Orders of one enterprise under one tariff line; `insured_on` before the report's day is an amendment."""

    insured_on: date
    enterprise: str
    industry: str
    tariff_line: int
    base: Amount
    charged: int
    reversed: int

    @property
    def orders(self) -> int:
        """Charged less reversed; negative where an amendment takes more back than it adds."""
        return self.charged - self.reversed

    @property
    def premium(self) -> Amount:
        """Orders times the base amount, exact, in 0.0001 yuan."""
        return Amount(self.orders * self.base)


@dataclass(frozen=True, slots=True, order=True)
class ExclusionCount:
    """Orders of one enterprise that owe nothing, for one reason."""

    insured_on: date
    enterprise: str
    industry: str
    reason: str
    orders: int


@dataclass(frozen=True, slots=True, order=True)
class WorkersCount:
    """Distinct workers charged for one enterprise; does not add up over enterprises, provinces or days."""

    insured_on: date
    enterprise: str
    workers: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is reported to one province about one closed day. `province_workers` is distinct over all enterprises."""

    day: date
    province: str
    lines: tuple[CoverageLine, ...]
    exclusions: tuple[ExclusionCount, ...]
    workers: tuple[WorkersCount, ...]
    province_workers: int
    first_time_workers: int

    @property
    def orders(self) -> int:
        return sum(line.orders for line in self.lines)

    @property
    def premium(self) -> Amount:
        return Amount(sum(line.premium for line in self.lines))


def build_coverage(
    day: date,
    totals: Iterable[DayTotal],
    workers: Iterable[DayWorkers],
    first_time: Iterable[DayFirstTime],
) -> list[Coverage]:
    """The coverage of every province that the closed day says anything about, by province code.

    Raises `Refused` for totals no report can hold: a charge without its line, or premiums that are not orders
    times one base amount.
    """
    sheets: dict[str, _Sheet] = {}
    for total in totals:
        if total.province is not None and total.outcome in ("charged", "reversed", "excluded"):
            sheets.setdefault(total.province, _Sheet(day, total.province)).add_total(total)
    for count in workers:
        sheets.setdefault(count.province, _Sheet(day, count.province)).add_workers(count)
    for new in first_time:
        sheets.setdefault(new.province, _Sheet(day, new.province)).first_time += new.workers
    return [sheets[province].coverage() for province in sorted(sheets)]


LineKey = tuple[date, str, str, int]
ExclusionKey = tuple[date, str, str, str]


class _Sheet:
    """One province's figures while they are added up."""

    def __init__(self, day: date, province: str) -> None:
        self._day, self._province = day, province
        self._bases: dict[LineKey, Amount] = {}
        self._charged: dict[LineKey, int] = {}
        self._reversed: dict[LineKey, int] = {}
        self._exclusions: dict[ExclusionKey, int] = {}
        self._workers: list[WorkersCount] = []
        self._province_workers = 0
        self.first_time = 0

    def add_total(self, total: DayTotal) -> None:
        if total.orders == 0 and total.premium == 0:
            return
        if total.insured_on is None or total.industry is None:
            raise Refused(f"a total of {total.enterprise} in {total.province} names no insured day or no industry")
        if total.outcome == "excluded":
            excluded = (total.insured_on, total.enterprise, total.industry, total.reason or "")
            self._exclusions[excluded] = self._exclusions.get(excluded, 0) + total.orders
            return
        if total.tariff_line is None:
            raise Refused(f"a total of {total.enterprise} in {total.province} is {total.outcome} under no tariff line")
        key = (total.insured_on, total.enterprise, total.industry, total.tariff_line)
        base = base_amount(total)
        if self._bases.setdefault(key, base) != base:
            raise Refused(f"tariff line {total.tariff_line} has two base amounts on {total.insured_on}")
        counts = self._charged if total.outcome == "charged" else self._reversed
        counts[key] = counts.get(key, 0) + total.orders

    def add_workers(self, count: DayWorkers) -> None:
        if count.enterprise is not None:
            self._workers.append(WorkersCount(count.insured_on, count.enterprise, count.workers))
        elif count.insured_on == self._day:
            self._province_workers += count.workers

    def coverage(self) -> Coverage:
        lines = (
            CoverageLine(*key, base, self._charged.get(key, 0), self._reversed.get(key, 0))
            for key, base in self._bases.items()
        )
        return Coverage(
            self._day,
            self._province,
            tuple(sorted(lines)),
            tuple(sorted(ExclusionCount(*key, orders) for key, orders in self._exclusions.items())),
            tuple(sorted(self._workers)),
            self._province_workers,
            self.first_time,
        )


def base_amount(total: DayTotal) -> Amount:
    """The money an order of a charged or reversed total; raises `Refused` where it does not come out even."""
    premium = total.premium if total.outcome == "charged" else -total.premium
    if total.orders <= 0 or premium % total.orders:
        raise Refused(
            f"{total.enterprise}, {total.province}, line {total.tariff_line}: "
            f"{total.orders} {total.outcome} orders cannot cost {total.premium}"
        )
    return Amount(premium // total.orders)
