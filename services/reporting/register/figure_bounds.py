"""Bounds of figures before they are added up, far above what the whole country has in a day or a month.

A column holds 2^63 - 1, and so does the sum of many rows: one absurd figure that fits its column would make the sum
of the good ones overflow. Such a day or statement is set aside before anything of it is added.
"""

from collections.abc import Iterable
from typing import Final

from shared.contracts.findings import Delays
from shared.contracts.manifests import DayClosed, StatementIssued
from shared.domain.errors import Refused

MOST_COUNT: Final = 10**10
"""Orders or workers of one figure of a day; the country has some 10^8 orders a day."""
MOST_AMOUNT: Final = 10**14
"""0.0001 yuan of one figure: 10 billion yuan."""


def check_day(closed: DayClosed) -> None:
    """Raise `Refused` naming the first figure of a closed day that is beyond its bound."""
    for total in closed.totals:
        where = f"total of {total.enterprise} in {total.province} on {total.insured_on}"
        _check(where, [total.orders], MOST_COUNT)
        _check(where, [total.premium], MOST_AMOUNT)
    _check("workers", [count.workers for count in closed.workers], MOST_COUNT)
    _check("first-time workers", [count.workers for count in closed.first_time], MOST_COUNT)
    for hours in closed.hours:
        _check(f"acceptances by hour of {hours.enterprise}", hours.orders, MOST_COUNT)


def check_delays(delays: Iterable[Delays]) -> None:
    """Raise `Refused` naming the first place whose acceptances are beyond their bound."""
    for place in delays:
        _check(f"acceptances of {place.enterprise} in {place.province} on {place.insured_on}", place.orders, MOST_COUNT)


def check_statement(issued: StatementIssued) -> None:
    """Raise `Refused` naming the first figure of a statement that is beyond its bound."""
    _check("orders", [issued.orders, *(line.orders for line in issued.lines)], MOST_COUNT)
    amounts = [issued.exact_amount, issued.amount]
    for line in issued.lines:
        amounts += [line.base_amount, line.exact_amount, line.amount]
    _check("amount", amounts, MOST_AMOUNT)


def _check(what: str, figures: Iterable[int], most: int) -> None:
    for figure in figures:
        if abs(figure) > most:
            raise Refused(f"{what}: {figure} is beyond {most}")
