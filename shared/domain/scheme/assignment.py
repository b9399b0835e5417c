"""An assignment (派单) is an order, a worker and an acceptance: which acceptances begin one, and which were sent again.

A worker who gives an order back and takes it again has two assignments, each charged by its own acceptance. Without a
cancellation in between, a second acceptance of the order by the worker is a re-send (重报): of both the first received
holds. In between is meant by the times in the events, so the order of their arrival does not matter.
"""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from shared.domain.calendar import day_start

RESEND_SPAN: Final = timedelta(days=31)
"""Acceptances further apart are two assignments: no event is taken so late (DANBAO_MAX_AGE_DAYS, 30 unless set)."""


class Acceptance(NamedTuple):
    """An acceptance of one order by one worker; of two the lower `received` came first."""

    accepted_at: datetime
    received: tuple[int, int]


class Cancellation(NamedTuple):
    """A cancellation of that order and worker; `accepted_at` is the acceptance that it names."""

    accepted_at: datetime
    cancelled_at: datetime


def find_resends(
    acceptances: Collection[Acceptance], cancellations: Collection[Cancellation]
) -> dict[datetime, datetime]:
    """Find the acceptances of one order and worker that are re-sends, with the time of the one that holds instead."""
    resends: dict[datetime, datetime] = {}
    for one in acceptances:
        alike = (other for other in acceptances if _is_one_assignment(one, other, cancellations))
        first = min(alike, key=lambda other: other.received)
        if first != one:
            resends[one.accepted_at] = first.accepted_at
    return resends


def _is_one_assignment(one: Acceptance, other: Acceptance, cancellations: Collection[Cancellation]) -> bool:
    return abs(one.accepted_at - other.accepted_at) <= RESEND_SPAN and (
        _times_given_back(one, cancellations) == _times_given_back(other, cancellations)
    )


def _times_given_back(acceptance: Acceptance, cancellations: Collection[Cancellation]) -> int:
    """How often the worker gave the order back before this acceptance, or at its instant."""
    at = acceptance.accepted_at
    return sum(given.accepted_at < at and given.cancelled_at <= at for given in cancellations)


def is_month_end(day: date) -> bool:
    """The day is the last one of its month: its close searches for re-sends over the whole month and before it."""
    return (day + timedelta(days=1)).day == 1


def searched_between(day: date) -> tuple[datetime, datetime]:
    """Between which instants acceptances lie, among which the close of a day searches for re-sends.

    An acceptance that came since the last close of a month was accepted at most RESEND_SPAN before the month began, and
    what it repeats as much before that.
    """
    first = day.replace(day=1) - 2 * RESEND_SPAN if is_month_end(day) else day - timedelta(days=1)
    return day_start(first), day_start(day + timedelta(days=2))
