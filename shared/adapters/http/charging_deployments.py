"""Workers of charging's deployments, joined: who rode for several of them is one worker (docs/decisions/0012).

What a deployment counted at a close does not change, so every request here can be repeated.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import httpx
import structlog
from pydantic import JsonValue

from shared.adapters.http.bounded_answer import BoundedAnswer, describe_status, need_success, read_object, send_request
from shared.adapters.http.clients import make_client
from shared.domain.calendar import day_number, numbered_day
from shared.domain.errors import Retry, WrongAnswer
from shared.runtime.deployments import Deployments
from shared.runtime.settings import Settings

log = structlog.get_logger(__name__)
PLACE_BYTES: Final = 6
RECORD_BYTES: Final = PLACE_BYTES + 32
"""A worker-day: days since 1970 (4 bytes), province (2), both big-endian, then the token (32)."""
BLOCK_RECORDS: Final = 8_192
PAGE: Final = 10_000
"""Tokens in one request or answer."""
MOST_REFUSAL_BYTES: Final = 65_536
"""Bytes of a refusal that are read for its words."""
PATIENCE_SECONDS: Final = 300.0
"""How long a deployment may take until its stream begins: it sorts a day's workers first."""
Place = tuple[date, str]
"""Insured day, province."""


@dataclass(slots=True)
class _Stream:
    """Records of one deployment, ascending; those of `waiting` are not merged yet."""

    name: str
    blocks: AsyncIterator[bytes]
    waiting: list[bytes] = field(default_factory=list)
    has_ended: bool = False

    async def fill(self) -> None:
        """Read the next block, if all that was read is merged."""
        if self.waiting or self.has_ended:
            return
        block = await anext(self.blocks, b"")
        records = [block[at : at + RECORD_BYTES] for at in range(0, len(block), RECORD_BYTES)]
        if len(block) % RECORD_BYTES or sorted(records) != records:
            raise Retry(f"worker-days of {self.name}: not sorted records of {RECORD_BYTES} bytes")
        self.waiting, self.has_ended = records, not records

    def take_until(self, bound: bytes) -> list[bytes]:
        """Take out what is not above `bound`."""
        end = bisect_right(self.waiting, bound)
        taken, self.waiting = self.waiting[:end], self.waiting[end:]
        return taken


@dataclass(frozen=True, slots=True)
class ChargingWorkers:
    """Queries every deployment, by name; raises `Retry` naming one that does not answer."""

    clients: Mapping[str, httpx.AsyncClient]

    async def first_time(self, day: date, province: str) -> list[str]:
        """Tokens of workers first charged in the province by the close of that day, sorted."""
        reported = {name: await self._registered(name, day, province) for name in self.clients}
        return sorted(await self._fresh(reported, day, province, None))

    async def count_worker_days(self, day: date) -> dict[Place, int]:
        """Workers that the close of `day` counted, distinct over all; late ones whom no close had counted before."""
        counts: Counter[bytes] = Counter()
        closing = day_number(day).to_bytes(4)
        async with AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(self._stream(name, day)) for name in self.clients]
            async for window in _windows(streams):
                records = set().union(*window)
                counts.update(record[:PLACE_BYTES] for record in records if record >= closing)
                late: dict[bytes, list[str]] = defaultdict(list)
                for record in records:
                    if record < closing:
                        late[record[:PLACE_BYTES]].append(record[PLACE_BYTES:].hex())
                for place, workers in late.items():
                    insured_on, province = _place(place)
                    # The deployment that reported a late worker is queried about him, too, so none is named here.
                    counts[place] += len(await self._fresh({"": workers}, day, province, insured_on))
        return {_place(place): counts[place] for place in sorted(counts) if counts[place]}

    async def _fresh(
        self, reported: Mapping[str, Collection[str]], day: date, province: str, insured_on: date | None
    ) -> set[str]:
        """Reported workers, except those whom a deployment other than their reporter knew before the day's close."""
        everybody: set[str] = set().union(*reported.values())
        for name in self.clients:
            others = sorted(everybody.difference(reported.get(name, ())))
            for page in _pages(others):
                wish: dict[str, JsonValue] = {
                    "province": province,
                    "insured_on": None if insured_on is None else insured_on.isoformat(),
                    "workers": [*page],
                }
                path = f"/v1/days/{day}/counted-before"
                answer = self._read_workers(
                    name, path, await send_request(self.clients[name], name, "POST", path, json=wish)
                )
                everybody.difference_update(answer)
        return everybody

    async def _registered(self, name: str, day: date, province: str) -> list[str]:
        registered: list[str] = []
        while True:
            after = registered[-1] if registered else ""
            wanted: dict[str, str | int] = {"province": province, "after": after, "limit": PAGE}
            path = f"/v1/days/{day}/registrations"
            workers = self._read_workers(
                name, path, await send_request(self.clients[name], name, "GET", path, params=wanted)
            )
            if any(worker <= after for worker in workers) or sorted(workers) != workers:
                raise WrongAnswer(f"{name}: registrations of {day} in {province} are not sorted")
            registered += workers
            if len(workers) < PAGE:
                return registered

    @staticmethod
    def _read_workers(name: str, path: str, answer: BoundedAnswer) -> list[str]:
        workers = read_object(name, path, need_success(name, path, answer)).get("workers")
        if not isinstance(workers, list) or not all(isinstance(worker, str) for worker in workers):
            raise WrongAnswer(f"{name}: no list of workers")
        return workers

    @asynccontextmanager
    async def _stream(self, name: str, day: date) -> AsyncIterator[_Stream]:
        path = f"/v1/days/{day}/worker-days"
        try:
            async with self.clients[name].stream("GET", path, timeout=PATIENCE_SECONDS) as answer:
                if not answer.is_success:
                    body = await anext(answer.aiter_bytes(MOST_REFUSAL_BYTES), b"")
                    said = describe_status(BoundedAnswer(answer.status_code, body))
                    raise Retry(f"{name}: worker-days of {day}: {said}")
                yield _Stream(name, answer.aiter_bytes(BLOCK_RECORDS * RECORD_BYTES))
        except httpx.HTTPError as error:
            log.warning("worker-days break off", service=name, path=path, error=type(error).__name__)
            raise Retry(f"{name}: worker-days of {day}: {type(error).__name__}") from error


@asynccontextmanager
async def open_charging(
    deployments: Deployments, settings: Settings, timeout_seconds: float = 10.0
) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """A client for each deployment, by name, showing this process's key for charging; closed at the end."""
    headers = {"Authorization": f"Bearer {settings.charging_key.get_secret_value()}"}
    async with AsyncExitStack() as stack:
        yield {
            deployment.name: await stack.enter_async_context(
                make_client(settings, deployment.url, timeout_seconds, headers=headers)
            )
            for deployment in deployments
        }


async def _windows(streams: Sequence[_Stream]) -> AsyncIterator[list[list[bytes]]]:
    """The next records of every stream, none of which comes again in a later window; at most a block of each."""
    while True:
        for stream in streams:
            await stream.fill()
        ends = [stream.waiting[-1] for stream in streams if stream.waiting]
        if not ends:
            return
        yield [stream.take_until(min(ends)) for stream in streams]


def _place(key: bytes) -> Place:
    return numbered_day(int.from_bytes(key[:4])), f"{int.from_bytes(key[4:]):02}"


def _pages(workers: list[str]) -> Iterable[list[str]]:
    return (workers[at : at + PAGE] for at in range(0, len(workers), PAGE))
