"""A statement with its evidence: what a third party needs to recompute every line and the total (`danbao verify`).

Of each manifest that has billed totals of the enterprise and province in the month: its entry, those totals with proofs
to the entry's `totals_root`, the entry's proof to one checkpoint, and the cuts that say which close took the manifest.
Totals of others are not in it, only their hashes.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import msgspec
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from services.ledger.log.checkpoints import LogKeys, read_shown
from services.ledger.log.entries import read_roots
from services.ledger.queries.book_queries import Statement, read_statements
from shared.contracts.manifests import Outcome, Total, total_content
from shared.domain.calendar import Month
from shared.domain.errors import Refused
from shared.domain.evidence import merkle
from shared.domain.evidence.manifest_head import ManifestHead, totals_root

FORMAT: Final = "danbao.statement-evidence/1"
BILLED: Final = (Outcome.CHARGED.value, Outcome.REVERSED.value)
_FIELDS: Final = Total.__struct_fields__
Named = tuple[str, int]
"""Run and number of a manifest."""


@dataclass(frozen=True, slots=True)
class TotalEvidence:
    """A billed total of the statement, with its place among the manifest's totals and the proof to their root."""

    content: str
    rank: int
    proof: list[int]


@dataclass(frozen=True, slots=True)
class ManifestEvidence:
    """A manifest's log entry with its proof to the checkpoint, and its totals of the statement."""

    entry: str
    index: int
    proof: list[int]
    totals_count: int
    totals: list[TotalEvidence]


@dataclass(frozen=True, slots=True)
class CutEvidence:
    """How far a day's close reached in each run."""

    day: date
    cut: dict[str, int]


@dataclass(frozen=True, slots=True)
class StatementEvidence:
    """The file: proofs name their hashes by place in `hashes`, due dates their edition by name in `calendars`."""

    format: str
    statement: Statement
    calendars: dict[str, dict[str, str]]
    checkpoint: str
    cuts: list[CutEvidence]
    manifests: list[ManifestEvidence]
    hashes: list[str]


class HashTable:
    """Every hash once; proofs name them by place, since those of one log meet on their way up."""

    def __init__(self) -> None:
        self.places: dict[bytes, int] = {}

    def put(self, hashes: list[bytes]) -> list[int]:
        """The places of these hashes."""
        return [self.places.setdefault(node, len(self.places)) for node in hashes]


async def read_evidence(connection: AsyncConnection, keys: LogKeys, statement_id: str) -> StatementEvidence | None:
    """The evidence of a statement; None without it.

    `Refused` when no checkpoint covers the month yet, or the booked lines are not what the log says.
    """
    period_of = select(tables.statement.c.period).where(tables.statement.c.statement_id == statement_id)
    period = Month.parse(await connection.scalar(period_of) or "1970-01")
    statements = await read_statements(connection, period, None, None)
    statement = next((candidate for candidate in statements if candidate.statement_id == statement_id), None)
    if statement is None:
        return None
    shown = await read_shown(connection, keys)
    if shown is None:
        raise Refused("there is no checkpoint yet")
    size, note = shown
    hashes = HashTable()
    wanted = await _read_named(connection, statement, period)
    manifests = [await _manifest(connection, named, size, statement, hashes) for named in wanted]
    return StatementEvidence(
        format=FORMAT,
        statement=statement,
        calendars=await _read_calendars(connection, statement),
        checkpoint=note.decode(),
        cuts=await _read_cuts(connection, period, {run for run, _ in wanted}),
        manifests=manifests,
        hashes=[node.hex() for node in hashes.places],
    )


async def _read_calendars(connection: AsyncConnection, statement: Statement) -> dict[str, dict[str, str]]:
    """The files of every edition of the calendar that a due date of the statement names, by edition and file."""
    own, editions = tables.edition_file.c, {due.calendar for due in statement.due_dates}
    calendars: dict[str, dict[str, str]] = {edition: {} for edition in editions}
    query = select(own.edition, own.name, own.content).where(own.edition.in_(editions))
    for row in await connection.execute(query.order_by(own.edition, own.name)):
        calendars[row.edition][row.name] = row.content.decode()
    return calendars


async def _read_named(connection: AsyncConnection, statement: Statement, period: Month) -> list[Named]:
    """The manifests with billed lines of the statement, in the order of the log."""
    line, entry = tables.day_line.c, tables.log_entry.c
    query = (
        select(entry.run, entry.number)
        .where(
            tuple_(entry.run, entry.number).in_(
                select(line.run, line.number)
                .where(line.enterprise == statement.enterprise, line.province == statement.province)
                .where(line.posting_day.between(period.first_day, period.last_day), line.outcome.in_(BILLED))
            )
        )
        .order_by(entry.index)
    )
    return [(row.run, row.number) for row in await connection.execute(query)]


async def _manifest(
    connection: AsyncConnection, named: Named, size: int, statement: Statement, hashes: HashTable
) -> ManifestEvidence:
    entry = tables.log_entry.c
    query = select(entry.index, entry.entry).where(entry.run == named[0], entry.number == named[1])
    index, head = (await connection.execute(query)).one()
    if index >= size:
        raise Refused(f"the newest checkpoint covers {size} entries, manifest {named[0]}/{named[1]} is entry {index}")
    contents = await _read_contents(connection, named, head)
    leaves = [merkle.leaf_hash(content) for content, _, _ in contents]
    own, period = (statement.enterprise, statement.province), Month.parse(statement.period)
    return ManifestEvidence(
        entry=head.hex(),
        index=index,
        proof=hashes.put(await read_roots(connection, size, merkle.inclusion_ranges(index, size))),
        totals_count=len(contents),
        totals=[
            TotalEvidence(content.decode(), rank, hashes.put(merkle.inclusion_proof(leaves, rank)))
            for rank, (content, total, posting_day) in enumerate(contents)
            if (total.enterprise, total.province) == own
            and total.outcome.value in BILLED
            and period.contains(posting_day)
        ],
    )


async def _read_contents(connection: AsyncConnection, named: Named, head: bytes) -> list[tuple[bytes, Total, date]]:
    """The manifest's totals in their order and where each is posted; `Refused` when they are not those of its entry."""
    line = tables.day_line.c
    query = (
        select(line.posting_day, *(line[name] for name in _FIELDS))
        .where(line.run == named[0], line.number == named[1])
        .order_by(line.line_id)
    )
    contents = []
    for posting_day, *values in await connection.execute(query):
        total = msgspec.convert(dict(zip(_FIELDS, values, strict=True)), Total)
        contents.append((total_content(total), total, posting_day))
    if totals_root(content for content, _, _ in contents) != ManifestHead.parse(head).totals_root:
        raise Refused(f"the booked lines of manifest {named[0]}/{named[1]} are not the totals in the log")
    return contents


async def _read_cuts(connection: AsyncConnection, period: Month, runs: set[str]) -> list[CutEvidence]:
    """The cut of each close of the month, and of the one before it: of these runs, how far each close reached."""
    closed = tables.day_closed.c
    days = closed.day.between(period.first_day - timedelta(days=1), period.last_day)
    rows = await connection.execute(select(closed.day, closed.cut).where(days).order_by(closed.day))
    return [CutEvidence(row.day, {run: row.cut[run] for run in sorted(runs & row.cut.keys())}) for row in rows]
