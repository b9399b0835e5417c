"""Store what each day received and judge a day's volume by its history."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Final, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.register.discrepancies import Discrepancy, EvidenceValue
from services.reporting.register.figure_bounds import check_day, check_delays
from services.reporting.tables import DAY_EXAMINED, DAY_FIGURE
from shared.contracts.findings import Delays, FindingKind
from shared.contracts.manifests import DayClosed, Outcome
from shared.domain.books.plausibility import (
    WEEKS,
    Plausible,
    has_share_risen,
    is_implausible_count,
    plausible_count,
    plausible_share,
)
from shared.domain.scheme.rating import ExclusionReason

HISTORY: Final = timedelta(weeks=WEEKS)
Place = tuple[str, str | None]
"""Enterprise and province; None for all its provinces."""


class Figure(NamedTuple):
    """Acceptances received of a day by its own close, and those excluded as employees'."""

    received: int
    employees: int


NOTHING: Final = Figure(0, 0)
History = dict[Place, dict[date, Figure]]
"""By place, days with any orders; the other days between had none."""


async def keep_figures(connection: AsyncConnection, closed: DayClosed, delays: Iterable[Delays]) -> None:
    """Store what a close received, for its day and for earlier ones; raises `Refused` for absurd figures."""
    delays = list(delays)
    check_day(closed)
    check_delays(delays)
    employees: dict[tuple[date | None, str, str | None], int] = defaultdict(int)
    for total in closed.totals:
        if total.outcome == Outcome.EXCLUDED and total.reason == ExclusionReason.INSURED_AS_EMPLOYEE:
            employees[total.insured_on, total.enterprise, total.province] += total.orders
    rows = [
        {
            "day": closed.day,
            "insured_on": place.insured_on,
            "enterprise": place.enterprise,
            "province": place.province,
            "delays": place.orders,
            "received": sum(place.orders),
            "employees": employees[place.insured_on, place.enterprise, place.province],
        }
        for place in delays
    ]
    if rows:
        await connection.execute(insert(DAY_FIGURE), rows)


async def read_history(connection: AsyncConnection, day: date) -> tuple[list[date], History]:
    """The examined days before this one, and it, with what each place had on them by their own close."""
    query = select(DAY_EXAMINED.c.day).where(DAY_EXAMINED.c.day >= day - HISTORY, DAY_EXAMINED.c.day < day)
    days = [*(await connection.execute(query.order_by(DAY_EXAMINED.c.day))).scalars(), day]
    figures = select(DAY_FIGURE).where(DAY_FIGURE.c.insured_on == DAY_FIGURE.c.day, DAY_FIGURE.c.insured_on.in_(days))
    history: History = defaultdict(dict)
    for row in (await connection.execute(figures)).all():
        history[row.enterprise, row.province][row.insured_on] = Figure(row.received, row.employees)
    return days, _with_sums(history)


def _with_sums(history: History) -> History:
    """Add an enterprise as a whole where it has several provinces."""
    provinces: dict[str, list[Place]] = defaultdict(list)
    for place in history:
        provinces[place[0]].append(place)
    for enterprise, places in provinces.items():
        if len(places) > 1:
            sums: dict[date, Figure] = {}
            for place in places:
                for day, figure in history[place].items():
                    known = sums.get(day, NOTHING)
                    sums[day] = Figure(known.received + figure.received, known.employees + figure.employees)
            history[enterprise, None] = sums
    return history


def judge(days: list[date], history: History, is_regular: Callable[[date], bool]) -> Iterator[Discrepancy]:
    """Implausible figures of the last of the days, by place; a place counts from its first order on."""
    *before, day = days
    for place, figures in sorted(history.items(), key=str):
        known = [earlier for earlier in before if earlier >= min(figures)]
        today = figures.get(day, NOTHING)
        counts = {earlier: figures.get(earlier, NOTHING).received for earlier in known}
        count = plausible_count(counts, day, is_regular)
        if count is not None and is_implausible_count(today.received, count):
            yield _implausible(place, day, today, count)
        past = [(figures.get(earlier, NOTHING).employees, counts[earlier]) for earlier in known]
        share = plausible_share(past, today.received)
        if share is not None and has_share_risen(today.employees, today.received, share):
            yield _risen(place, day, today, share)


def _implausible(place: Place, day: date, today: Figure, plausible: Plausible) -> Discrepancy:
    least, most = round(plausible.least), round(plausible.most)
    detail = f"{today.received} orders of {day}, where {least} to {most} are plausible from its own history"
    evidence = {"received": today.received, "expected": round(plausible.expected), "least": least, "most": most}
    count = abs(today.received - round(plausible.expected))
    return _of_place(FindingKind.IMPLAUSIBLE_COUNT, place, day, count, detail, evidence, plausible)


def _risen(place: Place, day: date, today: Figure, plausible: Plausible) -> Discrepancy:
    share, most = today.employees / today.received, plausible.most
    detail = f"{share:.2%} of {today.received} orders of {day} excluded as employees', where up to {most:.2%} is usual"
    evidence: dict[str, EvidenceValue] = {
        "received": today.received, "excluded": today.employees, "usual_share": f"{plausible.expected:.4f}",
        "most_share": f"{most:.4f}",
    }  # fmt: skip
    return _of_place(FindingKind.EXCLUDED_SHARE, place, day, today.employees, detail, evidence, plausible)


def _of_place(
    kind: FindingKind,
    place: Place,
    day: date,
    count: int,
    detail: str,
    evidence: Mapping[str, EvidenceValue],
    plausible: Plausible,
) -> Discrepancy:
    enterprise, province = place
    return Discrepancy(
        kind=kind,
        key=f"{enterprise}.{province or 'all'}.{day}",
        day=day,
        enterprise=enterprise,
        province=province,
        count=count,
        detail=detail,
        evidence={**evidence, "days_of_history": plausible.days},
    )
