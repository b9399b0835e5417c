"""What charging counted, as an enterprise gets it from reporting: a note that stays the same and holds offline."""

from datetime import date
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from httpx import ASGITransport, AsyncClient
from sqlalchemy.ext.asyncio import create_async_engine

from services.charging.api.series_routes import make_series_router
from services.reporting.access.authentication import Access
from services.reporting.api.acknowledgement_routes import make_acknowledgement_router
from services.reporting.service_clients import Charging, InternalApi, Sources
from shared.adapters.crypto.signing import NoteSigner, is_signed, make_key_pair
from shared.domain.evidence.acknowledgement import Acknowledgement, check_acknowledgement
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.signed_note import ED25519, Note, Signature, VerifierKey
from shared.runtime.access import AccessKeys, Reader, sha256_hex
from tests.integration.charging.charging_harness import NOON, OTHER_RIDES, RIDES, House, Sent, accepted
from tests.integration.charging.test_charging_numbers import DAY, Closes, manifest, number
from tests.integration.charging.test_charging_series import ONE

KEYS = AccessKeys(
    (sha256_hex(name), Reader(name, frozenset({scope})))
    for name, scope in {
        "service": "service", "own": f"enterprise:{RIDES}", "other": f"enterprise:{OTHER_RIDES}",
    }.items()
)  # fmt: skip
CHECKPOINT = Checkpoint("danbao.example/log", 3, bytes(range(32)))
NOTE = Note(CHECKPOINT.text, (Signature(CHECKPOINT.origin, bytes(4), bytes(64)),))


class Ledger:
    """A ledger that says which days are closed, and has a checkpoint for each."""

    def __init__(self) -> None:
        self.closed: set[date] = set()
        self.app = FastAPI()

        @self.app.get("/v1/days/{day}")
        async def day_state(day: date) -> dict[str, Any]:
            return {"day": day, "state": "closed" if day in self.closed else "open"}

        @self.app.get("/v1/log/checkpoints")
        async def checkpoint(day: date) -> dict[str, Any]:
            if day not in self.closed:
                raise HTTPException(404, "none yet")
            return {"checkpoint": bytes(NOTE).decode()}


def client_of(app: FastAPI, key: str) -> AsyncClient:
    headers = {"Authorization": f"Bearer {key}"}
    return AsyncClient(transport=ASGITransport(app), base_url="http://test", headers=headers)


async def test_an_enterprise_gets_a_note_of_what_was_received_for_a_closed_day(house: House, tmp_path: Path) -> None:
    one, close, ledger = await house.worker(), Closes(house), Ledger()
    parked = Sent(b"nonsense", NOON)
    await one.charge(*[number(n) for n in (1, 2, 3, 5)], accepted("other", uscc=OTHER_RIDES, sequence=4), parked)
    await one.charge(number(1), number(6, NOON + ONE), number(7, employer_insurance_no="GS"), manifest(DAY, [(1, 5)]))
    make_key_pair(tmp_path / "key", tmp_path / "public")
    signer = NoteSigner(tmp_path / "key", "danbao.example/acknowledgements", ED25519)
    charging = FastAPI()
    charging.include_router(make_series_router(KEYS, house.pool))
    reporting = FastAPI()
    async with client_of(charging, "service") as to_charging, client_of(ledger.app, "") as to_ledger:
        sources = Sources(Charging.alone(InternalApi("charging", to_charging)), InternalApi("ledger", to_ledger))
        access = Access(create_async_engine("postgresql+asyncpg://"), KEYS)  # keys of the file need no database
        reporting.include_router(make_acknowledgement_router(access, sources, signer))
        async with client_of(reporting, "own") as own, client_of(reporting, "other") as other:
            place = f"/v1/acknowledgements/{RIDES}/{DAY}"
            assert (await own.get(place)).status_code == 404, "neither counted nor closed"
            await close(DAY)
            assert (await own.get(place)).status_code == 404, "counted, and perhaps not equal to the books"
            ledger.closed.add(DAY)
            first = (await own.get(place)).json()
            assert (await other.get(place)).status_code == 403
            assert (await other.get("/v1/acknowledgements/key")).json() == {"key": first["key"]}
            await one.charge(number(4), manifest(DAY, [(1, 7)], name="late"))
            await close(DAY + ONE)
            assert (await own.get(place)).json() == first, "a later arrival belongs to a later day's"
    reported = check_acknowledgement(first["acknowledgement"].encode(), [VerifierKey.parse(first["key"])], is_signed)
    digest = await house.value("select encode(received, 'hex') from charging.declaration order by batch limit 1")
    assert reported == Acknowledgement(
        enterprise=RIDES,
        day=DAY,
        received=(("charged", 5), ("excluded", 1), ("recorded", 1), ("parked", 1), ("repeat", 1)),
        series=(("main", [(1, 3), (5, 5), (7, 7)]),),
        manifests=((f"d{DAY}", digest),),
        checkpoint=CHECKPOINT,
        parked=(("not_json", 1),),
    )
