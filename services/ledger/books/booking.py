"""Book manifests: each exactly once, in the order of its run, one transaction for one manifest.

If the process dies here: a manifest is either in the books whole or not at all; what was acknowledged lies in the
books or the inbox, and what was not comes again.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.books.inbox import DECODER, booked_through, has_waiting, next_in_inbox, put_into_inbox
from services.ledger.books.journal import Source, write_journal_entry
from services.ledger.books.manifest_checks import check_author, check_manifest
from services.ledger.books.open_days import Books, ledger_lock, read_books
from services.ledger.books.refused_messages import keep_if_refused
from services.ledger.log.entries import append_log_entry
from shared.contracts.manifests import Outcome, PremiumsCharged, Total, head_of
from shared.contracts.quarantine import Quarantined, QuarantineReason
from shared.contracts.topics import MANIFESTS
from shared.domain.books.journal import EntryKind, Party, posting_day, premium_entry, premium_kind
from shared.domain.evidence.authors import Authors
from shared.intake.message_content import content_hash

_LINES = text("""
insert into ledger.day_line (posting_day, insured_on, enterprise, province, industry, tariff_line, outcome, reason,
                             orders, premium, entry_id, run, number)
select l.*, cast(:run as text), cast(:number as bigint)
from unnest(cast(:posting_day as date[]), cast(:insured_on as date[]), cast(:enterprise as text[]),
            cast(:province as text[]), cast(:industry as text[]), cast(:tariff_line as integer[]),
            cast(:outcome as text[]), cast(:reason as text[]), cast(:orders as bigint[]),
            cast(:premium as bigint[]), cast(:entry_id as bigint[])) l
""")

_CLAIM = text("""
insert into ledger.enterprise_deployment (enterprise, deployment)
select e, cast(:deployment as text) from unnest(cast(:enterprises as text[])) e
where not exists (select from ledger.enterprise_deployment d where d.enterprise = e)
""")
_OTHERS = text("""
select enterprise, deployment from ledger.enterprise_deployment
where enterprise = any(cast(:enterprises as text[])) and deployment <> :deployment order by 1
""")


@dataclass(frozen=True, slots=True)
class BookingResult:
    """Result of booking a manifest: `booked` counts those booked now, with the ones that had waited for it."""

    state: str
    booked: int = 0


async def handle_manifest(engine: AsyncEngine, payload: bytes, authors: Authors) -> BookingResult:
    """Take one message of the topic of manifests; raises for one that is not taken, and nobody waits for it."""
    manifest = DECODER.decode(payload)
    check_manifest(manifest)
    check_author(manifest, authors)
    return await receive_manifest(engine, manifest)


async def take_manifest(engine: AsyncEngine, payload: bytes, authors: Authors) -> BookingResult:
    """Book a manifest that was requested: one that is not taken is quarantined here."""
    return await keep_if_refused(
        engine, MANIFESTS, payload, lambda: handle_manifest(engine, payload, authors), BookingResult("refused")
    )


async def receive_manifest(engine: AsyncEngine, manifest: PremiumsCharged) -> BookingResult:
    """Book a sound manifest of a known author if it follows on the books of its run, else let it wait in the inbox."""
    async with ledger_lock(engine) as connection:
        if await is_booked(connection, manifest):
            return BookingResult("already_booked")
        await _claim_enterprises(connection, manifest)
        books = await read_books(connection)
        follows = manifest.number == await booked_through(connection, manifest.run) + 1
        if not follows or is_held(manifest, books):
            await put_into_inbox(connection, manifest)
            return BookingResult("waiting")
        await book_manifest(connection, manifest, books)
        has_more = await has_waiting(connection, manifest.run)
    return BookingResult("booked", 1 + (await book_waiting(engine, manifest.run) if has_more else 0))


def is_held(manifest: PremiumsCharged, books: Books) -> bool:
    """Settlements wait while a day is being closed: one of them may belong to that close, and its answer says which.

    Booked before that answer it would land on the next day, and the count of the day could never agree.
    """
    return manifest.kind == "settlement" and books.closing is not None


async def book_waiting(engine: AsyncEngine, run: str) -> int:
    """Book what waits in the inbox of a run and follows without a gap; returns how many, each on its own."""
    count = 0
    while True:
        async with ledger_lock(engine) as connection:
            books = await read_books(connection)
            manifest = await next_in_inbox(connection, run)
            if manifest is None or is_held(manifest, books):
                return count
            await book_manifest(connection, manifest, books)
        count += 1


async def book_all_waiting(engine: AsyncEngine) -> int:
    """Book what waits in every run of the inbox: for a close, or since a process died."""
    async with engine.connect() as connection:
        runs = (await connection.execute(select(tables.manifest_inbox.c.run).distinct())).scalars().all()
    return sum([await book_waiting(engine, run) for run in runs])


async def book_manifest(
    connection: AsyncConnection, manifest: PremiumsCharged, books: Books, closing_day: date | None = None
) -> None:
    """Write manifest, log entry, entries and lines, and take it out of the inbox; the caller holds the turn.

    `closing_day`: the manifest was written for the close of that day, so the day still takes it.
    """
    oldest = closing_day or books.oldest_open_day
    await connection.execute(insert(tables.manifest_booked).values(_head(manifest, closing_day)))
    await append_log_entry(connection, head_of(manifest))
    posted = [(posting_day(total.insured_on, oldest), total) for total in manifest.totals]
    entries = await _write_entries(connection, manifest, posted)
    if posted:
        await connection.execute(_LINES, _columns(manifest, posted, entries))
    inbox = tables.manifest_inbox
    taken = (inbox.c.run == manifest.run, inbox.c.number == manifest.number)
    await connection.execute(delete(inbox).where(*taken))


Posted = list[tuple[date, Total]]
EntryKey = tuple[date, date, bool]


async def _write_entries(connection: AsyncConnection, manifest: PremiumsCharged, posted: Posted) -> dict[EntryKey, int]:
    groups: dict[EntryKey, list[tuple[Party, int]]] = defaultdict(list)
    for day, total in posted:
        if key := _entry_key(day, total):
            groups[key].append((Party(total.enterprise, total.province or ""), total.premium))
    written: dict[EntryKey, int] = {}
    for key in sorted(groups):
        day, insured_on, is_reversal = key
        entry = premium_entry(premium_kind(is_reversal, insured_on, day), insured_on, groups[key])
        is_correction = is_reversal or manifest.kind == "correction"
        corrects = await _first_charge(connection, insured_on) if is_correction else None
        source = Source(manifest.run, manifest.number, corrects=corrects)
        written[key] = await write_journal_entry(connection, entry, day, source)
    return written


async def _first_charge(connection: AsyncConnection, insured_on: date) -> int | None:
    entry = tables.journal_entry.c
    kinds = (EntryKind.CHARGE.value, EntryKind.LATE_CHARGE.value)
    query = select(func.min(entry.entry_id)).where(entry.insured_on == insured_on, entry.kind.in_(kinds))
    first: int | None = await connection.scalar(query)
    return first


def _entry_key(day: date, total: Total) -> EntryKey | None:
    """Which entry of the manifest books the total; None where there is no money."""
    if total.insured_on is None or not total.premium:
        return None
    return day, total.insured_on, total.outcome is Outcome.REVERSED


def _head(manifest: PremiumsCharged, closing_day: date | None) -> dict[str, object]:
    return {
        "run": manifest.run,
        "number": manifest.number,
        "kind": manifest.kind,
        "leaves": manifest.leaves,
        "root": manifest.root,
        "content_sha256": content_hash(manifest),
        "closing_day": closing_day,
    }


def _columns(manifest: PremiumsCharged, posted: Posted, entries: dict[EntryKey, int]) -> dict[str, object]:
    totals = [total for _, total in posted]
    return {
        "run": manifest.run,
        "number": manifest.number,
        "posting_day": [day for day, _ in posted],
        "insured_on": [total.insured_on for total in totals],
        "enterprise": [total.enterprise for total in totals],
        "province": [total.province for total in totals],
        "industry": [total.industry for total in totals],
        "tariff_line": [total.tariff_line for total in totals],
        "outcome": [total.outcome.value for total in totals],
        "reason": [total.reason for total in totals],
        "orders": [total.orders for total in totals],
        "premium": [total.premium for total in totals],
        "entry_id": [entries[key] if (key := _entry_key(*pair)) else None for pair in posted],
    }


async def is_booked(connection: AsyncConnection, manifest: PremiumsCharged) -> bool:
    """True when there is nothing to do; raises `Quarantined` when it is known with other content."""
    booked = tables.manifest_booked
    key = (booked.c.run == manifest.run, booked.c.number == manifest.number)
    known = await connection.scalar(select(booked.c.content_sha256).where(*key))
    inbox = tables.manifest_inbox
    if known is None:
        key = (inbox.c.run == manifest.run, inbox.c.number == manifest.number)
        waiting = await connection.scalar(select(inbox.c.payload).where(*key))
        # One that waits already is not settled by that: it may be its turn now.
        if waiting is None or content_hash(DECODER.decode(waiting)) == content_hash(manifest):
            return False
    elif known == content_hash(manifest):
        return True
    detail = f"manifest {manifest.run}/{manifest.number} is known with other content"
    raise Quarantined(QuarantineReason.DIFFERENT_CONTENT, detail)


async def _claim_enterprises(connection: AsyncConnection, manifest: PremiumsCharged) -> None:
    """Write down whose the enterprises are; raises where one is another deployment's: it would be charged twice."""
    named = {"enterprises": sorted({total.enterprise for total in manifest.totals}), "deployment": manifest.deployment}
    await connection.execute(_CLAIM, named)
    others = (await connection.execute(_OTHERS, named)).all()
    if others:
        whose = ", ".join(f"{row.enterprise} is {row.deployment}'s" for row in others[:5])
        detail = f"manifest {manifest.run}/{manifest.number} of {manifest.deployment}: {whose}"
        raise Quarantined(QuarantineReason.FOREIGN_ENTERPRISE, detail)
