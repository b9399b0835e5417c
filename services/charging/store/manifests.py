"""Manifests of batches: writer runs, their numbers, and the signed manifest that is stored with each batch."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import msgspec

from services.charging.rows.batch import Batch
from services.charging.store.deployment import read_deployment
from services.charging.store.leaf_groups import Groups
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.decisions import Decision
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.sealing.kept_keys import make_key_of_today
from shared.contracts.manifests import ManifestKind, PremiumsCharged, Total, sign_manifest
from shared.domain.calendar import numbered_day
from shared.domain.errors import Stop
from shared.intake.rated_events import TotalKey

RUN_SHIFT: Final = 32
"""batch = run id << RUN_SHIFT | number."""
RUN_LOCK: Final = 0x72756E
"""Advisory lock of a run: reading its last number waits for a commit that is still under way."""
_MANIFEST: Final = """with written as (
        insert into charging.manifest (batch, run_id, number, events, leaves, root, payload, groups)
        values ($1, $2, $3, $4, $5, $6, $7, $11)),
    days as (
        insert into charging.batch_day (insured_on, batch)
        select date '1970-01-01' + day, $1 from unnest($10::int[]) as day)
    insert into charging.outbox (topic, key, payload) select $8::text, $9::text, $7 where $8::text is not null"""
_SIGNED: Final = b'"signature":"'
"""No text of a manifest can hold it: quotes within one are escaped."""


@dataclass(slots=True)
class Run:
    """One start of one worker; `last` is the last number known to be committed.

    `author` signs its manifests. `limit_seconds` bounds the transaction of a batch or of a settling step, which takes a
    tenth of a second; None for no bound.
    """

    id: int
    run: str
    author: AuthorSigner
    limit_seconds: float | None = None
    last: int = 0

    def next_batch(self) -> int:
        """The batch number of the next manifest."""
        return self.id << RUN_SHIFT | (self.last + 1)


async def start_run(
    connection: Connection,
    purpose: str,
    author: AuthorSigner,
    *,
    decision: Decision | None = None,
    limit_seconds: float | None = None,
) -> Run:
    """Start a run; `purpose` is orders, settlement, close or correction.

    A manifest names its deployment by its author's key, so one deployment cannot write for another: raises Stop where
    the database is another deployment's. A correction needs the decision of a person; the database refuses one without.
    """
    if (owner := await read_deployment(connection)) != author.author.identity:
        raise Stop(f"this database is of the deployment {owner!r}, and the author's key is of {author.author.name}")
    name = uuid4().hex
    await make_key_of_today(connection, "charging")
    sql = "insert into charging.run (run, purpose, decision_id) values ($1, $2, $3) returning id"
    decision_id = None if decision is None else decision.decision_id
    return Run(await connection.fetchval(sql, name, purpose, decision_id), name, author, limit_seconds)


async def read_last_number(connection: Connection, run: Run) -> None:
    """Read which number was committed last, after a lost answer; waits for a commit under way."""
    async with connection.transaction():
        await lock_run(connection, run)
        sql = "select coalesce(max(number), 0) from charging.manifest where run_id = $1"
        run.last = await connection.fetchval(sql, run.id)


async def limit_transaction(connection: Connection, run: Run) -> None:
    """Have the database end this transaction after the run's limit: a stopped worker holds rows that others need."""
    if run.limit_seconds is not None:
        milliseconds = str(round(run.limit_seconds * 1000))
        await connection.execute("select set_config('transaction_timeout', $1, true)", milliseconds)


async def lock_run(connection: Connection, run: Run) -> None:
    """Hold the run's lock until the transaction ends."""
    await connection.execute("select pg_advisory_xact_lock($1, $2)", RUN_LOCK, run.id)


async def write_manifest(
    connection: Connection,
    run: Run,
    batch: Batch,
    kind: ManifestKind,
    topic: str | None,
    totals: list[Total] | None = None,
) -> PremiumsCharged:
    """Store the batch's manifest, signed by its author, with the days it touches; with a topic also in the outbox.

    `totals` replace those of the batch, which are one for each row. Raises Stop when I2 does not hold.
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


def sum_totals(keys: Iterable[TotalKey]) -> list[Total]:
    """Sum one key for each row to the totals of a manifest, in a fixed order."""
    counted = Counter(keys)
    return [
        Total(
            insured_on=None if key.insured_on < 0 else numbered_day(key.insured_on),
            enterprise=key.enterprise,
            province=key.province,
            industry=key.industry,
            outcome=key.outcome,
            reason=key.reason,
            tariff_line=key.tariff_line,
            orders=count,
            premium=count * key.base_amount,
        )
        for key, count in sorted(counted.items(), key=lambda item: str(item[0]))
    ]


def signed_payload(payload: bytes, author: AuthorSigner) -> bytes:
    """Sign a stored manifest that an earlier version wrote without a signature; others are returned unchanged."""
    if _SIGNED in payload:
        return payload
    manifest = msgspec.json.decode(payload, type=PremiumsCharged)
    return msgspec.json.encode(sign_manifest(manifest, author.key_id, author.sign))
