"""Migrations: one alembic history for each service's schema, run by the administrator, who makes the service's role.

A service's `migrations/` holds `env.py` (which only calls `run_env`) and `versions/`. A version is an SQL file, run
whole by the Python file of the same name; constraints and triggers are the point of it, so it is written, not
generated. The first version of a schema is all of it. A database that was made before it is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command, context, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.ownership import hand_over, make_login
from shared.domain.errors import Refused

_LOCK = 0x64616E62616F


async def migrate(administrator_url: str, schema: str, scripts: Path, roles: Mapping[str, str | None]) -> None:
    """Bring one schema to its newest version; make the login roles (name to password) it grants to.

    A role without a password can no longer log in, if there is one. The schema belongs to `danbao_<schema>_owner`
    afterwards (`ownership`), and only these roles may connect. Raises Refused for a schema of an unknown version.
    """
    async with open_engine(administrator_url, size=1) as engine:
        await _make_roles(engine, roles)
        async with engine.begin() as connection:
            await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            await connection.execute(text(f'create schema if not exists "{schema}"'))
            await connection.run_sync(_upgrade, schema, scripts)
            await hand_over(connection, schema, scripts, [role for role, password in roles.items() if password])


async def _make_roles(engine: AsyncEngine, roles: Mapping[str, str | None]) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        for role, password in roles.items():
            await make_login(connection, role, password)


def _upgrade(connection: Connection, schema: str, scripts: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes.update(connection=connection, schema=schema)
    _check_version(connection, schema, config)
    command.upgrade(config, "head")


def _check_version(connection: Connection, schema: str, config: Config) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    current = MigrationContext.configure(connection, opts={"version_table_schema": schema}).get_current_revision()
    if current is not None and current not in known:
        raise Refused(
            f"schema {schema} is of version {current}, which this release does not know: it was made before 0.1.0 or by"
            " a later release. Use that release, or make a new database."
        )


def run_env() -> None:
    """Run the migrations, for each `env.py`, on the connection and schema that `migrate` gave."""
    given: dict[str, Any] = context.config.attributes
    context.configure(connection=given["connection"], version_table_schema=given["schema"])
    with context.begin_transaction():
        context.run_migrations()


def run_script(sql: str) -> None:
    """Run a text of several statements inside the migration's transaction (lessons: it opens lazily)."""
    await_only(_driver_connection().execute(sql))


def run_script_of(file: str) -> None:
    """Run the SQL file that has the same name as this Python file of a version."""
    run_script(Path(file).with_suffix(".sql").read_text(encoding="utf-8"))


def _driver_connection() -> asyncpg.Connection:
    bind = op.get_bind()
    bind.execute(text("select 1"))
    raw: asyncpg.Connection = bind.connection.driver_connection  # type: ignore[assignment]
    assert raw.is_in_transaction()
    return raw
