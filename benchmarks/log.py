"""The evidence log: what an entry costs, what a checkpoint costs, how long a proof takes out of a large log.

Entries are written as booking writes them, by one statement instead of one transaction each, with the triggers of the
log off; checkpoints, proofs and tiles go the way of the service, on the embedded PostgreSQL with fsync on.
`python -m benchmarks.log [ENTRIES]`; an entry takes 0.5 kB on disk.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from deploy.embedded.postgres import EmbeddedPostgres
from services.ledger.api.log_routes import make_proof_router, make_public_router
from services.ledger.books.open_days import open_books
from services.ledger.log.checkpoints import LogKeys, sign_due_checkpoint
from services.ledger.log.entries import append_log_entry, recompute_root
from shared.adapters.crypto.signing import NoteSigner, make_note_key
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import with_login
from shared.domain.calendar import Month
from shared.domain.evidence.manifest_head import ManifestHead
from shared.domain.evidence.signed_note import ED25519
from shared.domain.evidence.tiles import WIDTH, Tile
from shared.runtime.access import AccessKeys, Reader, sha256_hex
from shared.runtime.settings import HOUSE

ORIGIN: Final = "bench.example/log"
KEY: Final = "a key of the benchmark"
INTEGRATED: Final = 100_000
PROOFS: Final = 2_000
APPENDED: Final = 2_000

# `run` is the index in hex; the rest is made up.
_FILL: Final = text("""
with filled as (
    insert into ledger.manifest_booked (run, number, kind, leaves, root, content_sha256)
    select lpad(to_hex(i), 32, '0'), 1, 'orders', 1, encode(sha256(int8send(i)), 'hex'), sha256('')
    from generate_series(cast(:start as bigint), cast(:size as bigint) - 1) i returning run, root)
insert into ledger.log_entry (index, run, number, entry)
select ('x' || right(run, 15))::bit(60)::bigint, run, 1,
       '\\x0101'::bytea || decode(run, 'hex') || '\\x0000000100000001'::bytea || decode(root, 'hex') || sha256('')
from filled
""")
_BYTES: Final = text("select pg_total_relation_size('ledger.log_entry') + pg_total_relation_size('ledger.log_node')")


async def fill(owner: AsyncEngine, size: int) -> None:
    """Let the log have `size` entries; as owner, with the triggers off."""
    async with owner.begin() as connection:
        await connection.execute(text("set local session_replication_role = replica"))
        start = await connection.scalar(text("select coalesce(max(index) + 1, 0) from ledger.log_entry"))
        await connection.execute(_FILL, {"start": start, "size": size})


def run(*, entries: int = 1_000_000) -> dict[str, Any]:
    """Measure; seconds, milliseconds and bytes under their names. Runs in the main thread."""
    server = EmbeddedPostgres()
    with server, TemporaryDirectory(prefix="danbao-bench-") as folder:
        server.create_database("danbao")
        return asyncio.run(_measure(server.url("danbao"), Path(folder), entries))


async def _measure(owner_url: str, folder: Path, entries: int) -> dict[str, Any]:
    roles = {"danbao_ledger": "bench-ledger", "danbao_auditor": "bench-auditor"}
    await migrate(owner_url, "ledger", HOUSE / "services" / "ledger" / "migrations", roles)
    make_note_key(folder / "log.pem", ORIGIN, ED25519)
    keys = LogKeys(ORIGIN, (NoteSigner(folder / "log.pem", ORIGIN, ED25519),), ())
    login = with_login(owner_url, "danbao_ledger", "bench-ledger")
    async with open_engine(owner_url, size=1) as owner, open_engine(login) as engine:
        await open_books(engine, Month(2026, 10).first_day)
        await sign_due_checkpoint(engine, keys, 0.0)
        measured: dict[str, Any] = {"append_ms": await _appending(owner)}
        await fill(owner, INTEGRATED)
        measured["sign_100000_new_s"] = await _seconds(lambda: sign_due_checkpoint(engine, keys, 0.0))
        await fill(owner, entries)
        await sign_due_checkpoint(engine, keys, 0.0)
        await fill(owner, entries + 8)
        measured["entries"] = entries + 8
        measured["sign_8_new_ms"] = round(1_000 * await _seconds(lambda: sign_due_checkpoint(engine, keys, 0.0)), 1)
        async with engine.connect() as connection:
            measured["recompute_all_s"] = await _seconds(lambda: recompute_root(connection, entries))
            measured["bytes_a_manifest"] = round((await connection.scalar(_BYTES) or 0) / entries)
        return measured | await _proofs(engine, keys, entries)


async def _appending(owner: AsyncEngine) -> float:
    """Milliseconds that an entry adds to the transaction of a booking; nothing of it stays."""
    async with owner.connect() as connection, connection.begin() as transaction:
        await connection.execute(text("set local session_replication_role = replica"))
        seconds = await _seconds(lambda: _append_many(connection))
        await transaction.rollback()
    return round(1_000 * seconds / APPENDED, 3)


async def _append_many(connection: AsyncConnection) -> None:
    for number in range(APPENDED):
        await append_log_entry(connection, ManifestHead("orders", f"{number:032x}", 1, 1, bytes(32), bytes(32)))


async def _proofs(engine: AsyncEngine, keys: LogKeys, entries: int) -> dict[str, Any]:
    """Through the service's own routes, one after the other, places at random by a seed."""
    app, chosen = FastAPI(), random.Random(1)
    app.include_router(make_public_router(engine, keys))
    app.include_router(
        make_proof_router(engine, keys, AccessKeys([(sha256_hex(KEY), Reader("bench", frozenset({"operator"})))]))
    )
    headers = {"Authorization": f"Bearer {KEY}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bench", headers=headers) as api:
        proofs = [f"/v1/log/proofs/{chosen.randrange(entries):032x}/1" for _ in range(PROOFS)]
        tiles = [f"/log/{Tile(0, chosen.randrange(entries // WIDTH)).path}" for _ in range(PROOFS // 10)]
        return {**await _each(api, "proof", proofs), **await _each(api, "tile", tiles)}


async def _each(api: httpx.AsyncClient, name: str, paths: list[str]) -> dict[str, float]:
    taken = []
    for path in paths:
        began = time.perf_counter()
        answer = await api.get(path)
        taken.append(time.perf_counter() - began)
        assert answer.status_code == 200, path
    taken.sort()
    return {
        f"{name}_{quantile}_ms": round(1_000 * taken[int(len(taken) * share)], 2) for quantile, share in _SHARES.items()
    }


_SHARES: Final = {"p50": 0.50, "p99": 0.99}


async def _seconds(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return round(time.perf_counter() - began, 3)


if __name__ == "__main__":
    print(json.dumps(run(entries=int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000), indent=2))
