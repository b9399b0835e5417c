"""Re-rate for an operator: day by day, so that no answer takes long; first compute all days, then book."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from rich.table import Table

from services.cli.wide_table import print_wide
from services.demo.running.answers import RatedDifference, Rerating
from services.demo.running.apis import Apis, open_apis
from shared.domain.errors import Refused
from shared.domain.money import Amount, parse_yuan, yuan
from shared.domain.times import read_day
from shared.runtime.command_settings import CommandSettings
from shared.runtime.exits import CommandFailed

DAY_SECONDS: Final = 900.0
"""Timeout of one day's request to charging."""
UNCOVERED: Final = "no_tariff_line"


@dataclass(frozen=True, slots=True)
class Wish:
    """Insured days, both included; empty texts mean any."""

    first_on: date
    last_on: date
    enterprise: str
    province: str
    is_booked: bool

    def days(self) -> Iterator[date]:
        """Yield each day; raises Refused for a window that ends before it begins."""
        if self.last_on < self.first_on:
            raise Refused(f"{self.last_on} is before {self.first_on}")
        for number in range((self.last_on - self.first_on).days + 1):
            yield self.first_on + timedelta(days=number)

    def of_day(self, day: date, *, apply: bool) -> dict[str, str | bool | None]:
        """The request to charging for one day."""
        place = {"enterprise": self.enterprise or None, "province": self.province or None}
        return {"first_on": day.isoformat(), "last_on": day.isoformat(), **place, "apply": apply}


async def rerate_days(settings: CommandSettings, wish: Wish) -> Rerating:
    """`{"differences": [...], "booked": orders, "manifests": n}`; raises CommandFailed before anything is booked."""
    async with open_apis(settings) as apis:
        differences = [
            difference
            for day in wish.days()
            for difference in (await _request(apis, wish, day, apply=False))["differences"]
        ]
        booked, manifests = 0, 0
        if wish.is_booked:
            _refuse_uncovered(differences)
            for day in sorted({difference["insured_on"] for difference in differences}):
                answer = await _request(apis, wish, read_day(day), apply=True)
                booked, manifests = booked + answer["booked"], manifests + answer["manifests"]
    return {"differences": differences, "booked": booked, "manifests": manifests}


async def _request(apis: Apis, wish: Wish, day: date, *, apply: bool) -> Rerating:
    answer: Rerating = await apis.charging.post("/v1/rerate", wish.of_day(day, apply=apply), DAY_SECONDS)
    return answer


def _refuse_uncovered(differences: list[RatedDifference]) -> None:
    for difference in differences:
        if difference["new_reason"] == UNCOVERED:
            place = f"{difference['industry']} of {difference['enterprise']} in province {difference['province']}"
            raise CommandFailed(f"nothing was booked: no tariff line holds for {place} on {difference['insured_on']}")


def print_rerating(rerating: Rerating, wish: Wish) -> None:
    """Print one line for each month, place and change, and what was booked."""
    table = Table(box=None)
    for name in ("month", "enterprise", "province", "industry", "was", "is"):
        table.add_column(name, no_wrap=True)
    for name in ("orders", "charged", "owed", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    total = 0
    for key, (orders, old, new) in sorted(_by_month(rerating["differences"]).items()):
        month, enterprise, province, industry, was, now = key
        figures = (f"{orders:,}", *(yuan(Amount(amount)) for amount in (old, new, new - old)))
        table.add_row(month, enterprise, province, industry, was, now, *figures)
        total += new - old
    if rerating["differences"]:
        print_wide(table)
    else:
        print("every order is rated as the scheme says now")
    if wish.is_booked:
        print(f"{rerating['booked']:,} orders corrected in {rerating['manifests']} manifests")
    elif rerating["differences"]:
        print(f"difference {yuan(Amount(total))} yuan; nothing was booked: --apply books it")


MonthKey = tuple[str, str, str, str, str, str]


def _by_month(differences: list[RatedDifference]) -> dict[MonthKey, tuple[int, int, int]]:
    sums: dict[MonthKey, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for difference in differences:
        was = _rate(difference["old_tariff_line"], difference["old_reason"])
        now = _rate(difference["new_tariff_line"], difference["new_reason"])
        key = (
            difference["insured_on"][:7],
            difference["enterprise"],
            difference["province"],
            difference["industry"],
            was,
            now,
        )
        orders, old, new = sums[key]
        charged, owed = parse_yuan(difference["old_premium_yuan"]), parse_yuan(difference["new_premium_yuan"])
        sums[key] = (orders + difference["orders"], old + charged, new + owed)
    return sums


def _rate(tariff_line: int, reason: str | None) -> str:
    return f"line {tariff_line}" if tariff_line else str(reason)
