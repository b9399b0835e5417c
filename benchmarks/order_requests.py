"""Request random orders from charging workers over HTTP and report the latency of each answer.

A separate process next to the workers; `BENCH_REQUESTS` has its settings as JSON. Three clients run at once, one for
each kind of request: the rows of an order by its id, a worker's covers at an instant, an order's proof. Each sends one
every EACH_SECONDS, or after the previous answer where that takes longer: so faster answers are no heavier a load.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from benchmarks.orders import Writer
from benchmarks.workers import KEY, House
from deploy.embedded.children import Child, start_child
from shared.runtime.settings import HOUSE

EACH_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 30.0
KINDS: Final = ("order", "covers", "proof")


class Wanted(msgspec.Struct):
    """Which orders exist, and which ports to query for how long; the n-th order was accepted n steps after `begin`.

    Requests begin when the file `signal` exists: the start of this process is not measured.
    """

    ports: list[int]
    begin: datetime
    step_us: float
    orders: int
    seconds: float
    answer: str
    signal: str


def start_requests(house: House, wanted: Wanted) -> Child:
    """Begin; it ends by itself and leaves its answer in the file `wanted.answer`."""
    environment = {"BENCH_REQUESTS": msgspec.json.encode(wanted).decode(), "PATH": os.environ.get("PATH", os.defpath)}
    command = [sys.executable, "-m", "benchmarks.order_requests"]
    return start_child("order-requests", command, env=environment, cwd=HOUSE, log=house.folder / "order-requests.log")


def read_answer(child: Child, wanted: Wanted) -> dict[str, dict[str, float]]:
    """Milliseconds by kind of question, once it has ended; it does so soon after the workers have."""
    if child.wait(PATIENCE_SECONDS) != 0:
        raise RuntimeError(f"order requests failed: {child.last_words()}")
    latencies: dict[str, dict[str, float]] = json.loads(Path(wanted.answer).read_bytes())
    return latencies


async def request_all(writer: Writer, wanted: Wanted) -> dict[str, dict[str, float]]:
    """Send requests until the time is over."""
    until = time.monotonic() + wanted.seconds
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(headers=headers, timeout=PATIENCE_SECONDS, trust_env=False) as api:
        latencies = await asyncio.gather(*(_keep_requesting(api, writer, wanted, kind, until) for kind in KINDS))
    return dict(zip(KINDS, latencies, strict=True))


async def _keep_requesting(
    api: httpx.AsyncClient, writer: Writer, wanted: Wanted, kind: str, until: float
) -> dict[str, float]:
    drawn = random.Random(kind)
    taken: list[float] = []
    due = time.monotonic()
    while time.monotonic() < until or not taken:
        number = drawn.randrange(wanted.orders)
        path, check = _question(writer, wanted, kind, number)
        url = f"http://127.0.0.1:{drawn.choice(wanted.ports)}{path}"
        began = time.perf_counter()
        answer = await api.get(url)
        taken.append((time.perf_counter() - began) * 1_000)
        assert answer.status_code == 200, (url, answer.text)
        assert check(answer.json()), (url, answer.text[:500])
        due = max(due + EACH_SECONDS, time.monotonic())
        await asyncio.sleep(due - time.monotonic())
    taken.sort()
    shares = {"p50": 0.5, "p99": 0.99}
    return {
        "requests": len(taken),
        **{name: round(taken[int(share * len(taken))], 1) for name, share in shares.items()},
        "most": round(taken[-1], 1),
    }


def _question(writer: Writer, wanted: Wanted, kind: str, number: int) -> tuple[str, Callable[[Any], bool]]:
    """The path, and whether an answer to it holds the order."""
    at = wanted.begin + timedelta(microseconds=wanted.step_us) * number
    order, day = f"B{number:019}", at.date().isoformat()
    if kind == "covers":
        instant = (at + timedelta(seconds=1)).isoformat().replace("+", "%2B")
        return (
            f"/v1/workers/{writer.token(number)}/covers?at={instant}",
            lambda reported: any(row["order_id"] == order for row in reported["covers"]),
        )
    tail = "/proof" if kind == "proof" else ""
    return f"/v1/orders/{writer.uscc(number)}/{order}{tail}?day={day}", lambda reported: len(reported["rows"]) == 1


if __name__ == "__main__":
    wanted = msgspec.json.decode(os.environ["BENCH_REQUESTS"], type=Wanted)
    ready = Writer()
    while not Path(wanted.signal).exists():
        time.sleep(0.01)
    Path(wanted.answer).write_text(json.dumps(asyncio.run(request_all(ready, wanted))))
