"""A database with the schemas of charging and ledger, made once and copied for each history."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shared.adapters.postgres.migrations import migrate
from tests.integration.charging.charging_harness import PASSWORD, ROOT
from tests.support.servers import Postgres, drop_database, make_database


@asynccontextmanager
async def model_template(server: Postgres) -> AsyncIterator[str]:
    """The name of a database with the schemas of charging and ledger, to be copied."""
    name = await make_database(server)
    for schema in ("charging", "ledger"):
        scripts = Path(ROOT, "services", schema, "migrations")
        roles = {f"danbao_{schema}": PASSWORD, "danbao_auditor": PASSWORD}
        await migrate(server.url(name), schema, scripts, roles)
    yield name
    await drop_database(server, name)
