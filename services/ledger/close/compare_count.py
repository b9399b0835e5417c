"""Compares charging's count of a day with the books: equal closes the day, unequal leaves it open and is named.

Where charging is several deployments, each answers; all but the last are kept, and with the last all their settlements
are booked and the sums compared.

If the process dies here: the settlement may wait in the inbox, and nothing else is written; the answer, whose position
was not moved, is read again.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Final

import msgspec
import structlog
from msgspec import UNSET
from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.books.booking import book_all_waiting, book_manifest, is_booked
from services.ledger.books.inbox import booked_through, next_in_inbox, put_into_inbox
from services.ledger.books.manifest_checks import check_author, check_manifest
from services.ledger.books.open_days import Books, Closing, as_json, ledger_lock, read_books, write_to_outbox
from services.ledger.books.outside_declaration import Difference, keep_outside, name_impossible
from services.ledger.books.refused_messages import keep_if_refused
from services.ledger.close.deployment_counts import CountingDeployments, read_answers
from shared.contracts.manifests import DayClosed, DayCounted, Outcome, PremiumsCharged, Total, question_hash
from shared.contracts.quarantine import Quarantined, QuarantineReason
from shared.contracts.topics import DAYS_CLOSED, DAYS_COUNTED
from shared.domain.errors import Retry
from shared.intake.message_content import content_hash

log = structlog.get_logger(__name__)
DECODER: Final = msgspec.json.Decoder(DayCounted)
COMPARED: Final = (Outcome.CHARGED, Outcome.EXCLUDED, Outcome.REVERSED)
Key = tuple[str, str, str, str, int | None, str, str | None]
_SUM_UP: Final = text("""
insert into ledger.day_sum
select posting_day, insured_on, enterprise, province, industry, tariff_line, outcome, reason, abs(premium) / orders,
       sum(orders), sum(premium)
from ledger.day_line where posting_day = :day and outcome in ('charged', 'reversed')
group by 1, 2, 3, 4, 5, 6, 7, 8, 9
""")


async def take_count(engine: AsyncEngine, payload: bytes, deployments: CountingDeployments) -> str:
    """Take an answer as `handle_count` does, but quarantine one that is not taken here: `refused`."""
    return await keep_if_refused(
        engine, DAYS_COUNTED, payload, lambda: handle_count(engine, payload, deployments), "refused"
    )


async def handle_count(engine: AsyncEngine, payload: bytes, deployments: CountingDeployments) -> str:
    """Take one message of the topic of counts; returns what became of it, and raises for one that is not taken.

    Raises Retry while a manifest is missing, or a deployment does not send its workers once all have counted.
    """
    count = DECODER.decode(payload)
    if count.settlement:
        check_manifest(count.settlement)
        check_author(count.settlement, deployments.authors)
    async with ledger_lock(engine) as connection:
        books = await read_books(connection)
        if state := await _answered_state(connection, books, count, deployments):
            return state
        answers = [*await read_answers(connection, count.day, count.attempt), count]
        if count.settlement and not await is_booked(connection, count.settlement):
            await put_into_inbox(connection, count.settlement)
    together = await deployments.join(answers) if len(answers) == len(deployments.names) else None
    async with ledger_lock(engine) as connection:
        state = await _compare_and_close(connection, count, together, deployments)
    if state == "closed":
        await book_all_waiting(engine)
    return state


async def _answered_state(
    connection: AsyncConnection, books: Books, count: DayCounted, deployments: CountingDeployments
) -> str | None:
    counted = tables.day_count
    key = (
        counted.c.day == count.day,
        counted.c.attempt == count.attempt,
        counted.c.deployment == count.deployment,
    )
    known = await connection.scalar(select(counted.c.content_sha256).where(*key))
    is_stranger = count.deployment not in deployments.names
    name = f"count of {count.day} by {count.deployment}, attempt {count.attempt}"
    if known == content_hash(count):
        return "already_counted"
    if known is not None:
        raise Quarantined(QuarantineReason.DIFFERENT_CONTENT, f"{name}: answered before with other content")
    closing = books.closing
    expected = None if closing is None else (closing.day, closing.cut)
    if closing is None or expected != (count.day, count.cut) or count.attempt > closing.attempt or is_stranger:
        raise Quarantined(QuarantineReason.UNEXPECTED, f"{name}: it was not requested")
    if count.question is not UNSET and count.question != question_hash(closing.question(count.attempt)):
        raise Quarantined(QuarantineReason.UNEXPECTED, f"{name}: it answers another question")
    return "outdated" if count.attempt < closing.attempt else None


async def _compare_and_close(
    connection: AsyncConnection, count: DayCounted, together: DayCounted | None, deployments: CountingDeployments
) -> str:
    books = await read_books(connection)
    if state := await _answered_state(connection, books, count, deployments):
        return state
    closing = books.closing
    if closing is None:
        raise Retry(f"{count.day} is not being closed")
    others = await read_answers(connection, count.day, count.attempt)
    if together is None:
        if len(others) + 1 == len(deployments.names):
            raise Retry(f"the other answers to the close of {count.day} came at the same time")
        await _keep_count(connection, count, [])
        return "awaiting_others"
    differences = await _book_and_compare(connection, [*others, count], together, books)
    await _keep_count(connection, count, differences)
    if differences:
        log.error("day_not_equal", day=str(count.day), attempt=count.attempt, differences=differences)
        return "unequal"
    await _close(connection, closing, together)
    return "closed"


async def _book_and_compare(
    connection: AsyncConnection, answers: Iterable[DayCounted], together: DayCounted, books: Books
) -> list[Difference]:
    """The differences with the settlements booked; where there are any, the settlements are taken back.

    So a wrong answer leaves nothing in the books, and the next attempt begins where this one did.
    """
    savepoint = await connection.begin_nested()
    for answer in answers:
        if answer.settlement:
            await _book_settlement(connection, answer.settlement, books, answer.day)
    booked = await read_day_totals(connection, together.day)
    counted = add_up(total for total in together.totals if _concerns(total, together.day))
    differences = name_differences(counted, booked) + await name_impossible(connection, together)
    await (savepoint.rollback() if differences else savepoint.commit())
    return differences


def _concerns(total: Total, day: date) -> bool:
    """A settlement of the close may reverse orders of a day to come: they are posted there and counted there."""
    return total.outcome in COMPARED and total.insured_on is not None and total.insured_on <= day


async def _book_settlement(connection: AsyncConnection, settlement: PremiumsCharged, books: Books, day: date) -> None:
    """Book it on the day that is being closed, and before it all of its run that is still missing in the books."""
    while await booked_through(connection, settlement.run) < settlement.number:
        manifest = await next_in_inbox(connection, settlement.run)
        if manifest is None:
            raise Retry(f"settlement {settlement.run}/{settlement.number} waits for an earlier number")
        is_of_close = manifest.number == settlement.number
        await book_manifest(connection, manifest, books, day if is_of_close else None)


async def read_day_totals(connection: AsyncConnection, day: date) -> dict[Key, tuple[int, int]]:
    """Orders and premium of the lines posted on the day, for the outcomes that a close compares."""
    line = tables.day_line.c
    key = (line.insured_on, line.enterprise, line.province, line.industry, line.tariff_line, line.outcome, line.reason)
    query = (
        select(*key, func.sum(line.orders).label("orders"), func.sum(line.premium).label("premium"))
        .where(line.posting_day == day, line.outcome.in_([outcome.value for outcome in COMPARED]))
        .group_by(*key)
    )
    rows = (await connection.execute(query)).all()
    return {
        (str(row[0]), row[1], row[2] or "", row[3] or "", *row[4:7]): (int(row.orders), int(row.premium))
        for row in rows
    }


def add_up(totals: Iterable[Total]) -> dict[Key, tuple[int, int]]:
    """The totals of an answer, summed by key."""
    orders: Counter[Key] = Counter()
    premium: Counter[Key] = Counter()
    for total in totals:
        place = (str(total.insured_on), total.enterprise, total.province or "", total.industry or "")
        key = (*place, total.tariff_line, total.outcome.value, total.reason)
        orders[key] += total.orders
        premium[key] += total.premium
    return {key: (orders[key], premium[key]) for key in orders}


def name_differences(counted: dict[Key, tuple[int, int]], booked: dict[Key, tuple[int, int]]) -> list[Difference]:
    """Every key on which the two disagree, with both figures; empty when the books are right."""
    names = ("insured_on", "enterprise", "province", "industry", "tariff_line", "outcome", "reason")
    differences: list[Difference] = []
    for key in sorted(counted.keys() | booked.keys(), key=repr):
        theirs, ours = counted.get(key, (0, 0)), booked.get(key, (0, 0))
        if theirs != ours:
            difference: Difference = dict(zip(names, key, strict=True))
            difference |= {"counted_orders": theirs[0], "booked_orders": ours[0]}
            difference |= {"counted_premium": theirs[1], "booked_premium": ours[1]}
            differences.append(difference)
    return differences


async def _keep_count(connection: AsyncConnection, count: DayCounted, differences: list[Difference]) -> None:
    key = {"day": count.day, "attempt": count.attempt, "deployment": count.deployment}
    row = {**key, "answer": as_json(count), "differences": differences}
    await connection.execute(insert(tables.day_count).values({**row, "content_sha256": content_hash(count)}))


async def _close(connection: AsyncConnection, closing: Closing, count: DayCounted) -> None:
    totals = [total for total in count.totals if _concerns(total, count.day)]
    signs = {Outcome.CHARGED: 1, Outcome.REVERSED: -1}
    closed = DayClosed(
        day=count.day,
        as_of=closing.as_of,
        totals=totals,
        workers=count.workers,
        first_time=count.first_time,
        hours=count.hours,
    )
    row = {
        **as_json(closed),
        "day": count.day,
        "as_of": closing.as_of,
        "attempt": closing.attempt,
        "cut": await _whole_cut(connection, closing),
        "orders": sum(total.orders * signs.get(total.outcome, 0) for total in totals),
        "premium": sum(total.premium for total in totals),
        "resends": count.resends,
        "unmatched_cancellations": count.unmatched_cancellations,
    }
    await connection.execute(insert(tables.day_closed).values(row))
    await connection.execute(_SUM_UP, {"day": count.day})
    await keep_outside(connection, count)
    await write_to_outbox(connection, DAYS_CLOSED, count.day.isoformat(), closed)
    log.info("day closed", day=str(count.day), attempt=count.attempt)


async def _whole_cut(connection: AsyncConnection, closing: Closing) -> dict[str, int]:
    """The frozen cut and the settlements that were written for this close: the next day's previous cut."""
    booked = tables.manifest_booked.c
    rows = await connection.execute(select(booked.run, booked.number).where(booked.closing_day == closing.day))
    cut = dict(closing.cut)
    for row in rows:
        cut[row.run] = max(row.number, cut.get(row.run, 0))
    return cut


async def latest_differences(connection: AsyncConnection, closing: Closing) -> list[Difference]:
    """Differences of the last count of a day that is being closed; empty while it is awaited."""
    counted = tables.day_count.c
    query = select(counted.differences).where(counted.day == closing.day, counted.attempt == closing.attempt)
    return next((differences for differences in await connection.scalars(query) if differences), [])


async def read_closed(connection: AsyncConnection, day: date) -> dict[str, int] | None:
    """The cut of a closed day; None when it is not closed."""
    closed = tables.day_closed.c
    return await connection.scalar(select(closed.cut).where(closed.day == day))
