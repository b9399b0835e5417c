"""The witness over HTTP, as C2SP tlog-witness has it. Nobody shows a key: the signature on the checkpoint decides."""

from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import PlainTextResponse, Response

from services.national_platform.metrics import Metrics
from services.national_platform.witnessing.witness import Outcome, Witness
from shared.contracts.witnessing import SIZE_TYPE
from shared.runtime.clock import now

_STATUS: Final[dict[Outcome, int]] = {
    "cosigned": 200,
    "malformed": 400,
    "unknown_log": 404,
    "not_signed": 403,
    "conflict": 409,
    "not_consistent": 422,
    "author_not_proved": 422,
    "unread": 503,
}


def make_witness_router(witness: Witness, metrics: Metrics) -> APIRouter:
    """`/witness` is both prefixes, of submission and of monitoring."""
    router = APIRouter(prefix="/witness")

    @router.post("/add-checkpoint")
    async def add_checkpoint(request: Request) -> Response:
        answer = await witness.add_checkpoint(await request.body(), now)
        metrics.checkpoints.labels(answer.outcome).inc()
        if answer.alarm:
            metrics.witness_alarms.labels(answer.alarm).inc()
        kind = SIZE_TYPE if answer.outcome == "conflict" else "text/plain; charset=utf-8"
        return Response(answer.text.encode(), _STATUS[answer.outcome], headers={"Content-Type": kind})

    @router.get("/{origin_hash}/checkpoint")
    async def last_checkpoint(origin_hash: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]) -> PlainTextResponse:
        note = await witness.read_last_note(origin_hash)
        if note is None:
            raise HTTPException(404, "no checkpoint of this log was cosigned")
        return PlainTextResponse(note)

    return router
