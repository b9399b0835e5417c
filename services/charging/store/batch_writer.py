"""The one transaction of a batch: positions, rows, what is kept beside them, manifest, outbox (design D1, D4).

Raw asyncpg on purpose: COPY needs it, and a transaction opened here is open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from uuid import uuid4

import msgspec

from services.charging.rows.batch import Batch, KeptRecord, kept_record_leaf, sum_totals
from services.charging.rows.kept_records import KEPT_COLUMNS, conflict_row, parked_row
from services.charging.rows.order_columns import COPY_COLUMNS, KEY_COLUMNS, content_sql, is_same_key_sql
from services.charging.rows.row_encoding import stream
from services.charging.rows.row_kinds import KIND, LEAF_INDEX, Row
from services.charging.store.deployment import read_deployment
from services.charging.store.leaf_groups import Groups
from services.charging.store.positions import Move, move_positions
from shared.adapters.crypto.sealing import DayKey
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.decisions import Decision
from shared.adapters.postgres.kept_keys import key_of, make_key_of_today, newest_key_sql
from shared.adapters.postgres.pool import Connection, UniqueViolation
from shared.contracts.manifests import ManifestKind, Outcome, PremiumsCharged, Total, sign_manifest
from shared.contracts.topics import MANIFESTS
from shared.domain.calendar import instant_of
from shared.domain.errors import Stop
from shared.domain.evidence.declaration_keys import Signed
from shared.domain.evidence.leaf import RowKind
from shared.intake.rated_events import TotalKey

RUN_SHIFT: Final = 32
"""batch = run id << RUN_SHIFT | number."""

_COLUMNS: Final = ", ".join(COPY_COLUMNS)
_KEY: Final = ", ".join(KEY_COLUMNS)
INBOX: Final = (
    "create temporary table if not exists inbox (like charging.entry including defaults) on commit delete rows"
)
_INSERT: Final = f"""insert into charging.entry ({_COLUMNS}) select {_COLUMNS} from inbox
    order by {_KEY}, leaf_index on conflict do nothing returning leaf_index"""
# LIMIT keeps the planner from joining: a look into the key's index for each row, whatever it believes of the sizes.
_LOOK: Final = f"""select i.leaf_index from inbox i, lateral (
        select from charging.entry e
        where {is_same_key_sql("e", "i")} limit 1) known"""
COMPARE: Final = f"""select i.leaf_index, {content_sql("i")} is not distinct from {content_sql("e")} as is_same
    from inbox i join charging.entry e using ({_KEY}) where i.leaf_index = any($1::int[])"""
_MANIFEST: Final = """with written as (
        insert into charging.manifest (batch, run_id, number, events, leaves, root, payload, groups)
        values ($1, $2, $3, $4, $5, $6, $7, $11)),
    days as (
        insert into charging.batch_day (insured_on, batch)
        select date '1970-01-01' + day, $1 from unnest($10::int[]) as day)
    insert into charging.outbox (topic, key, payload) select $8::text, $9::text, $7 where $8::text is not null"""

_KEY_OF_KEPT: Final = newest_key_sql("charging")

RUN_LOCK: Final = 0x72756E
"""Advisory lock of a run: whoever asks for its last number waits for a commit that is still under way."""


@dataclass(slots=True)
class Run:
    """One start of one worker; `last` is the last number known to be committed.

    `author` signs its manifests. `limit_seconds` bounds the transaction of a batch or of a settling step, which takes a
    tenth of a second.
    """

    id: int
    run: str
    author: AuthorSigner
    last: int = 0
    limit_seconds: float = 30.0

    def next_batch(self) -> int:
        """The batch number of the next manifest."""
        return self.id << RUN_SHIFT | (self.last + 1)


@dataclass(frozen=True, slots=True)
class Overrun:
    """A topic of whose last `events` too many were parked: it is paused by the batch that made it so."""

    topic: str
    events: int
    parked: int

    @property
    def reason(self) -> str:
        """For whoever has to mend it."""
        return (
            f"{self.parked} of the last {self.events} events were parked; mend, then danbao parked resume {self.topic}"
        )


async def start_run(
    connection: Connection, purpose: str, author: AuthorSigner, decision: Decision | None = None
) -> Run:
    """A new run; `purpose` orders, settlement, close or correction. Raises Stop where the database is not the author's.

    A manifest says whose it is by its author's key, so one deployment cannot write for another. A correction needs the
    decision of a person; the database refuses one without.
    """
    if (owner := await read_deployment(connection)) != author.author.identity:
        raise Stop(f"this database is of the deployment {owner!r}, and the author's key is of {author.author.name}")
    name = uuid4().hex
    await make_key_of_today(connection, "charging")
    sql = "insert into charging.run (run, purpose, decision_id) values ($1, $2, $3) returning id"
    decision_id = None if decision is None else decision.decision_id
    return Run(await connection.fetchval(sql, name, purpose, decision_id), name, author)


async def read_last_number(connection: Connection, run: Run) -> None:
    """After an answer that did not come: was the last batch committed or not? Waits for a commit under way."""
    async with connection.transaction():
        await _lock(connection, run)
        sql = "select coalesce(max(number), 0) from charging.manifest where run_id = $1"
        run.last = await connection.fetchval(sql, run.id)


async def limit_transaction(connection: Connection, run: Run) -> None:
    """Let the database end this transaction after so long: a worker that was stopped in it holds rows others need."""
    milliseconds = str(round(run.limit_seconds * 1000))
    await connection.execute("select set_config('transaction_timeout', $1, true)", milliseconds)


async def _lock(connection: Connection, run: Run) -> None:
    await connection.execute("select pg_advisory_xact_lock($1, $2)", RUN_LOCK, run.id)


async def write_batch(
    connection: Connection,
    cluster_id: str,
    run: Run,
    batch: Batch,
    moves: Sequence[Move],
    *,
    optimistic: bool,
    overruns: Sequence[Overrun] = (),
) -> tuple[PremiumsCharged, bool]:
    """Write a batch whole or not at all; returns its manifest and whether an unexpected repeat or conflict was in it.

    Raises Fenced when a position is not where it was held, Stop when the sum of D10 does not come out.
    """
    async with connection.transaction():
        await limit_transaction(connection, run)
        await _lock(connection, run)
        await move_positions(connection, cluster_id, moves)
        has_hit = await _write_rows(connection, run, batch, optimistic=optimistic)
        await _write_declarations(connection, run, batch)
        await _write_parked(connection, run, batch)
        await _write_pauses(connection, overruns)
        manifest = await write_manifest(connection, run, batch, "orders", MANIFESTS)
    run.last += 1
    return manifest, has_hit


async def write_manifest(
    connection: Connection,
    run: Run,
    batch: Batch,
    kind: ManifestKind,
    topic: str | None,
    totals: list[Total] | None = None,
) -> PremiumsCharged:
    """The batch's manifest, signed by its author and kept, with the days it touches; to the outbox with a topic.

    `totals` are those of the batch's own, one for each row, unless they are given.
    """
    groups = Groups.of(batch.leaves)
    totals = sum_totals(batch.totals) if totals is None else totals
    counted = sum(total.orders for total in totals if kind == "orders")
    if counted != batch.events:
        raise Stop(f"run {run.run} number {run.last + 1}: {batch.events} events came in, {counted} are accounted for")
    unsigned = PremiumsCharged(
        run=run.run, number=run.last + 1, kind=kind, leaves=sum(map(bool, batch.leaves)), root=groups.root.hex(),
        totals=totals, deployment=run.author.author.identity,
    )  # fmt: skip
    manifest = sign_manifest(unsigned, run.author.key_id, run.author.sign)
    await connection.execute(
        _MANIFEST, run.next_batch(), run.id, manifest.number, batch.events, manifest.leaves,
        bytes.fromhex(manifest.root), msgspec.json.encode(manifest), topic, run.run, sorted(batch.days),
        bytes(groups),
    )  # fmt: skip
    return manifest


async def _write_rows(connection: Connection, run: Run, batch: Batch, *, optimistic: bool) -> bool:
    """Write the rows that are new; True when one met its own key where none was expected to."""
    rows = sorted(batch.rows)  # leaf_index is unique and in sixth place: no comparison goes further
    twice = {row[LEAF_INDEX] for before, row in pairwise(rows) if before[0] == row[0] and before[:5] == row[:5]}
    met = await _copy_new(connection, rows, batch.doubtful | twice, twice) if optimistic else None
    if met is None:
        met = await _insert_rows(connection, rows)
    if met:
        await _sort_out(connection, run, batch, met)
    cancelled = [row for row in rows if row[KIND] == RowKind.CANCELLATION and row[LEAF_INDEX] not in met]
    if cancelled:
        await connection.copy_records_to_table(
            "unsettled",
            schema_name="charging",
            columns=("accepted_at", "enterprise", "order_id", "worker_key", "batch"),
            records=[(instant_of(row[0]), *row[1:KIND], run.next_batch()) for row in cancelled],
        )
    return bool(met - twice - batch.doubtful)


async def _copy_new(
    connection: Connection, rows: Sequence[Row], doubtful: set[int], twice: set[int]
) -> set[int] | None:
    """The fast way: straight into the table, without the doubtful rows whose key is taken, and those that come twice.

    Returns the leaf indexes of these, or None when the key of another row was taken: then nothing is written. One
    sorted pass writes, whoever looked before, so two workers cannot wait for each other.
    """
    try:
        async with connection.transaction():
            met = set(twice)
            if doubtful:
                await _fill_inbox(connection, [row for row in rows if row[LEAF_INDEX] in doubtful])
                met.update(record[0] for record in await connection.fetch(_LOOK))
            await copy_rows(connection, [row for row in rows if row[LEAF_INDEX] not in met] if met else rows)
    except UniqueViolation:
        return None
    return met


async def copy_rows(connection: Connection, rows: Sequence[Row]) -> None:
    """Rows into the table, sorted by key as every writer's must be; raises UniqueViolation for a key that is taken."""
    await connection.copy_to_table(
        "entry", schema_name="charging", columns=COPY_COLUMNS, source=stream(rows), format="binary"
    )


async def _insert_rows(connection: Connection, rows: Sequence[Row]) -> set[int]:
    """The general way; returns the leaf indexes of the rows that met their own key."""
    await _fill_inbox(connection, rows)
    inserted = {record[0] for record in await connection.fetch(_INSERT)}
    return {index for row in rows if (index := row[LEAF_INDEX]) not in inserted}


async def _fill_inbox(connection: Connection, rows: Sequence[Row]) -> None:
    await connection.execute(INBOX)
    await connection.copy_to_table("inbox", columns=COPY_COLUMNS, source=stream(rows), format="binary")


async def _sort_out(connection: Connection, run: Run, batch: Batch, met: set[int]) -> None:
    """Tell repeats from conflicts: a repeat leaves no row and no leaf, a conflict is kept with its bytes."""
    same = {r["leaf_index"]: r["is_same"] for r in await connection.fetch(COMPARE, sorted(met))}
    keys = {row[LEAF_INDEX]: (instant_of(row[0]), *row[1:LEAF_INDEX]) for row in batch.rows if row[LEAF_INDEX] in met}
    conflicts = []
    for index in sorted(met):
        if same[index]:
            _note_repeat(batch, index)
        else:
            conflicts.append(_note_conflict(batch, index, keys[index]))
    await _write_conflicts(connection, run, conflicts)


def _note_repeat(batch: Batch, index: int) -> None:
    batch.leaves[index] = b""
    batch.totals[index] = _as_outcome(batch, index, Outcome.REPEAT)


def _note_conflict(batch: Batch, index: int, key: tuple[object, ...]) -> KeptRecord:
    record = batch.records[index]
    batch.leaves[index] = kept_record_leaf(RowKind.CONFLICT, record, "conflict")
    batch.totals[index] = _as_outcome(batch, index, Outcome.CONFLICT)
    return KeptRecord(index, record, "conflict", "", key)


def _as_outcome(batch: Batch, index: int, outcome: Outcome) -> TotalKey:
    return batch.totals[index]._replace(outcome=outcome, reason=None, tariff_line=None, base_amount=0)


async def _write_conflicts(connection: Connection, run: Run, conflicts: Sequence[KeptRecord]) -> None:
    if not conflicts:
        return
    key, batch = await _sealing_key(connection), run.next_batch()
    await connection.copy_records_to_table(
        "conflict",
        schema_name="charging",
        columns=(
            "batch", "leaf_index", "topic", "partition", "record_offset", "record_time_ms", *KEPT_COLUMNS,
            "accepted_at", "enterprise", "order_id", "worker_key", "kind",
        ),
        records=[conflict_row(key, batch, each) for each in conflicts],
    )  # fmt: skip


async def _sealing_key(connection: Connection) -> DayKey:
    return key_of(await connection.fetchrow(_KEY_OF_KEPT))


async def _write_declarations(connection: Connection, run: Run, batch: Batch) -> None:
    """A declaration sent twice is a repeat; one id with other content or another revision a conflict."""
    conflicts = []
    for row in batch.declarations:
        stored = await connection.fetchval(
            """insert into charging.declaration
                (enterprise, declaration_id, declared_day, body, received, batch, leaf_index,
                revision, key_id, signature, signed_data)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing returning body""",
            row.enterprise, row.declaration_id, row.day, row.body, row.received, run.next_batch(), row.leaf_index,
            *_signature_columns(row.signed),
        )  # fmt: skip
        if stored is not None:
            continue
        known = await connection.fetchrow(
            "select body, revision from charging.declaration where enterprise = $1 and declaration_id = $2",
            row.enterprise,
            row.declaration_id,
        )
        if tuple(known) == row.content:
            _note_repeat(batch, row.leaf_index)
        else:
            key = (None, row.enterprise, row.declaration_id, None, int(RowKind.DECLARATION))
            conflicts.append(_note_conflict(batch, row.leaf_index, key))
    await _write_conflicts(connection, run, conflicts)


def _signature_columns(signed: Signed | None) -> tuple[int | bytes | None, ...]:
    if signed is None:
        return (None,) * 4
    return signed.revision, signed.key_id, signed.signature, signed.data


async def _write_parked(connection: Connection, run: Run, batch: Batch) -> None:
    if not batch.parked:
        return
    key, number = await _sealing_key(connection), run.next_batch()
    await connection.copy_records_to_table(
        "parked",
        schema_name="charging",
        columns=(
            "batch", "leaf_index", "topic", "partition", "record_offset", "record_time_ms", "headers", "reason",
            "detail", *KEPT_COLUMNS,
        ),
        records=[parked_row(key, number, each) for each in batch.parked],
    )  # fmt: skip


async def _write_pauses(connection: Connection, overruns: Sequence[Overrun]) -> None:
    if not overruns:
        return
    await connection.executemany(
        "insert into charging.pause (topic, is_paused, events, parked, reason) values ($1, true, $2, $3, $4)",
        [(each.topic, each.events, each.parked, each.reason) for each in overruns],
    )
