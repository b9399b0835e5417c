"""Puts the national platform together. It is another party: own database, own keys, no Kafka."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.national_platform.api.platform_routes import PlatformAccess, routes
from services.national_platform.api.witness_routes import make_witness_router
from services.national_platform.fault_knobs import FaultKnobs
from services.national_platform.metrics import Metrics
from services.national_platform.reports.reception import Reception
from services.national_platform.reports.roster import Roster
from services.national_platform.settings import PlatformSettings
from services.national_platform.witnessing.entry_authors import EntryAuthors, Fetch, fetch_from
from services.national_platform.witnessing.witness import Witness
from shared.adapters.crypto.author_keys import load_authors
from shared.adapters.crypto.signing import NoteSigner, Verifier
from shared.adapters.files.vkeys import read_vkeys
from shared.adapters.http.clients import make_client
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.pool import Waits
from shared.domain.errors import Refused
from shared.domain.evidence.authors import Role
from shared.domain.evidence.signed_note import COSIGNATURE
from shared.runtime.service import Service

LOG_SECONDS: Final = 4.0
"""A log that takes longer to give a tile is read again by the next request for a cosignature."""


@asynccontextmanager
async def compose(service: Service[PlatformSettings]) -> AsyncIterator[None]:
    """Open the database, load roster and public key, add the routes; raises `Refused` for a bad setting."""
    settings = service.settings
    if settings.reporter_public_key is None:
        raise Refused("DANBAO_REPORTER_PUBLIC_KEY is not set: no report could be checked")
    verifier, roster = Verifier(settings.reporter_public_key), Roster.load(settings.platform_roster)
    url, wait_seconds = settings.database.get_secret_value(), settings.pool_wait_seconds
    async with (
        open_engine(url, size=8, waits=Waits.of(settings), wait_seconds=wait_seconds) as engine,
        make_client(settings, f"{settings.ledger_url}/log/", LOG_SECONDS) as log,
    ):

        async def answers() -> str | None:
            async with engine.connect() as connection:
                await connection.execute(text("select 1"))
            return None

        service.add_readiness("database", answers)
        access = PlatformAccess(service.keys, settings.platform_key.get_secret_value())
        service.gate.identify = access.identify
        reception = Reception(engine, verifier, roster)
        metrics = Metrics(service.registry)
        service.app.include_router(routes(access, reception, engine, FaultKnobs(settings), metrics))
        if settings.witness_key:
            witness = open_witness(settings, engine, fetch_from(log))
            service.app.include_router(make_witness_router(witness, metrics))
        yield


def open_witness(settings: PlatformSettings, engine: AsyncEngine, fetch: Fetch) -> Witness:
    """The witness with the key, logs and authors of the settings; raises `Refused` without any of these."""
    if settings.witness_key is None or settings.vkeys is None:
        raise Refused("DANBAO_WITNESS_KEY and DANBAO_VKEYS: a witness needs a key, and the keys of the logs it knows")
    signer = NoteSigner(settings.witness_key, settings.witness_name, COSIGNATURE)
    entries = EntryAuthors(fetch, load_authors(settings, Role.CHARGING))
    return Witness(engine, signer, read_vkeys(settings.vkeys), entries)
