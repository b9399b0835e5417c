"""Proof of an order: its rows, each with the way from its leaf to the root of its batch. Reads only.

Interior nodes are not stored (design D6): the leaves of a batch are worked out anew from all its rows. That is done in
SQL, since 8,000 rows would take longer to fetch than to hash; the leaf of the order itself is made by
`shared.domain.leaf`, and a proof that does not lead to the manifest's root is not given out.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import msgspec

from services.charging.archived import prove_beside, read_subtrees, refuse_archived, refuse_unknown_day
from services.charging.batch import since_epoch_us
from shared.adapters.postgres import Connection, Pool
from shared.contracts.manifests import PremiumsCharged, head_of
from shared.domain.calendar import day_bounds
from shared.domain.errors import Refused
from shared.domain.leaf import NO_INT64, order_leaf
from shared.domain.merkle import inclusion_proof, leaf_hash, verify_inclusion
from shared.domain.partial_tree import Nodes

_NONE: Final = r"'\x8000000000000000'::bytea"
_PREFIX: Final = r"'\x0001'::bytea"
"""0x00 of a leaf's hash, and the version of its content."""


def _microseconds(column: str) -> str:
    return f"int8send((extract(epoch from {column}) * 1000000)::bigint)"


def _text(column: str) -> str:
    data = f"convert_to({column}, 'UTF8')"
    return f"int2send(octet_length({column})::smallint) || {data}"


def _optional(column: str) -> str:
    return rf"case when {column} is null then '\xffff'::bytea else {_text(column)} end"


# The same bytes as shared.domain.leaf makes: tests/integration/test_charging_proof.py holds both together.
_ORDER_HASH: Final = rf"""sha256({_PREFIX} || substr(int2send(kind), 2) || convert_to(u.uscc, 'UTF8')
    || {_microseconds("accepted_at")}
    || case when ended_at is null then {_NONE} else {_microseconds("ended_at")} end
    || coalesce(int8send(sequence), {_NONE}) || int8send(premium) || int4send(region) || int4send(tariff_line)
    || int2send(token_key) || int2send(industry) || int2send(reason)
    || case departed when true then '\x01'::bytea when false then '\x00'::bytea else '\xff'::bytea end
    || int8send(worker_key) || worker_rest || received || {_text("order_id")} || {_optional("series")}
    || {_optional("agency_uscc")} || {_optional("employer_insurance_no")})"""
_KEPT_HASH: Final = rf"""sha256({_PREFIX} || '\x{{kind:02x}}'::bytea || int4send(partition) || int8send(record_offset)
    || int8send(record_time_ms) || sha256(coalesce(value, '')) || {_text("topic")} || {_text("{reason}")})"""
_DECLARED_HASH: Final = rf"""sha256({_PREFIX} || '\x07'::bytea || convert_to(u.uscc, 'UTF8')
    || int4send(declared_day - date '0001-01-01' + 1) || received || sha256(body) || {_text("declaration_id")})"""
_KEPT: Final = f"""
    select leaf_index, {_KEPT_HASH.format(kind=5, reason="reason")} from charging.parked where batch = $1
    union all
    select leaf_index, {_KEPT_HASH.format(kind=6, reason="'conflict'")} from charging.conflict where batch = $1
    union all
    select leaf_index, {_DECLARED_HASH}
    from charging.declaration join charging.enterprise u on u.id = enterprise where batch = $1"""
_ENTRIES: Final = f"""
    select leaf_index, {_ORDER_HASH} as hash from charging.entry join charging.enterprise u on u.id = enterprise
    where batch = $1 and accepted_at >= '{{begin}}' and accepted_at < '{{end}}'"""
_LEAVES: Final = """select string_agg(int4send(leaf_index) || hash, '' order by leaf_index)
    from ({parts}) leaf (leaf_index, hash)"""
_WIDTH: Final = 36
_ROWS: Final = """select u.uscc, n.* from charging.entry n join charging.enterprise u on u.id = n.enterprise
    where u.uscc = $1 and n.order_id = $2 and n.accepted_at >= '{begin}' and n.accepted_at < '{end}'
    order by n.accepted_at, n.worker_key, n.kind"""


class Altered(Exception):  # noqa: N818 - an outcome for the caller to tell
    """The rows of a batch no longer give the root that its manifest names."""


@dataclass(frozen=True, slots=True)
class RowProof:
    """One row: its leaf's content, its place among the batch's leaves, the proof, and the manifest's head."""

    content: bytes
    kind: int
    accepted_at: datetime
    worker_id: str
    rank: int
    proof: list[bytes]
    manifest: PremiumsCharged

    def told(self) -> dict[str, Any]:
        """As the API answers it; bytes in hex. `entry` is the manifest's entry in the log."""
        return {
            "kind": self.kind,
            "accepted_at": self.accepted_at,
            "worker_id": self.worker_id,
            "content": self.content.hex(),
            "rank": self.rank,
            "proof": [each.hex() for each in self.proof],
            "run": self.manifest.run,
            "number": self.manifest.number,
            "leaves": self.manifest.leaves,
            "root": self.manifest.root,
            "entry": bytes(head_of(self.manifest)).hex(),
        }


class Proofs:
    """Proofs from charging's rows."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def order(self, enterprise: str, order_id: str, day: date | None) -> list[RowProof]:
        """Every row of an order accepted on the day, or whenever.

        Raises `Altered` where a batch was changed, `Archived` where there may be rows in archived days.
        """
        sql = _ROWS.format(begin="-infinity", end="infinity") if day is None else _bounded(_ROWS, day)
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(sql, enterprise, order_id)
            if not rows:
                await (refuse_unknown_day(connection) if day is None else refuse_archived(connection, day))
            batches = {batch: await _read_batch(connection, batch) for batch in {row["batch"] for row in rows}}
        return [_prove(row, *batches[row["batch"]]) for row in rows]


async def _read_batch(connection: Connection, batch: int) -> tuple[PremiumsCharged, list[int], list[bytes], Nodes]:
    payload = await connection.fetchval("select payload from charging.manifest where batch = $1", batch)
    if payload is None:
        raise Altered(f"there are rows of batch {batch}, which has no manifest")
    manifest = msgspec.json.decode(payload, type=PremiumsCharged)
    return manifest, *await read_leaves(connection, batch), await read_subtrees(connection, batch)


async def read_leaves(connection: Connection, batch: int) -> tuple[list[int], list[bytes]]:
    """Index and hash of each leaf of a batch, in their order, from its rows of every kind."""
    days = await connection.fetch("select insured_on from charging.batch_day where batch = $1", batch)
    parts = [_bounded(_ENTRIES, row["insured_on"]) for row in days]
    packed = await connection.fetchval(_LEAVES.format(parts=" union all ".join([*parts, _KEPT])), batch) or b""
    indexes = [int.from_bytes(packed[place : place + 4]) for place in range(0, len(packed), _WIDTH)]
    hashes = [packed[place + 4 : place + _WIDTH] for place in range(0, len(packed), _WIDTH)]
    return indexes, hashes


def _bounded(sql: str, day: date) -> str:
    """With the day's bounds as constants, so that the plan holds the one part of that day."""
    begin, end = day_bounds(day)
    return sql.format(begin=begin.isoformat(), end=end.isoformat())


def _prove(row: Any, manifest: PremiumsCharged, indexes: list[int], hashes: list[bytes], subtrees: Nodes) -> RowProof:
    content = entry_content(row)
    rank = indexes.index(row["leaf_index"])
    if subtrees:
        try:
            rank, proof = prove_beside(subtrees, manifest.leaves, hashes, rank)
        except Refused as error:
            raise Altered(f"run {manifest.run} number {manifest.number}: {error}") from error
    else:
        proof = inclusion_proof(hashes, rank)
    if not verify_inclusion(leaf_hash(content), rank, manifest.leaves, proof, bytes.fromhex(manifest.root)):
        raise Altered(f"the rows of run {manifest.run} number {manifest.number} do not give its root")
    worker = row["worker_key"].to_bytes(8, signed=True) + row["worker_rest"]
    return RowProof(content, row["kind"], row["accepted_at"], worker.hex(), rank, proof, manifest)


def entry_content(row: Any) -> bytes:
    """The leaf's content of a row of charging.entry, which has its enterprise's `uscc` beside its columns."""
    ended = row["ended_at"]
    return order_leaf(
        row["kind"], row["uscc"].encode(), since_epoch_us(row["accepted_at"]),
        NO_INT64 if ended is None else since_epoch_us(ended),
        NO_INT64 if row["sequence"] is None else row["sequence"], row["premium"], row["region"], row["tariff_line"],
        row["token_key"], row["industry"], row["reason"], -1 if row["departed"] is None else int(row["departed"]),
        row["worker_key"].to_bytes(8, signed=True) + row["worker_rest"], row["received"], row["order_id"].encode(),
        _encoded(row["series"]), _encoded(row["agency_uscc"]), _encoded(row["employer_insurance_no"]),
    )  # fmt: skip


def _encoded(value: str | None) -> bytes | None:
    return None if value is None else value.encode()
