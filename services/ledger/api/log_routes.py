"""The log over HTTP: in public as C2SP tlog-tiles has it, and proofs for our own services."""

import gzip
from datetime import date
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.log.checkpoints import LogKeys, read_shown, read_shown_of_day, read_signed_size
from services.ledger.log.entries import read_hashes, read_log_entries, read_roots
from shared.domain.errors import Refused
from shared.domain.evidence import manifest_head, merkle
from shared.domain.evidence.tiles import ENTRIES, Tile, join_entries, parse_path
from shared.runtime.access import AccessKeys
from shared.runtime.http.types import QueryDay

FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
Run = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Number = Annotated[int, Path(ge=1, le=manifest_head.LARGEST)]
Size = Annotated[int | None, Query(ge=0, lt=2**63)]


def make_public_router(engine: AsyncEngine, keys: LogKeys) -> APIRouter:
    """`/log/…`, without a key: what the log says is for everybody. Only what a signed checkpoint covers is shown.

    A checkpoint itself is shown once it is cosigned; before that, the witness reads its entries here.
    """
    router = APIRouter(prefix="/log")

    @router.get("/checkpoint")
    async def checkpoint() -> Response:
        async with engine.connect() as connection:
            _, note = _found(await read_shown(connection, keys), "no checkpoint yet")
        return Response(note, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})

    @router.get("/tile/{path:path}")
    async def tile(path: str, accept_encoding: Annotated[str, Header()] = "") -> Response:
        try:
            wanted = parse_path(f"tile/{path}")
        except Refused as error:
            raise HTTPException(404, str(error)) from error
        async with engine.connect() as connection:
            size = await read_signed_size(connection)
            if not wanted.is_within(size):
                raise HTTPException(404, f"no checkpoint up to {size} covers {path}")
            data = await _read_tile(connection, wanted)
        return _immutable(data, is_packed=wanted.level == ENTRIES and "gzip" in accept_encoding)

    return router


async def _read_tile(connection: AsyncConnection, tile: Tile) -> bytes:
    if tile.level == ENTRIES:
        return join_entries(await read_log_entries(connection, tile.start, tile.end))
    return b"".join(await read_hashes(connection, tile.level, tile.start, tile.end))


def _immutable(data: bytes, *, is_packed: bool) -> Response:
    packed = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"} if is_packed else {}
    body = gzip.compress(data, mtime=0) if is_packed else data
    return Response(body, media_type="application/octet-stream", headers={**FOR_EVER, **packed})


def make_proof_router(engine: AsyncEngine, keys: LogKeys, access: AccessKeys) -> APIRouter:
    """`/v1/log/…`, for the project's own services: the entry of a manifest, and its proof."""
    router = APIRouter(prefix="/v1/log", dependencies=[Depends(access.require("service"))])

    @router.get("/proofs/{run}/{number}")
    async def proof(run: Run, number: Number, size: Size = None) -> dict[str, int | str | list[str]]:
        async with engine.connect() as connection:
            shown, note = _found(await read_shown(connection, keys, size), "no such checkpoint")
            column = tables.log_entry.c
            query = select(column.index).where(column.run == run, column.number == number)
            index = await connection.scalar(query)
            if index is None or index >= shown:
                raise HTTPException(404, f"the checkpoint of {shown} does not cover manifest {run}/{number}")
            hashes = await read_roots(connection, shown, merkle.inclusion_ranges(index, shown))
        proof_hashes = [node.hex() for node in hashes]
        return {"index": index, "size": shown, "proof": proof_hashes, "checkpoint": note.decode()}

    @router.get("/checkpoints")
    async def of_day(day: QueryDay) -> dict[str, date | int | str]:
        async with engine.connect() as connection:
            size, note = _found(await read_shown_of_day(connection, keys, day), f"no checkpoint of {day} yet")
        return {"day": day, "size": size, "checkpoint": note.decode()}

    return router


def _found(shown: tuple[int, bytes] | None, reason: str) -> tuple[int, bytes]:
    if shown is None:
        raise HTTPException(404, reason)
    return shown
