"""An enterprise drops 1 % of its orders before it numbers them: series and manifest agree with what it sends.

Noticed by a worker who requests the receipts of the day, at once, and by an independent total, at the day's close
(`test_enterprise.py` has both on real rows). Here: the share of workers that must request them to notice within a day
with 99 %. With `hit` workers who lack an order and a random share q of workers who request receipts,

    noticed = 1 - (1 - q)^hit,   so   q = 1 - 0.01^(1 / hit).

`hit` is what the enterprise chooses: at random it hits nearly every order another worker, and at worst for us it leaves
out all orders of few workers. An enterprise that knows who never requests receipts is not caught by workers at all.
"""

from math import sqrt
from random import Random

import pytest

from tests.attacks.http.raw_requests import chance_noticed, fewest_hit, hit_at_random, is_noticed, share_to_request

pytestmark = pytest.mark.exhaustive

DROPPED, NOTICED = 0.01, 0.99
ORDERS_A_WORKER = 20

NEEDED = [
    # orders a day, how they are dropped, workers hit, share of workers who must request receipts
    (10_000, "one of a worker", 100, 0.0450),
    (10_000, "at random", 91, 0.0494),
    (10_000, "all of few workers", 5, 0.6019),
    (1_000_000, "one of a worker", 10_000, 0.000460),
    (1_000_000, "at random", 9_104, 0.000506),
    (1_000_000, "all of few workers", 500, 0.00917),
]


@pytest.mark.parametrize(("orders", "how", "hit", "share"), NEEDED)
def test_the_share_of_workers_that_must_ask(orders: int, how: str, hit: int, share: float) -> None:
    hits = {
        "one of a worker": round(orders * DROPPED),
        "at random": hit_at_random(orders, ORDERS_A_WORKER, DROPPED),
        "all of few workers": fewest_hit(orders, ORDERS_A_WORKER, DROPPED),
    }[how]
    assert hits == hit
    assert share_to_request(hit, NOTICED) == pytest.approx(share, rel=2e-3)
    assert chance_noticed(share_to_request(hit, NOTICED), hit) == pytest.approx(NOTICED)


@pytest.mark.parametrize(("orders", "days"), [(10_000, 4_000), (1_000_000, 200)])
@pytest.mark.parametrize("noticed", [0.5, NOTICED])
def test_days_that_are_played_agree_with_the_formula(orders: int, days: int, noticed: float) -> None:
    """Seeded; within four standard errors."""
    rng, request_rate = Random(20_261_123), share_to_request(hit_at_random(orders, ORDERS_A_WORKER, DROPPED), noticed)
    seen = sum(is_noticed(rng, orders, ORDERS_A_WORKER, DROPPED, request_rate) for _ in range(days)) / days
    assert abs(seen - noticed) <= 4 * sqrt(noticed * (1 - noticed) / days)
