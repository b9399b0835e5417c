"""A statement with its evidence over HTTP, for our own services and the command."""

from fastapi import APIRouter, Depends, HTTPException
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.log.checkpoints import LogKeys
from services.ledger.queries.statement_evidence import StatementEvidence, read_evidence
from shared.runtime.access import AccessKeys
from shared.runtime.http.types import PathDocumentId


def make_evidence_router(engine: AsyncEngine, keys: LogKeys, access: AccessKeys) -> APIRouter:
    """The route; 409 while no checkpoint covers the month, or when the books are not what the log says."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(access.require("service"))])

    @router.get("/statements/{statement_id}/evidence")
    async def evidence(statement_id: PathDocumentId) -> StatementEvidence:
        async with engine.connect() as connection:
            document = await read_evidence(connection, keys, statement_id)
        if document is None:
            raise HTTPException(404, f"no statement {statement_id}")
        return document

    return router
