"""Trials: what an event would end as, were it sent now: read by the same reader as a batch, and written nowhere."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException
from pydantic import AwareDatetime, Base64Bytes, BaseModel, ConfigDict, Field

from services.charging.ingest.batch_reader import EventReader
from services.charging.rows.batch import Batch
from services.charging.rows.row_kinds import LEAF_INDEX
from services.charging.store.duplicates import compare_rows, fill_inbox
from shared.adapters.postgres.pool import Connection, Pool
from shared.contracts.manifests import Outcome
from shared.contracts.topics import orders_topic
from shared.domain.calendar import FIRST_DAY, day_start, numbered_day, since_epoch_ms
from shared.domain.money import Amount, yuan
from shared.runtime import clock
from shared.runtime.access import AccessKeys
from shared.runtime.http.types import USCC

MOST_BYTES: Final = 256 * 1024
"""A larger body is refused here; on a topic it would be parked, as whatever is above DANBAO_MAX_EVENT_BYTES."""
_DECLARED: Final = "select body, revision from charging.declaration where enterprise = $1 and declaration_id = $2"


@dataclass(slots=True)
class Tried:
    """A record that is on no topic."""

    topic: str
    timestamp: int
    value: bytes | None
    partition: int = 0
    offset: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of it: an outcome, as manifests count it, and what it stands on.

    `reason`: why it is excluded or parked, or what is recorded; `detail`: the same for a person, where it is parked.
    """

    outcome: Outcome
    reason: str | None
    detail: str | None
    insured_on: date | None
    province: str | None
    industry: str | None
    tariff_line: int | None
    amount_yuan: str | None


class Trials:
    """Tries events; `make_reader` makes a reader that no worker uses, at the first of them."""

    def __init__(self, pool: Pool, make_reader: Callable[[], EventReader]) -> None:
        self._pool, self._make_reader = pool, make_reader
        self._reader: EventReader | None = None
        self._turn = asyncio.Lock()  # one at a time: who tries much must not take the workers' connections

    async def try_event(self, enterprise: str, value: bytes, as_of: datetime) -> Trial:
        """The outcome for this enterprise's topic at an instant, in the place of the record's time."""
        if self._reader is None:
            self._reader = self._make_reader()
        since_ms = since_epoch_ms(as_of)
        batch = self._reader.read([Tried(orders_topic(enterprise), since_ms, value)], 1)
        if batch.rows or batch.declarations:
            async with self._turn, self._pool.acquire() as connection:
                await _look_what_is_met(connection, batch)
        return _told(batch)


async def _look_what_is_met(connection: Connection, batch: Batch) -> None:
    """Tell in `batch.totals` what `write_batch` would find stored already: repeats and conflicts."""
    undone = connection.transaction()
    await undone.start()
    try:
        await fill_inbox(connection, batch.rows)
        same = await compare_rows(connection, [row[LEAF_INDEX] for row in batch.rows])
    finally:
        await undone.rollback()
    for row in batch.declarations:
        known = await connection.fetchrow(_DECLARED, row.enterprise, row.declaration_id)
        if known is not None:
            same[row.leaf_index] = tuple(known) == row.content
    for index, is_same in same.items():
        batch.totals[index] = batch.totals[index]._replace(
            outcome=Outcome.REPEAT if is_same else Outcome.CONFLICT, reason=None, tariff_line=None, base_amount=0
        )


def _told(batch: Batch) -> Trial:
    (total,) = batch.totals
    return Trial(
        outcome=total.outcome,
        reason=total.reason,
        detail=batch.parked[0].detail if batch.parked else None,
        insured_on=None if total.insured_on < 0 else numbered_day(total.insured_on),
        province=total.province,
        industry=total.industry,
        tariff_line=total.tariff_line,
        amount_yuan=yuan(Amount(total.base_amount)) if total.outcome is Outcome.CHARGED else None,
    )


class Wish(BaseModel):
    """An event to try: whose, its bytes in base64, and the instant it is tried as of; now where none is given."""

    model_config = ConfigDict(extra="forbid")
    enterprise: Annotated[str, Field(pattern=USCC)]
    event: Base64Bytes
    as_of: Annotated[AwareDatetime, Field(ge=day_start(FIRST_DAY), lt=day_start(date(2099, 1, 1)))] | None = None


def make_trial_router(keys: AccessKeys, trials: Trials) -> APIRouter:
    """POST /v1/trials, for services and operators: whoever asks on behalf of an enterprise has to know that it may."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service"))])

    @router.post("/trials")
    async def try_event(wish: Wish) -> dict[str, Any]:
        if len(wish.event) > MOST_BYTES:
            raise HTTPException(413, f"an event of more than {MOST_BYTES} bytes")
        return {"trial": await trials.try_event(wish.enterprise, wish.event, wish.as_of or clock.now())}

    return router
