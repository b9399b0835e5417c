"""The witness (见证方): cosigns a checkpoint of a log only when it continues the one before (C2SP tlog-witness).

It also requires that charging has made the entries that are new since then (`entry_authors`).

If the process dies here: what was cosigned is committed before it is answered; a log that got no answer repeats its
request, and the same checkpoint is cosigned again.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.national_platform.tables import WITNESS_ALARM, WITNESSED
from services.national_platform.witnessing.entry_authors import EntryAuthors
from shared.adapters.crypto.signing import NoteSigner, is_signed
from shared.contracts.witnessing import AddCheckpoint
from shared.domain.errors import Refused, Retry
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.merkle import EMPTY_ROOT, verify_consistency
from shared.domain.evidence.signed_note import ED25519, Note, VerifierKey, check_note

Outcome = Literal[
    "cosigned", "malformed", "unknown_log", "not_signed", "conflict", "not_consistent", "author_not_proved", "unread"
]
Reason = Literal["forked", "smaller", "not_consistent", "author_not_proved"]


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """Result of a checkpoint: the cosignature line, the size known instead, or why not."""

    outcome: Outcome
    text: str
    alarm: Reason | None = None


@dataclass(frozen=True, slots=True)
class _Submission:
    """A checkpoint that one of the log's keys signed, as it was sent."""

    request: AddCheckpoint
    checkpoint: Checkpoint
    note: Note


class Witness:
    """One name and key; the logs it knows are those of its verifier keys, by origin."""

    def __init__(
        self, engine: AsyncEngine, signer: NoteSigner, keys: Iterable[VerifierKey], entries: EntryAuthors
    ) -> None:
        self._engine = engine
        self._signer = signer
        self._entries = entries
        self._logs: dict[str, list[VerifierKey]] = defaultdict(list)
        for key in keys:
            if key.kind == ED25519:
                self._logs[key.name].append(key)

    async def add_checkpoint(self, body: bytes, now: Callable[[], datetime]) -> WitnessAnswer:
        """Cosign, or say why not; `now` is submission once the checkpoint is known to continue the log."""
        try:
            request = AddCheckpoint.parse(body)
            checkpoint = Checkpoint.parse(request.note.text)
        except Refused as error:
            return WitnessAnswer("malformed", str(error))
        keys = self._logs.get(checkpoint.origin)
        if keys is None:
            return WitnessAnswer("unknown_log", f"{checkpoint.origin!r} is not a log that is witnessed here")
        try:
            signed = check_note(request.note, keys, is_signed)
        except Refused as error:
            return WitnessAnswer("not_signed", str(error))
        if not signed:
            return WitnessAnswer("not_signed", f"no key known for {checkpoint.origin} signed it")
        if request.old_size > checkpoint.size:
            return WitnessAnswer("malformed", f"the old size {request.old_size} is above {checkpoint.size}")
        ours = {(key.name, key.key_id) for key in signed}
        kept = [line for line in request.note.signatures if (line.name, line.key_id) in ours]
        submission = _Submission(request, checkpoint, Note(request.note.text, tuple(kept)))
        try:
            signed_from = await self._check_entries(submission)
        except Retry as error:
            return WitnessAnswer("unread", str(error))
        except Refused as error:
            return await self._refuse_entries(submission, error)
        return await self._cosign(submission, signed_from, now)

    async def _check_entries(self, submission: _Submission) -> int | None:
        """Since which entry they are signed; what is no continuation is left for `_cosign` to refuse."""
        async with self._engine.connect() as connection:
            last, signed_from = await _read_last(connection, submission.checkpoint.origin)
        old, new = (last.size, last.root), (submission.checkpoint.size, submission.checkpoint.root)
        if submission.request.old_size != last.size or not verify_consistency(*old, *new, submission.request.proof):
            return signed_from
        return await self._entries.check(last, submission.checkpoint, signed_from)

    async def _refuse_entries(self, submission: _Submission, error: Refused) -> WitnessAnswer:
        async with self._engine.begin() as connection:
            last, _ = await _read_last(connection, submission.checkpoint.origin)
            await _raise_alarm(connection, submission, "author_not_proved", last)
        return WitnessAnswer("author_not_proved", str(error), "author_not_proved")

    async def _cosign(
        self, submission: _Submission, signed_from: int | None, now: Callable[[], datetime]
    ) -> WitnessAnswer:
        checkpoint, old_size = submission.checkpoint, submission.request.old_size
        async with self._engine.begin() as connection:
            # One after the other for a log: the last size is read and moved on in one step.
            await connection.execute(
                select(func.pg_advisory_xact_lock(func.hashtextextended(f"witness {checkpoint.origin}", 0)))
            )
            last, _ = await _read_last(connection, checkpoint.origin)
            if reason := await _contradiction(connection, checkpoint, last):
                await _raise_alarm(connection, submission, reason, last)
            if old_size != last.size:
                return WitnessAnswer("conflict", f"{last.size}\n", reason)
            proof = submission.request.proof
            if not verify_consistency(last.size, last.root, checkpoint.size, checkpoint.root, proof):
                if reason is None:
                    await _raise_alarm(connection, submission, "not_consistent", last)
                return WitnessAnswer(
                    "not_consistent", "it does not continue what was cosigned", reason or "not_consistent"
                )
            line = self._signer.sign(checkpoint.text, int(now().timestamp())).line
            if checkpoint.size > last.size or not last.origin:
                note = bytes(submission.note) + line.encode()
                row = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root, "note": note}
                more = {"cosigned_at": now(), "signed_from": signed_from}
                await connection.execute(insert(WITNESSED).values({**row, **more}))
        return WitnessAnswer("cosigned", line)

    async def read_last_note(self, origin_hash: str) -> bytes | None:
        """The last cosigned checkpoint of the log whose origin has this SHA-256 (hex); None for an unknown one."""
        for origin in self._logs:
            if hashlib.sha256(origin.encode()).hexdigest() == origin_hash:
                column = WITNESSED.c
                query = select(column.note).where(column.origin == origin).order_by(column.size.desc()).limit(1)
                async with self._engine.connect() as connection:
                    note: bytes | None = await connection.scalar(query)
                return note
        return None


async def _read_last(connection: AsyncConnection, origin: str) -> tuple[Checkpoint, int | None]:
    """The last one cosigned, and since which entry they are signed; before any, the empty tree without an origin."""
    query = select(WITNESSED).where(WITNESSED.c.origin == origin).order_by(WITNESSED.c.size.desc()).limit(1)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return Checkpoint("", 0, EMPTY_ROOT), None
    return Checkpoint(row.origin, row.size, row.root), row.signed_from


async def _contradiction(connection: AsyncConnection, checkpoint: Checkpoint, last: Checkpoint) -> Reason | None:
    """Why what the log signed contradicts what was cosigned; an old checkpoint sent again does not."""
    column = WITNESSED.c
    query = select(column.root).where(column.origin == checkpoint.origin, column.size == checkpoint.size)
    known = await connection.scalar(query)
    if known is not None:
        return None if known == checkpoint.root else "forked"
    return "smaller" if checkpoint.size < last.size else None


async def _raise_alarm(connection: AsyncConnection, submission: _Submission, reason: Reason, last: Checkpoint) -> None:
    row = {
        "origin": submission.checkpoint.origin,
        "reason": reason,
        "size": submission.checkpoint.size,
        "root": submission.checkpoint.root,
        "known_size": last.size,
        "note": bytes(submission.note),
    }
    await connection.execute(upsert(WITNESS_ALARM).values(row).on_conflict_do_nothing())


async def read_witnessed(connection: AsyncConnection) -> dict[str, int]:
    """The size last cosigned of every log."""
    query = select(WITNESSED.c.origin, func.max(WITNESSED.c.size).label("size")).group_by(WITNESSED.c.origin)
    return {row.origin: row.size for row in await connection.execute(query)}


async def read_witness_alarms(connection: AsyncConnection, limit: int = 100) -> list[str]:
    """The newest contradictions, one line each; then that there are older ones, if so."""
    rows = await connection.execute(select(WITNESS_ALARM).order_by(WITNESS_ALARM.c.alarm_id.desc()).limit(limit + 1))
    alarms = [
        f"log {row.reason}: {row.origin}: size {row.size}, root {row.root.hex()}; cosigned up to {row.known_size}"
        for row in rows
    ]
    return alarms if len(alarms) <= limit else [*alarms[:limit], "log: there are older ones"]
