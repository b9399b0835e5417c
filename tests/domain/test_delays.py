"""Delays in fixed buckets."""

import pytest

from shared.domain.books.delays import BOUNDS_SECONDS, BUCKETS, add_up, bucket_of


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(-5, 0), (0, 0), (59.999, 0), (60, 1), (3_599, 2), (3_600, 3), (86_400, 5), (863_999, 6), (864_000, 7)],
)
def test_a_bound_begins_the_next_bucket(seconds: float, bucket: int) -> None:
    assert bucket_of(seconds) == bucket


def test_every_bound_has_its_bucket() -> None:
    assert [bucket_of(bound) for bound in BOUNDS_SECONDS] == list(range(1, BUCKETS))


def test_distributions_add_up_bucket_by_bucket() -> None:
    assert add_up([[1] * BUCKETS, [*range(BUCKETS)]]) == [1 + n for n in range(BUCKETS)]
    assert add_up([]) == [0] * BUCKETS
