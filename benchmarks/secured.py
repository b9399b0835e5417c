"""Measure charging from Apache Kafka over SASL and TLS against plain, alternating: `python -m benchmarks.secured`.

One node with its log on disk; the worker logs in with charging's own principal. Needs Java and Kafka's jars as
`make test-kafka` does, so it is not a row of `make bench`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

from benchmarks.orders import acceptances, preload
from benchmarks.workers import cpu_an_event, embedded_parts, open_house
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.stack import EmbeddedStack
from tests.support.apache_kafka import ApacheKafka
from tests.support.servers import client_settings

ORDERS: Final = 200_000
TURNS: Final = (False, True, True, False)
"""Secured or not: each as often first as second."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a house of workers needs of a stack, with Apache Kafka in the broker's place."""

    embedded: EmbeddedStack
    broker: ApacheKafka

    @property
    def kafka(self) -> str:
        """Its address."""
        return self.broker.bootstrap

    @property
    def postgres(self) -> EmbeddedPostgres:
        """The embedded one."""
        return self.embedded.postgres

    def database(self) -> str:
        """Its owner's URL."""
        return self.embedded.database()


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Variables of this process, for the producer that sends the orders."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)


async def measure(kafka: ApacheKafka, stack: EmbeddedStack, folder: Path, orders: int) -> dict[str, Any]:
    """Orders a second of one worker, and microseconds of CPU an order."""
    with environment(kafka.variables()):
        await preload(kafka.bootstrap, acceptances(orders))
    async with open_house(cast("EmbeddedStack", Parts(stack, kafka)), folder) as house:
        house.extra = client_settings(kafka, "charging")
        house.start_worker()
        samples = await house.wait_for(orders)
        stretch = await house.stretch(1, orders)
        return {"rate": round(stretch.rate), **cpu_an_event(samples, stretch)}


def main(orders: int) -> None:
    """Measure and print."""
    measured: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for is_secured in TURNS:
        with ApacheKafka(is_secured=is_secured) as kafka, embedded_parts() as (stack, folder):
            measured[is_secured].append(asyncio.run(measure(kafka, stack, folder, orders)))
        print("secured" if is_secured else "plain", json.dumps(measured[is_secured][-1]), flush=True)
    rates = {is_secured: median([run["rate"] for run in runs]) for is_secured, runs in measured.items()}
    print(
        json.dumps({"ratio": round(rates[True] / rates[False], 3), "plain": measured[False], "secured": measured[True]})
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS)
