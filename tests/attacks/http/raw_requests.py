"""How many workers have to ask for the receipts of their day, so that orders dropped before numbering are noticed."""

from math import ceil, expm1, log1p
from random import Random


def chance_noticed(asking: float, hit: int) -> float:
    """That at least one of `hit` workers who lack an order asks, each doing so with the chance `asking`."""
    return -expm1(hit * log1p(-asking))


def share_to_ask(hit: int, noticed: float) -> float:
    """The share of workers that must ask: 1 - (1 - noticed)^(1 / hit)."""
    return -expm1(log1p(-noticed) / hit)


def hit_at_random(orders: int, a_worker: int, dropped: float) -> int:
    """Workers (expected, rounded down) who lack an order when a share is dropped at random."""
    workers = orders // a_worker
    return int(workers * -expm1(a_worker * log1p(-dropped)))


def fewest_hit(orders: int, a_worker: int, dropped: float) -> int:
    """Workers who lack an order when all of a worker's orders are dropped before another's are touched."""
    return ceil(orders * dropped / a_worker)


def is_noticed(rng: Random, orders: int, a_worker: int, dropped: float, asking: float) -> bool:
    """One day played: orders dropped at random, and each worker who lacks one asks or does not."""
    gone = rng.sample(range(orders), round(orders * dropped))
    return any(rng.random() < asking for _ in {order // a_worker for order in gone})
