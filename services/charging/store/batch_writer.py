"""The one transaction of a batch: positions, rows, kept records, manifest, outbox (docs/decisions/0003).

Raw asyncpg on purpose: COPY needs it, and a transaction opened here is open.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from services.charging.rows.batch import Batch, KeptRecord
from services.charging.rows.kept_records import KEPT_COLUMNS, conflict_row, parked_row
from services.charging.rows.row_kinds import KIND, LEAF_INDEX, Row
from services.charging.store.duplicates import Duplicates, find_duplicates, write_rows
from services.charging.store.manifests import Run, limit_transaction, lock_run, write_manifest
from services.charging.store.positions import Move, move_positions
from shared.adapters.crypto.sealing import DayKey
from shared.adapters.postgres.pool import BadData, BrokenConstraint, Connection
from shared.adapters.postgres.sealing.kept_keys import key_of, newest_key_sql
from shared.contracts.manifests import Outcome, PremiumsCharged
from shared.contracts.topics import MANIFESTS
from shared.domain.calendar import instant_of
from shared.domain.errors import Stop
from shared.domain.evidence.declaration_keys import Signed
from shared.domain.evidence.leaf import RowKind

_KEY_OF_KEPT: Final = newest_key_sql("charging")


@dataclass(frozen=True, slots=True)
class Overrun:
    """A topic of whose last `events` too many were parked: the batch that reaches the limit pauses it."""

    topic: str
    events: int
    parked: int

    @property
    def reason(self) -> str:
        """The fault, and how an operator resumes the topic."""
        return (
            f"{self.parked} of the last {self.events} events were parked; mend, then danbao parked resume {self.topic}"
        )


@dataclass(frozen=True, slots=True)
class WrittenBatch:
    """A batch as it was written, duplicates resolved, and its manifest.

    `has_collision`: a row met a stored key although it was no possible duplicate.
    """

    batch: Batch
    manifest: PremiumsCharged
    has_collision: bool


async def write_batch(
    connection: Connection,
    cluster_id: str,
    run: Run,
    batch: Batch,
    moves: Sequence[Move],
    *,
    use_copy: bool,
    overruns: Sequence[Overrun] = (),
) -> WrittenBatch:
    """Write a batch whole or not at all; `batch` itself stays unchanged.

    Raises Fenced when a position is not where it was held, Stop when the sum of outcomes (I2) does not match.
    """
    async with connection.transaction():
        await limit_transaction(connection, run)
        await lock_run(connection, run)
        await move_positions(connection, cluster_id, moves)
        written = await _write_contents(connection, run, batch, use_copy=use_copy)
        await _write_pauses(connection, overruns)
    run.last += 1
    return written


async def try_batch(connection: Connection, run: Run, batch: Batch) -> BadData | BrokenConstraint | None:
    """Write a batch without its positions and undo it; returns the database's refusal, None where it is taken."""
    undone = connection.transaction()
    await undone.start()
    try:
        await limit_transaction(connection, run)
        await lock_run(connection, run)
        await _write_contents(connection, run, batch, use_copy=False)
        await connection.execute("set constraints all immediate")
    except (BadData, BrokenConstraint) as error:
        return error
    finally:
        await undone.rollback()
    return None


async def _write_contents(connection: Connection, run: Run, batch: Batch, *, use_copy: bool) -> WrittenBatch:
    rows = sorted(batch.rows)  # leaf_index is unique and in sixth place: no comparison goes further
    written = await write_rows(connection, rows, batch.possible_duplicates, use_copy=use_copy)
    await _write_unsettled(connection, run, rows, written.duplicates)
    duplicates = await find_duplicates(connection, rows, written)
    await _write_declarations(connection, run, batch, duplicates)
    await _write_kept(connection, run, batch.parked, duplicates.kept_records(batch))
    await _write_unlisted(connection, run, batch.unlisted_regions)
    resolved = duplicates.applied_to(batch)
    manifest = await write_manifest(connection, run, resolved, "orders", MANIFESTS)
    _check_outcomes(batch, manifest)
    return WrittenBatch(resolved, manifest, written.has_collision)


def _check_outcomes(batch: Batch, manifest: PremiumsCharged) -> None:
    """Raise Stop unless each event became a row, a declaration or a parked record, and is counted as what it became.

    A total starts as *parked*, so an event that nobody read would be counted as such without a record of it.
    """
    became = len(batch.rows) + len(batch.declarations) + len(batch.parked)
    parked = sum(total.orders for total in manifest.totals if total.outcome is Outcome.PARKED)
    if became != batch.events or parked != len(batch.parked):
        raise Stop(
            f"run {manifest.run} number {manifest.number}: {batch.events} events came in, {became} are accounted for;"
            f" {parked} are counted as parked, {len(batch.parked)} were"
        )


async def _write_unsettled(connection: Connection, run: Run, rows: Sequence[Row], duplicates: set[int]) -> None:
    """Queue the cancellations that are new for settling."""
    cancelled = [row for row in rows if row[KIND] == RowKind.CANCELLATION and row[LEAF_INDEX] not in duplicates]
    if cancelled:
        await connection.copy_records_to_table(
            "unsettled",
            schema_name="charging",
            columns=("accepted_at", "enterprise", "order_id", "worker_key", "batch"),
            records=[(instant_of(row[0]), *row[1:KIND], run.next_batch()) for row in cancelled],
        )


async def _write_declarations(connection: Connection, run: Run, batch: Batch, duplicates: Duplicates) -> None:
    """Write the new day declarations; one id with the stored content and revision is a repeat, else a conflict."""
    for row in batch.declarations:
        stored = await connection.fetchval(
            """insert into charging.declaration
                (enterprise, declaration_id, declared_day, stated_revision, recorded_at, body, received,
                batch, leaf_index, revision, key_id, signature, signed_data)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) on conflict do nothing returning body""",
            row.enterprise, row.declaration_id, row.day, row.stated_revision, row.recorded_at, row.body, row.received,
            run.next_batch(), row.leaf_index, *_signature_columns(row.signed),
        )  # fmt: skip
        if stored is not None:
            continue
        known = await connection.fetchrow(
            "select body, revision from charging.declaration where enterprise = $1 and declaration_id = $2",
            row.enterprise,
            row.declaration_id,
        )
        key = (None, row.enterprise, row.declaration_id, None, int(RowKind.DECLARATION))
        duplicates.add(row.leaf_index, is_same=row.repeats(*known), key=key)


def _signature_columns(signed: Signed | None) -> tuple[int | bytes | None, ...]:
    if signed is None:
        return (None,) * 4
    return signed.revision, signed.key_id, signed.signature, signed.data


async def _write_kept(
    connection: Connection, run: Run, parked: Sequence[KeptRecord], conflicts: Sequence[KeptRecord]
) -> None:
    """Write the records that stay outside the books, their bytes sealed."""
    if not parked and not conflicts:
        return
    key, batch = await _sealing_key(connection), run.next_batch()
    place = ("batch", "leaf_index", "topic", "partition", "record_offset", "record_time_ms")
    if conflicts:
        await connection.copy_records_to_table(
            "conflict",
            schema_name="charging",
            columns=(*place, *KEPT_COLUMNS, "accepted_at", "enterprise", "order_id", "worker_key", "kind"),
            records=[conflict_row(key, batch, record) for record in conflicts],
        )
    if parked:
        await connection.copy_records_to_table(
            "parked",
            schema_name="charging",
            columns=(*place, "arrived_ms", "headers", "reason", "detail", *KEPT_COLUMNS),
            records=[parked_row(key, batch, record) for record in parked],
        )


async def _sealing_key(connection: Connection) -> DayKey:
    row = await connection.fetchrow(_KEY_OF_KEPT)
    return key_of(None if row is None else (row["day"], row["key"]))


async def _write_unlisted(connection: Connection, run: Run, regions: Collection[int]) -> None:
    """Record region codes that no list has yet, once each: an alarm until the operator's file has them."""
    if regions:
        await connection.execute(
            "insert into charging.unlisted_region (region, batch) select r, $2 from unnest($1::int[]) r"
            " on conflict do nothing",
            sorted(set(regions)),
            run.next_batch(),
        )


async def _write_pauses(connection: Connection, overruns: Sequence[Overrun]) -> None:
    if not overruns:
        return
    await connection.executemany(
        "insert into charging.pause (topic, is_paused, events, parked, reason) values ($1, true, $2, $3, $4)",
        [(overrun.topic, overrun.events, overrun.parked, overrun.reason) for overrun in overruns],
    )
