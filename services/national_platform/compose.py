"""Puts the national platform together. It is another party: own database, own keys, no Kafka."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.national_platform.api import Doors, routes
from services.national_platform.faults import FaultKnobs
from services.national_platform.metrics import Metrics
from services.national_platform.reception import Reception
from services.national_platform.roster import Roster
from services.national_platform.witness import Witness
from services.national_platform.witness_api import make_witness_router
from shared.adapters.files.vkeys import read_vkeys
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.pool import Waits
from shared.adapters.signing import NoteSigner, Verifier
from shared.domain.errors import Refused
from shared.domain.signed_note import COSIGNATURE
from shared.runtime.service import Service
from shared.runtime.settings import Settings


@asynccontextmanager
async def compose(service: Service) -> AsyncIterator[None]:
    """Open the database, load roster and public key, add the routes; raises `Refused` for a bad setting."""
    settings = service.settings
    if settings.reporter_public_key is None:
        raise Refused("DANBAO_REPORTER_PUBLIC_KEY is not set: no report could be checked")
    verifier, roster = Verifier(settings.reporter_public_key), Roster.load(settings.platform_roster)
    url, wait_seconds = settings.database.get_secret_value(), settings.pool_wait_seconds
    async with open_engine(url, size=8, waits=Waits.of(settings), wait_seconds=wait_seconds) as engine:

        async def answers() -> str | None:
            async with engine.connect() as connection:
                await connection.execute(text("select 1"))
            return None

        service.add_readiness("database", answers)
        doors = Doors(service.keys, settings.platform_key.get_secret_value())
        service.gate.identify = doors.identify
        reception = Reception(engine, verifier, roster)
        metrics = Metrics(service.registry)
        service.app.include_router(routes(doors, reception, engine, FaultKnobs(settings), metrics))
        if settings.witness_key:
            service.app.include_router(make_witness_router(open_witness(settings, engine), metrics))
        yield


def open_witness(settings: Settings, engine: AsyncEngine) -> Witness:
    """The witness with the key and the logs of the settings; raises `Refused` without either."""
    if settings.witness_key is None or settings.vkeys is None:
        raise Refused("DANBAO_WITNESS_KEY and DANBAO_VKEYS: a witness needs a key, and the keys of the logs it knows")
    signer = NoteSigner(settings.witness_key, settings.witness_name, COSIGNATURE)
    return Witness(engine, signer, read_vkeys(settings.vkeys))
