"""Orders to charge: ordinary acceptances of several enterprises, preloaded into the topics."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from aiokafka import AIOKafkaProducer

from shared.adapters.kafka import ensure_topics
from shared.adapters.regions import known_regions
from shared.adapters.scheme_files import load_scheme
from shared.contracts.topics import orders_topic
from shared.domain.calendar import SHANGHAI
from shared.runtime.settings import HOUSE, Settings

SCHEME: Final = (HOUSE / "deploy" / "tariffs", HOUSE / "deploy" / "demo")
ENTERPRISES: Final = 3
BEGIN: Final = datetime(2026, 10, 9, 11, 0, tzinfo=SHANGHAI)
WORKERS: Final = 200_000
REGIONS: Final = 500
SERIES: Final = 16


async def preload(bootstrap: str, orders: int) -> None:
    """Send `orders` acceptances of two hours; returns when the broker has them all."""
    settings = Settings(kafka=bootstrap, kafka_idempotent=False)
    topics = dict.fromkeys(map(orders_topic, ride_hailing_enterprises()), settings.order_partitions)
    await ensure_topics(settings, topics)
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, linger_ms=5, max_batch_size=512 * 1024, acks="all", enable_idempotence=False
    )
    await producer.start()
    try:
        for topic, key, value, at_ms in acceptances(orders):
            await producer.send(topic, value, key=key, timestamp_ms=at_ms)
        await producer.flush()
    finally:
        await producer.stop()


def ride_hailing_enterprises() -> list[str]:
    """The demo's first enterprises: ride-hailing, enrolled everywhere."""
    return sorted(load_scheme(SCHEME).enterprises)[:ENTERPRISES]


def _insured_regions() -> list[str]:
    """Places all over the provinces that have joined."""
    joined = load_scheme(SCHEME).joined_at
    regions = sorted(region for region in known_regions() if region[:2] in joined)
    return regions[:: max(1, len(regions) // REGIONS)]


def acceptances(orders: int) -> Iterator[tuple[str, bytes, bytes, int]]:
    """Topic, key, value (380 bytes) and record time of each, in the order of acceptance; every order is another one."""
    enterprises = ride_hailing_enterprises()
    regions = _insured_regions()
    tokens = [sha256(f"worker {number}".encode()).hexdigest() for number in range(WORKERS)]
    step = timedelta(hours=2) / orders
    for number in range(orders):
        uscc, at = enterprises[number % len(enterprises)], BEGIN + number * step
        order, region = f"B{number:019}", regions[number * 31 % len(regions)]
        value = (
            f'{{"specversion":"1.0","id":"{number}","source":"urn:uscc:{uscc}","type":"order.accepted.v1","data":'
            f'{{"order_id":"{order}","worker_id":"{tokens[number * 7919 % WORKERS]}","token_key":1,"industry":'
            f'"ride_hailing","acceptance_region":"{region}","accepted_at":"{at.isoformat()}",'
            f'"series":"s{number % SERIES}","sequence":{number + 1}}}}}'
        )
        yield orders_topic(uscc), order.encode(), value.encode(), int(at.timestamp() * 1000)
