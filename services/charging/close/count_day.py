"""The count for a close: settle within the cut, then count over exactly its batches, and answer once.

Everything is one transaction, so a crash leaves either no trace or the whole answer; to a repeated question the
stored answer is given again. An answer belongs to its question, and a settlement to its cut, by their SHA-256: no
earlier question about the day, even under the same attempt, can take their place.
"""

from typing import Final

import msgspec
from sqlalchemy import Integer, bindparam, exists, func, select

from services.charging.close.count_workers import count_first_time, count_workers
from services.charging.close.day_totals import hours_of, read_sums, totals_of
from services.charging.close.settlement import settle_within
from services.charging.cut import Batches, find_late, resolve
from services.charging.numbers.assessment import assess, count_assessed
from services.charging.numbers.gaps import judge_days
from services.charging.numbers.outside_declaration import count_outside
from services.charging.numbers.seen_ranges import Reach, account_numbers
from services.charging.parking.parked_account import account_parked
from services.charging.predicates import DAY, END, reached, same_order
from services.charging.store.day_partitions import seal_partition
from services.charging.store.derived_rows import lock_settling
from services.charging.tables import day_count, day_settlement, entry, manifest, outbox, resend, unsettled
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.pool import Connection, Pool
from shared.adapters.postgres.queries.statements import Selected, insert_into, query, values
from shared.contracts.manifests import DayClosing, DayCounted, PremiumsCharged, cut_hash, question_hash
from shared.contracts.topics import DAYS_COUNTED, MANIFESTS
from shared.domain.calendar import day_bounds
from shared.domain.evidence.leaf import RowKind
from shared.domain.scheme.rating import Scheme


class _Answer(msgspec.Struct, frozen=True):
    question: str
    payload: bytes


class _KnownSettlement(msgspec.Struct, frozen=True):
    """A settlement of a day's close; without batch and payload, nothing was to settle."""

    cut: str
    batch: int | None
    payload: bytes | None


def _select_unmatched() -> Selected:
    """Count cancellations that wait for their acceptance."""
    cancellation, acceptance = entry.alias("c"), entry.alias("a")
    has_acceptance = exists().where(
        same_order(acceptance, unsettled),
        acceptance.c.kind == RowKind.ACCEPTANCE,
        acceptance.c.worker_rest == cancellation.c.worker_rest,
    )
    return (
        select(func.count())
        .select_from(unsettled)
        .join(cancellation, same_order(cancellation, unsettled))
        .where(cancellation.c.kind == RowKind.CANCELLATION, unsettled.c.accepted_at < END, reached(unsettled))
        .where(~has_acceptance)
    )


# For statements over a whole day: to sort and hash in memory, and to share the rows out among parallel workers, each of
# which hands on its groups. There are far fewer of these than the planner can know: by its usual price it would not.
_SETTINGS: Final = "set local work_mem = '128MB'; set local parallel_tuple_cost = 0.05"
_UNMATCHED: Final = values(_select_unmatched(), int)
_RESENDS: Final = values(select(func.count()).where(resend.c.found_on == DAY), int)
_ANSWERS: Final = query(
    select(day_count.c.question, day_count.c.payload)
    .where(day_count.c.day == DAY, day_count.c.attempt == bindparam("attempt", type_=Integer))
    .order_by(day_count.c.question.desc()),
    _Answer,
)
_UNNAMED_ANSWERS: Final = values(
    select(day_count.c.payload).where(day_count.c.day == DAY, day_count.c.question == ""), bytes
)
_SETTLEMENTS: Final = query(
    select(day_settlement.c.cut, day_settlement.c.batch, manifest.c.payload)
    .outerjoin_from(day_settlement, manifest, manifest.c.batch == day_settlement.c.batch)
    .where(day_settlement.c.day == DAY)
    .order_by(day_settlement.c.cut.desc()),
    _KnownSettlement,
)
_KEEP_ANSWER: Final = insert_into(day_count, "day", "attempt", "payload", "question")
_KEEP_SETTLEMENT: Final = insert_into(day_settlement, "day", "batch", "cut")
_SEND: Final = insert_into(outbox, "topic", "key", "payload")


async def count_day(pool: Pool, scheme: Scheme, closing: DayClosing, author: AuthorSigner, gap_days: int = 7) -> None:
    """Answer a `days.closing.v1` through the outbox; numbers that are missing for `gap_days` are presumed orders."""
    async with pool.acquire() as connection:
        async with connection.transaction():
            await lock_settling(connection)
            await connection.execute(_SETTINGS)
            payload = await _read_answer(connection, closing)
            if payload is None:
                payload = msgspec.json.encode(await _count(connection, scheme, closing, author, gap_days))
                question = question_hash(closing)
                await _KEEP_ANSWER.execute(
                    connection, day=closing.day, attempt=closing.attempt, payload=payload, question=question
                )
            await _SEND.execute(connection, topic=DAYS_COUNTED, key=closing.day.isoformat(), payload=payload)
        await seal_partition(connection, closing.day)


async def _read_answer(connection: Connection, closing: DayClosing) -> bytes | None:
    """The stored answer to this question; to one from before answers named theirs, if it is over the same cut."""
    question = question_hash(closing)
    for row in await _ANSWERS.fetch(connection, day=closing.day, attempt=closing.attempt):
        if row.question == question or (not row.question and _answered(row.payload).cut == closing.cut):
            return row.payload
    return None


def _answered(payload: bytes) -> DayCounted:
    return msgspec.json.decode(payload, type=DayCounted)


async def _count(
    connection: Connection, scheme: Scheme, closing: DayClosing, author: AuthorSigner, gap_days: int
) -> DayCounted:
    cut = await resolve(connection, closing.cut)
    previous = await resolve(connection, closing.previous_cut)
    settlement = await _settlement(connection, scheme, closing, cut, author)
    if settlement is not None:
        cut = cut.with_batch(settlement[0])
    # A day's rows fall into few groups, which the planner cannot know: it would sort all of them.
    await connection.execute("set local enable_sort = off")
    late = await find_late(connection, cut, previous, closing.day)
    reach = Reach(cut, previous, late)
    if await account_numbers(connection, closing.day, reach):
        await account_parked(connection, closing.day, reach)
        await judge_days(connection, closing.day, reach, gap_days)
        await assess(connection, scheme, closing.day, reach, author)
    sums = await read_sums(connection, closing.day, cut, late)
    workers = await count_workers(connection, closing.day, cut, late)
    outside = await count_outside(connection, closing.day, cut, previous)
    return DayCounted(
        day=closing.day,
        attempt=closing.attempt,
        cut=closing.cut,
        settlement=None if settlement is None else settlement[1],
        totals=totals_of(sums) + await count_assessed(connection, cut, previous),
        workers=workers,
        first_time=await count_first_time(connection, closing.day),
        resends=await _RESENDS.fetch_one(connection, day=closing.day),
        unmatched_cancellations=await _UNMATCHED.fetch_one(connection, cut=cut.lasts, end=day_bounds(closing.day)[1]),
        hours=hours_of(sums),
        deployment=author.author.identity,
        question=question_hash(closing),
        outside=outside or msgspec.UNSET,
    )


async def _settlement(
    connection: Connection, scheme: Scheme, closing: DayClosing, cut: Batches, author: AuthorSigner
) -> tuple[int, PremiumsCharged] | None:
    """The settlement of this day's close: written once for its cut, then found again by every attempt.

    Of a day with questions about several cuts, the ledger closes one. Its settlement travels in the answer; all
    are published as ordinary manifests, too, so that none is missing in the books.
    """
    day, name = closing.day, cut_hash(closing.cut)
    known = await _SETTLEMENTS.fetch(connection, day=day)
    for row in known:
        if row.cut == name or (not row.cut and await _is_counted_over(connection, closing)):
            return None if row.batch is None or row.payload is None else (row.batch, _manifest(row.payload))
    written = await settle_within(connection, scheme, day, cut, author)
    await _KEEP_SETTLEMENT.execute(connection, day=day, batch=None if written is None else written[0], cut=name)
    if known:
        settlements = [row.payload for row in known if row.payload is not None]
        settlements += [msgspec.json.encode(written[1])] if written is not None else []
        for payload in settlements:
            await _SEND.execute(connection, topic=MANIFESTS, key=_manifest(payload).run, payload=payload)
    return written


async def _is_counted_over(connection: Connection, closing: DayClosing) -> bool:
    """Whether an answer from before questions were named is over this cut, and so is the day's settlement."""
    payloads = await _UNNAMED_ANSWERS.fetch(connection, day=closing.day)
    return any(_answered(payload).cut == closing.cut for payload in payloads)


def _manifest(payload: bytes) -> PremiumsCharged:
    return msgspec.json.decode(payload, type=PremiumsCharged)
