"""Empty the read model for `danbao portal rebuild`; the service then projects everything again."""

from collections.abc import Callable

from fastapi import APIRouter, Depends

from services.reporting.read_model.projector import Projector
from shared.runtime.access import AccessKeys


def make_rebuild_router(keys: AccessKeys, projector: Projector, wake: Callable[[], None]) -> APIRouter:
    """Both routes need the service key."""
    router = APIRouter(prefix="/v1/read-model", dependencies=[Depends(keys.require("service"))])

    @router.post("/rebuild")
    async def rebuild() -> dict[str, int]:
        due = await projector.rebuild()
        wake()
        return due

    @router.get("")
    async def progress() -> dict[str, int]:
        return await projector.count_due()

    return router
