"""A log under test: a ledger with keys, its HTTP interface, and a witness with a separate database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

import services.national_platform
from benchmarks.log import fill as fill_log
from services.ledger.api.log_routes import make_proof_router, make_public_router
from services.ledger.books.open_days import read_books
from services.ledger.log.checkpoints import LogKeys, sign_due_checkpoint
from services.ledger.log.witness import request_cosignature
from services.ledger.operations.alarms import read_alarms
from services.national_platform.api.witness_routes import make_witness_router
from services.national_platform.metrics import Metrics
from services.national_platform.witnessing.entry_authors import EntryAuthors, Fetch, fetch_from
from services.national_platform.witnessing.witness import Witness, read_witness_alarms
from shared.adapters.crypto.signing import NoteSigner, is_signed, make_note_key
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import with_login
from shared.domain.evidence.authors import Authors
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.signed_note import COSIGNATURE, ED25519, Note, VerifierKey, check_note
from tests.integration.ledger.ledger_harness import Ledger
from tests.support.access_keys import opened_by
from tests.support.authors import AUTHORS

ORIGIN: Final = "log.example/test"
WITNESS_NAME: Final = "witness.example/test"
SERVICE_KEY: Final = "a key for one test"
MIGRATIONS: Final = Path(services.national_platform.__file__).parent / "migrations"


async def fill(ledger: Ledger, size: int) -> None:
    """Let the log have `size` entries, as booking writes them, without its checks; `run` is the index in hex."""
    await fill_log(ledger.owner, size)


def alter_entry(index: int) -> str:
    """Write the SQL that gives a byte of an entry of the log another value."""
    return f"update ledger.log_entry set entry = set_byte(entry, 29, 255 - get_byte(entry, 29)) where index = {index}"


async def forge(ledger: Ledger, statement: str) -> None:
    """What somebody with all privileges does."""
    async with ledger.owner.begin() as connection:
        await connection.execute(text("set local session_replication_role = replica"))
        await connection.execute(text(statement))


@dataclass
class LogHouse:
    """The ledger's log and its witness; `clock` is what the witness's clock says."""

    ledger: Ledger
    keys: LogKeys
    witness_engine: AsyncEngine
    witness_signer: NoteSigner
    clock: datetime = datetime(2026, 10, 3, 4, tzinfo=UTC)
    authors: Authors = AUTHORS
    entries: Fetch | None = None
    """Where the witness reads entries; from the ledger without one."""

    @property
    def vkeys(self) -> list[VerifierKey]:
        return [*(signer.verifier for signer in self.keys.signers), self.witness_signer.verifier]

    def with_keys(self, *signers: NoteSigner) -> "LogHouse":
        """A copy of this harness with other keys of the log."""
        return replace(self, keys=replace(self.keys, signers=signers))

    async def sign(self) -> Checkpoint | None:
        return await sign_due_checkpoint(self.ledger.engine, self.keys, 0.0)

    @asynccontextmanager
    async def witness(self, *known: VerifierKey) -> AsyncIterator[httpx.AsyncClient]:
        """The witness over HTTP, knowing these keys (the log's own where none is named)."""
        logs = known or tuple(signer.verifier for signer in self.keys.signers)
        async with self.api(has_witness=False) as own:
            own.base_url = httpx.URL("http://test/log/")
            entries = EntryAuthors(self.entries or fetch_from(own), self.authors)
            app, made = FastAPI(), Witness(self.witness_engine, self.witness_signer, logs, entries)
            app.include_router(make_witness_router(made, Metrics(CollectorRegistry())))
            async with _client(app) as client:
                yield client

    async def cosign(self, *known: VerifierKey) -> str:
        """Request one cosignature of the witness."""
        async with self.witness(*known) as client:
            return await request_cosignature(self.ledger.engine, self.keys, client)

    @asynccontextmanager
    async def api(self, *, has_witness: bool = True) -> AsyncIterator[httpx.AsyncClient]:
        """The log over HTTP, with the service's key shown."""
        keys = self.keys if has_witness else replace(self.keys, witnesses=())
        app = FastAPI()
        app.include_router(make_public_router(self.ledger.engine, keys))
        app.include_router(make_proof_router(self.ledger.engine, keys, opened_by(SERVICE_KEY)))
        async with _client(app) as client:
            client.headers["Authorization"] = f"Bearer {SERVICE_KEY}"
            yield client

    def check(self, note: bytes) -> tuple[Checkpoint, set[str]]:
        """The checkpoint of a note and who signed it."""
        parsed = Note.parse(note)
        return Checkpoint.parse(parsed.text), {key.name for key in check_note(parsed, self.vkeys, is_signed)}

    async def alarms(self, timeout_seconds: float = 60.0) -> list[str]:
        async with self.ledger.engine.connect() as connection:
            return await read_alarms(connection, await read_books(connection), 60, timeout_seconds)

    async def witness_alarms(self) -> list[str]:
        async with self.witness_engine.connect() as connection:
            return await read_witness_alarms(connection)


def _client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def log_signer(folder: Path, name: str = "log", origin: str = ORIGIN) -> NoteSigner:
    """A key of the log, made when it is not there."""
    make_note_key(folder / f"{name}.pem", origin, ED25519)
    return NoteSigner(folder / f"{name}.pem", origin, ED25519)


@asynccontextmanager
async def open_log_house(ledger: Ledger, platform_url: str, folder: Path) -> AsyncIterator[LogHouse]:
    """Keys in the folder, and the witness's own database migrated."""
    roles = {"national_platform": "platform", "danbao_auditor": "auditor"}
    await migrate(platform_url, "national_platform", MIGRATIONS, roles)
    make_note_key(folder / "witness.pem", WITNESS_NAME, COSIGNATURE)
    witness = NoteSigner(folder / "witness.pem", WITNESS_NAME, COSIGNATURE)
    keys = LogKeys(ORIGIN, (log_signer(folder),), (witness.verifier,))
    async with open_engine(with_login(platform_url, "national_platform", "platform")) as engine:
        yield LogHouse(ledger, keys, engine, witness)
