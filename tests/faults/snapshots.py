"""The contents of a small database, kept in memory and put back: quicker than creating it again for each crash."""

import io
from dataclasses import dataclass

import asyncpg

SCHEMAS = ("charging", "ledger", "reporting", "national_platform")
_TABLES = """select format('%I.%I', n.nspname, c.relname) as name, n.nspname as schema, c.relname as table
    from pg_class c join pg_namespace n on n.oid = relnamespace
    where relkind = 'r' and nspname = any($1) and relname <> 'alembic_version' order by 1"""
_SEQUENCES = """select format('%I.%I', schemaname, sequencename) as name, last_value
    from pg_sequences where schemaname = any($1)"""


@dataclass(frozen=True)
class Snapshot:
    """Rows of every table as COPY wrote them, and the positions of the sequences."""

    tables: dict[tuple[str, str], bytes]
    sequences: dict[str, int | None]


async def keep(owner: asyncpg.Connection) -> Snapshot:
    """Read everything; nobody else writes meanwhile."""
    tables = {}
    for row in await owner.fetch(_TABLES, SCHEMAS):
        target = io.BytesIO()
        await owner.copy_from_table(row["table"], schema_name=row["schema"], output=target, format="binary")
        tables[row["schema"], row["table"]] = target.getvalue()
    sequences = {row["name"]: row["last_value"] for row in await owner.fetch(_SEQUENCES, SCHEMAS)}
    return Snapshot(tables, sequences)


async def put_back(owner: asyncpg.Connection, snapshot: Snapshot) -> None:
    """Make the database what it was; its triggers and keys are asleep meanwhile, as for a restored dump."""
    async with owner.transaction():
        await owner.execute("set local session_replication_role = replica")
        now = {(row["schema"], row["table"]): row["name"] for row in await owner.fetch(_TABLES, SCHEMAS)}
        await owner.execute(";".join(_clear(name, key in snapshot.tables) for key, name in now.items()))
        for (schema, table), rows in snapshot.tables.items():
            if len(rows) > EMPTY_BYTES:
                source = io.BytesIO(rows)
                await owner.copy_to_table(table, schema_name=schema, source=source, format="binary")
        await owner.execute(";".join(_set(name, value) for name, value in snapshot.sequences.items()))


EMPTY_BYTES = 21
"""Header and trailer of a binary COPY."""


def _clear(name: str, is_kept: bool) -> str:
    return f"delete from {name}" if is_kept else f"drop table {name}"


def _set(name: str, value: int | None) -> str:
    return f"select setval('{name}', {value or 1}, {'true' if value else 'false'})"
