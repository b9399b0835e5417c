"""Puts the national platform together. It is another party: own database, own keys, no Kafka."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from services.national_platform.api import Doors, routes
from services.national_platform.faults import FaultKnobs
from services.national_platform.metrics import Metrics
from services.national_platform.reception import Reception
from services.national_platform.roster import Roster
from shared.adapters.postgres import Waits, open_engine
from shared.adapters.signing import Verifier
from shared.domain.errors import Refused
from shared.runtime.service import Service


@asynccontextmanager
async def compose(service: Service) -> AsyncIterator[None]:
    """Open the database, load roster and public key, add the routes; raises `Refused` for a bad setting."""
    settings = service.settings
    if settings.reporter_public_key is None:
        raise Refused("DANBAO_REPORTER_PUBLIC_KEY is not set: no report could be checked")
    verifier, roster = Verifier(settings.reporter_public_key), Roster.load(settings.platform_roster)
    async with open_engine(settings.database.get_secret_value(), size=8, waits=Waits.of(settings)) as engine:

        async def answers() -> str | None:
            async with engine.connect() as connection:
                await connection.execute(text("select 1"))
            return None

        service.add_readiness("database", answers)
        doors = Doors(service.keys, settings.platform_key.get_secret_value())
        reception = Reception(engine, verifier, roster)
        service.app.include_router(routes(doors, reception, engine, FaultKnobs(settings), Metrics(service.registry)))
        yield
