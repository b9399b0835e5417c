"""Whom the closed days count, computed from first dates, against a check of each worker alone."""

from collections import Counter, defaultdict
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.audit.charging.workers import Workers

FIRST = date(2026, 10, 1)
DAYS = st.integers(0, 3).map(lambda n: FIRST + timedelta(days=n))
Met = tuple[date, date, str, str, bytes]
"""Counted on, insured day, enterprise, province, worker."""
MEETINGS = st.lists(
    st.tuples(DAYS, DAYS, st.sampled_from(["A", "B"]), st.sampled_from(["11", "44"]), st.sampled_from([b"v", b"w"]))
)


def workers_of(meetings: list[Met]) -> Workers:
    workers = Workers()
    for counted_on, day, uscc, province, worker in meetings:
        workers.met[counted_on, (day, uscc, province)].add(worker)
    return workers


def first_days(meetings: list[Met]) -> tuple[dict[tuple[object, ...], date], dict[tuple[object, ...], date]]:
    """The first day that counts each worker of a day and place, and of a province."""
    distinct: dict[tuple[object, ...], date] = {}
    new: dict[tuple[object, ...], date] = {}
    for counted_on, day, uscc, province, worker in meetings:
        for known, key in (
            (distinct, (day, uscc, province, worker)),
            (distinct, (day, None, province, worker)),
            (new, (province, worker)),
        ):
            known[key] = min(counted_on, known.get(key, counted_on))
    return distinct, new


@given(MEETINGS)
def test_each_worker_counts_on_the_first_day_that_meets_him(meetings: list[Met]) -> None:
    distinct, new = first_days(meetings)
    counts: dict[date, Counter[object]] = defaultdict(Counter)
    for (*place, _), counted_on in distinct.items():
        counts[counted_on][tuple(place)] += 1
    workers = workers_of(meetings)
    assert workers.distinct() == counts
    reported = {(province, worker): day for (day, province), met in workers.first_time().items() for worker in met}
    assert reported == new


@given(MEETINGS, MEETINGS)
def test_deployments_together_count_as_one(some: list[Met], others: list[Met]) -> None:
    joined = workers_of(some)
    joined.join(workers_of(others))
    whole = workers_of(some + others)
    assert (joined.distinct(), joined.first_time()) == (whole.distinct(), whole.first_time())
