"""Sign checkpoints of the log, and find the one to show.

If the process dies here: a checkpoint, the roots it needed and the days it covers are one transaction; what was not
signed is signed by the next process that checks. A fault is recorded in a separate transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import structlog
from sqlalchemy import Select, exists, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.log.entries import add_nodes, read_roots, read_size, recompute_root
from services.ledger.settings import LedgerSettings
from shared.adapters.crypto.signing import NoteSigner
from shared.adapters.files.vkeys import read_vkeys
from shared.adapters.postgres.queries.storable_text import storable
from shared.domain.errors import DanbaoError, Refused
from shared.domain.evidence import merkle
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.signed_note import COSIGNATURE, ED25519, Note, Signature, VerifierKey

log = structlog.get_logger(__name__)
# One signer at a time, over all processes: the lock goes with the transaction.
_LOCK: Final = text("select pg_advisory_xact_lock(hashtextextended('ledger.checkpoint', 0))")


class InconsistentError(DanbaoError):
    """The stored log is not the one that was signed before: nothing is signed until a person has reviewed it."""


@dataclass(frozen=True, slots=True)
class LogKeys:
    """Who signs, and whose cosignatures are waited for; without a witness every signed checkpoint is shown."""

    origin: str
    signers: Sequence[NoteSigner]
    witnesses: Sequence[VerifierKey]


def load_log_keys(settings: LedgerSettings) -> LogKeys:
    """The keys that the settings name; raises Refused without one to sign with."""
    if not settings.log_keys:
        raise Refused("DANBAO_LOG_KEYS is not set: no checkpoint could be signed")
    signers = [NoteSigner(path, settings.log_origin, ED25519) for path in settings.log_keys]
    known = read_vkeys(settings.vkeys) if settings.vkeys else []
    witnesses = [key for key in known if key.kind == COSIGNATURE]
    if settings.vkeys and not witnesses:
        raise Refused(f"{settings.vkeys}: it has no witness's key, so no cosignature could be taken")
    return LogKeys(settings.log_origin, signers, witnesses)


async def sign_due_checkpoint(engine: AsyncEngine, keys: LogKeys, every_seconds: float) -> Checkpoint | None:
    """Sign a checkpoint if days were closed since the last, or if it is old and the log has grown; None when not due.

    Raises:
        InconsistentError: The stored hashes do not continue the last checkpoint; it is an alarm by then.
    """
    try:
        async with engine.begin() as connection:
            await connection.execute(_LOCK)
            # Before the size: a day that is closed by now has all its manifests below it.
            days = await _read_unmarked_days(connection)
            last, is_old = await _read_last(connection, every_seconds)
            size = await read_size(connection)
            if not (days or last is None or (is_old and size != last.size)):
                return None
            signed = await _sign(connection, keys, last, size, is_day_close=bool(days))
            rows = [{"day": day, "size": signed.size} for day in days]
            if rows:
                await connection.execute(insert(tables.day_checkpoint), rows)
            return signed
    except InconsistentError as error:
        await keep_fault(engine, "inconsistent", 0, str(error))
        raise


async def _sign(
    connection: AsyncConnection, keys: LogKeys, last: Checkpoint | None, size: int, *, is_day_close: bool
) -> Checkpoint:
    if last is not None and size < last.size:
        raise InconsistentError(f"a checkpoint of {last.size} was signed, the log has {size} entries")
    await add_nodes(connection, size)
    root = await _continued_root(connection, last, size)
    if is_day_close and await recompute_root(connection, size) != root:
        raise InconsistentError(f"the stored roots of tiles are not those of the {size} leaf hashes")
    if last is not None and last.size == size:
        return last
    checkpoint = Checkpoint(keys.origin, size, root)
    note = Note(checkpoint.text, tuple(signer.sign(checkpoint.text) for signer in keys.signers))
    row = {"size": size, "origin": checkpoint.origin, "root": root, "note": bytes(note)}
    await connection.execute(insert(tables.checkpoint).values(row))
    log.info("checkpoint", size=size, root=root.hex())
    return checkpoint


async def _continued_root(connection: AsyncConnection, last: Checkpoint | None, size: int) -> bytes:
    """The root at `size`, after a consistency proof from the last checkpoint held (I7)."""
    old = last or Checkpoint("", 0, merkle.EMPTY_ROOT)
    ranges = merkle.consistency_ranges(old.size, size)
    root, before, *proof = await read_roots(connection, size, [(0, size), (0, old.size), *ranges])
    if before != old.root or not merkle.verify_consistency(old.size, old.root, size, root, proof):
        raise InconsistentError(f"the first {old.size} entries are not those of the checkpoint signed over them")
    return root


async def _read_last(connection: AsyncConnection, every_seconds: float) -> tuple[Checkpoint | None, bool]:
    column = tables.checkpoint.c
    is_old = (func.extract("epoch", func.now() - column.signed_at) >= every_seconds).label("is_old")
    query = select(tables.checkpoint, is_old).order_by(column.size.desc()).limit(1)
    row = (await connection.execute(query)).one_or_none()
    return (None, True) if row is None else (Checkpoint(row.origin, row.size, row.root), row.is_old)


async def _read_unmarked_days(connection: AsyncConnection) -> list[date]:
    marked, closed = tables.day_checkpoint.c, tables.day_closed.c
    query = select(closed.day).where(~exists().where(marked.day == closed.day)).order_by(closed.day)
    return list((await connection.scalars(query)).all())


async def keep_fault(engine: AsyncEngine, kind: str, size: int, detail: str) -> None:
    """Write down why a checkpoint was not signed or not cosigned; the same is written and logged once."""
    row = {"kind": kind, "size": size, "detail": storable(detail[:1_000])}
    async with engine.begin() as connection:
        new = upsert(tables.log_fault).values(row).on_conflict_do_nothing().returning(tables.log_fault.c.fault_id)
        is_new = await connection.scalar(new) is not None
    if is_new:
        log.error("log_fault", kind=kind, size=size, detail=detail)


@dataclass(frozen=True, slots=True)
class LogState:
    """Entries, and how many of them the newest signed and the newest cosigned checkpoint cover; None without one."""

    entries: int
    signed: int | None
    cosigned: int | None
    witness: str | None


async def read_log_state(connection: AsyncConnection) -> LogState:
    """Read the sizes of the log that are committed, signed and cosigned; `witness` is who cosigned last."""
    line = tables.cosignature.c
    query = select(line.size, line.name).order_by(line.size.desc()).limit(1)
    last = (await connection.execute(query)).one_or_none()
    signed: int | None = await connection.scalar(select(func.max(tables.checkpoint.c.size)))
    size, name = (None, None) if last is None else (last.size, last.name)
    return LogState(await read_size(connection), signed, size, name)


async def read_signed_size(connection: AsyncConnection) -> int:
    """Read how many entries the newest signed checkpoint covers, cosigned or not; 0 without one."""
    return await connection.scalar(select(func.max(tables.checkpoint.c.size))) or 0


def _shown(has_witness: bool) -> Select[int, bytes]:
    """Checkpoints that may be shown: with a witness, those that it cosigned."""
    cosigned = exists().where(tables.cosignature.c.size == tables.checkpoint.c.size)
    query = select(tables.checkpoint.c.size, tables.checkpoint.c.note)
    return query.where(cosigned) if has_witness else query


async def read_shown(connection: AsyncConnection, keys: LogKeys, size: int | None = None) -> tuple[int, bytes] | None:
    """Size and note, with cosignatures, of the newest checkpoint to show, or of that size; None without one."""
    column = tables.checkpoint.c
    query = _shown(bool(keys.witnesses)).order_by(column.size.desc()).limit(1)
    return await _with_cosignatures(connection, query if size is None else query.where(column.size == size))


async def read_shown_of_day(connection: AsyncConnection, keys: LogKeys, day: date) -> tuple[int, bytes] | None:
    """The first checkpoint to show that covers the day's close; None while there is none."""
    marked, column = tables.day_checkpoint.c, tables.checkpoint.c
    since = select(marked.size).where(marked.day == day).scalar_subquery()
    query = _shown(bool(keys.witnesses)).where(column.size >= since).order_by(column.size).limit(1)
    return await _with_cosignatures(connection, query)


async def _with_cosignatures(connection: AsyncConnection, query: Select[int, bytes]) -> tuple[int, bytes] | None:
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    line = tables.cosignature.c
    lines = await connection.scalars(select(line.line).where(line.size == row.size).order_by(line.name, line.key_id))
    note = Note.parse(row.note)
    cosignatures = (Signature.parse(signature_line.removesuffix("\n")) for signature_line in lines)
    return row.size, bytes(Note(note.text, (*note.signatures, *cosignatures)))
