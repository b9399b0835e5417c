"""Serve signed acknowledgements (接收确认) over HTTP: what was received from an enterprise for a day."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException

from services.reporting.access.authentication import Access
from services.reporting.access.viewers import Role, Viewer
from services.reporting.receipts.acknowledgements import acknowledge
from services.reporting.service_clients import Sources
from shared.adapters.crypto.signing import NoteSigner
from shared.domain.evidence.signed_note import Note
from shared.runtime.http.types import PathDay, PathUscc

KEY_PATH: Final = "/v1/acknowledgements/key"
"""Open to everybody: the key that acknowledgements are checked with."""


def make_acknowledgement_router(access: Access, sources: Sources, signer: NoteSigner) -> APIRouter:
    """For operators, the national regulator, and an enterprise for its own; the key to check them is public."""
    router = APIRouter(prefix="/v1/acknowledgements")
    readers = access.require(Role.NATIONAL, Role.ENTERPRISE, Role.OPERATOR)

    @router.get("/key")
    async def key() -> dict[str, str]:
        return {"key": str(signer.verifier)}

    @router.get("/{uscc}/{day}")
    async def acknowledgement(
        viewer: Annotated[Viewer, Depends(readers)], uscc: PathUscc, day: PathDay
    ) -> dict[str, str]:
        if not viewer.sees(None, uscc):
            raise HTTPException(403, f"{viewer.name} does not see {uscc}")
        acknowledged = await acknowledge(sources, uscc, day)
        if acknowledged is None:
            raise HTTPException(404, f"{day} is not closed")
        note = Note(acknowledged.text, (signer.sign(acknowledged.text),))
        return {"key": str(signer.verifier), "acknowledgement": bytes(note).decode()}

    return router
