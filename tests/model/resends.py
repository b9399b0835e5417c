"""The auditor's rule for orders that were sent again: pairs of acceptances of one order and worker, one by one."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta

from tests.model.rows import Row

LONGEST = timedelta(days=31)


def first_searched(day: date) -> date:
    """The day before; at the end of a month two longest months before the month began."""
    is_month_end = (day + timedelta(days=1)).day == 1
    return day.replace(day=1) - 2 * LONGEST if is_month_end else day - timedelta(days=1)


def judged(rows: Iterable[Row]) -> Iterator[tuple[Row, bool]]:
    """The acceptances among the rows, each with whether it repeats another one."""
    lives: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row.kind in {"accepted", "cancelled"}:
            lives.setdefault((*row.key[:2], row.said["worker_id"]), []).append(row)
    for life in lives.values():
        accepted = [row for row in life if row.kind == "accepted"]
        given_back = [row for row in life if row.kind == "cancelled"]
        for row in accepted:
            yield row, any(_repeats(row, other, given_back) for other in accepted)


def _repeats(row: Row, other: Row, given_back: list[Row]) -> bool:
    """Another acceptance was received first, and between the times of the two the order was not given back."""
    earlier, later = sorted((row, other), key=lambda each: each.key[3])
    start, end = earlier.key[3], later.key[3]
    if other.place >= row.place or end - start > LONGEST:
        return False
    return not any(_is_between(one.key[3], one.said["cancelled_at"], start, end) for one in given_back)


def _is_between(accepted_at: datetime, cancelled_at: datetime, start: datetime, end: datetime) -> bool:
    """A cancellation of an acceptance before `end` falls between; at `start` only if it is of that acceptance."""
    is_of_start = accepted_at == start
    return accepted_at < end and (start < cancelled_at <= end or (is_of_start and cancelled_at == start))
