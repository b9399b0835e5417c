"""Compute the share of workers who must request receipts so that orders dropped before numbering are noticed."""

from math import ceil, expm1, log1p
from random import Random


def chance_noticed(request_rate: float, hit: int) -> float:
    """Probability that at least one of `hit` affected workers requests receipts, at the rate `request_rate`."""
    return -expm1(hit * log1p(-request_rate))


def share_to_request(hit: int, noticed: float) -> float:
    """The share of workers that must request receipts: 1 - (1 - noticed)^(1 / hit)."""
    return -expm1(log1p(-noticed) / hit)


def hit_at_random(orders: int, a_worker: int, dropped: float) -> int:
    """Workers (expected, rounded down) who lack an order when a share is dropped at random."""
    workers = orders // a_worker
    return int(workers * -expm1(a_worker * log1p(-dropped)))


def fewest_hit(orders: int, a_worker: int, dropped: float) -> int:
    """Workers who lack an order when all of a worker's orders are dropped before another's are touched."""
    return ceil(orders * dropped / a_worker)


def is_noticed(rng: Random, orders: int, a_worker: int, dropped: float, request_rate: float) -> bool:
    """One day played: orders dropped at random; each affected worker requests receipts or does not."""
    gone = rng.sample(range(orders), round(orders * dropped))
    return any(rng.random() < request_rate for _ in {order // a_worker for order in gone})
