"""Skip lost events: moves a position over offsets that cannot be read any more, by an operator's decision.

The enterprise sends lost events again, or they stay uncharged. The operator is shown the lost ranges first. A position
is moved by compare-and-set to where its log begins now, and its old value is kept with who decided so and why; workers
follow by themselves.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from aiokafka import TopicPartition
from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from services.charging.ingest.partition_logs import PartitionLogs, describe_log_fault
from services.charging.store.positions import PartitionLog, StoredPosition
from shared.adapters.http.decision_routes import store_decision
from shared.adapters.kafka.admin.log_ends import open_onlooker
from shared.adapters.kafka.batch_polling import find_unreadable_batches
from shared.adapters.kafka.security import Client
from shared.adapters.postgres.decisions import Decisions
from shared.adapters.postgres.pool import Pool
from shared.contracts.topics import ORDERS_PATTERN
from shared.domain.errors import Refused
from shared.runtime.access import AccessKeys
from shared.runtime.http.types import Int4, Int8, Words

OrdersTopic = Annotated[str, Path(pattern=ORDERS_PATTERN)]
Said = Annotated[Words, Field(min_length=1, max_length=500)]


@dataclass(frozen=True, slots=True)
class LostRange:
    """One partition that cannot be read on: where it was charged up to, where it would be read on from."""

    partition: int
    from_offset: int
    to_offset: int
    reason: str


class Shown(BaseModel):
    """What an operator was shown of one partition and agrees to."""

    model_config = ConfigDict(extra="forbid")
    partition: Int4
    from_offset: Int8
    to_offset: Int8


class Decision(BaseModel):
    """Move on over these, and no others."""

    model_config = ConfigDict(extra="forbid")
    losses: Annotated[list[Shown], Field(min_length=1)]
    why: Said


class LostEventSkipper:
    """Reads logs with a separate client: any worker can do it, also one that does not hold the topic."""

    def __init__(
        self, pool: Pool, client: Client, cluster_id: Callable[[], str | None], paused: Collection[str]
    ) -> None:
        self._pool, self._client = pool, client
        self._cluster_id, self._paused = cluster_id, paused
        self._logs = PartitionLogs(client)

    async def find(self, topic: str) -> list[LostRange]:
        """Find the losses; raises Refused when the topic does not exist, or the cluster is not known yet."""
        return [loss for loss, _ in await self._read_losses(topic)]

    async def move(self, topic: str, decision: Decision, who: str) -> int:
        """Move the positions that were shown, all or none; raises Refused when something is otherwise by now."""
        lost = await self._read_losses(topic)
        shown = sorted((item.partition, item.from_offset, item.to_offset) for item in decision.losses)
        if shown != [(loss.partition, loss.from_offset, loss.to_offset) for loss, _ in lost]:
            raise Refused(f"{topic} is not as it was shown; read the losses again")
        async with self._pool.acquire() as connection, connection.transaction():
            for loss, log in lost:
                moved = await connection.fetchval(
                    "select charging.move_on($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    self._cluster_id(), topic, loss.partition, loss.from_offset, loss.to_offset, log.topic_id,
                    loss.reason, who, decision.why,
                )  # fmt: skip
                if not moved:
                    raise Refused(f"{topic}/{loss.partition} is no more at {loss.from_offset}; read the losses again")
        return len(lost)

    async def _read_losses(self, topic: str) -> list[tuple[LostRange, PartitionLog]]:
        rows = await self._pool.fetch(
            "select partition, next_offset, topic_id from charging.position where (cluster_id, topic) = ($1, $2)",
            self._cluster_id(),
            topic,
        )
        places = {
            TopicPartition(topic, row["partition"]): StoredPosition(row["next_offset"], row["topic_id"]) for row in rows
        }
        async with open_onlooker(self._client) as client:
            logs = await self._logs.read(client, places)
            logs = await self._logs.confirm(logs, {tp: place.position for tp, place in places.items()})
            faults = {tp: describe_log_fault(place, place.position, logs[tp]) for tp, place in places.items()}
            spans = {
                tp: (place.position, logs[tp].end)
                for tp, place in places.items()
                if faults[tp] is None and place.position < logs[tp].end and topic in self._paused
            }
            unreadable = await find_unreadable_batches(client, spans)
        losses = [
            (LostRange(tp.partition, places[tp].position, logs[tp].first, fault), logs[tp])
            for tp, fault in faults.items()
            if fault is not None
        ]
        losses += [
            (LostRange(tp.partition, places[tp].position, batch.next, f"unreadable: {batch}"), logs[tp])
            for tp, batch in unreadable.items()
        ]
        return sorted(losses, key=lambda loss: loss[0].partition)


def make_skip_router(keys: AccessKeys, decisions: Decisions, moving: LostEventSkipper) -> APIRouter:
    """The routes; they need a service or operator key."""
    router = APIRouter(prefix="/v1/topics/{topic}")
    authorized = keys.require("service")

    @router.get("/losses", dependencies=[Depends(authorized)])
    async def losses(topic: OrdersTopic) -> dict[str, Any]:
        return {"topic": topic, "losses": _shown(await moving.find(topic))}

    @router.post("/move-on", dependencies=[Depends(authorized)])
    async def move_on(topic: OrdersTopic, decision: Decision, request: Request) -> dict[str, Any]:
        who = (await store_decision(decisions, request, decision)).person
        return {"topic": topic, "moved": await moving.move(topic, decision, who)}

    return router


def _shown(losses: Sequence[LostRange]) -> list[dict[str, Any]]:
    return [asdict(loss) for loss in losses]
