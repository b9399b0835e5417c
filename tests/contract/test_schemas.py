"""The migrated schemas: commented, described in docs/data-model.md, and as every `tables.py` says."""

import secrets
from collections.abc import AsyncIterator, Iterator
from importlib import import_module

import pytest
import pytest_asyncio
from sqlalchemy import Connection, MetaData, Table, inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeEngine

from services.demo.running.migrate import HISTORIES, History
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.migrations import migrate
from shared.domain.errors import Refused
from tests.support.servers import Postgres, make_database, postgres_server
from tools import data_model

DEFINITIONS = [
    "services.charging.tables",
    "services.ledger.tables",
    "services.national_platform.tables",
    "services.reporting.tables",
    "services.reporting.read_model.read_model_tables",
]
"""Modules with tables as queries see them."""
SCHEMAS = [history.schema for history in HISTORIES]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of this file's own: roles belong to a whole server, and other tests log in with theirs."""
    with postgres_server() as server:
        yield server


@pytest_asyncio.fixture(scope="module")
async def engine(server: Postgres) -> AsyncIterator[AsyncEngine]:
    """A database with all schemas, as its administrator sees it."""
    url = server.url(await make_database(server))
    for history in HISTORIES:
        await _migrate(url, history)
    async with open_engine(url, size=1) as engine:
        yield engine


async def _migrate(url: str, history: History) -> None:
    await migrate(url, history.schema, history.scripts, {role: secrets.token_hex() for role in history.logins})


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_every_table_and_column_has_a_comment(engine: AsyncEngine, schema: str) -> None:
    def without_comment(connection: Connection) -> list[str]:
        inspector = inspect(connection)
        names = data_model.table_names(connection, schema)
        tables = [name for name in names if not inspector.get_table_comment(name, schema)["text"]]
        columns = [
            f"{name}.{column['name']}"
            for name in names
            for column in inspector.get_columns(name, schema)
            if not column["comment"]
        ]
        return tables + columns

    async with engine.connect() as connection:
        assert await connection.run_sync(without_comment) == []


async def test_the_page_of_the_data_model_is_up_to_date(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        sections = [await connection.run_sync(data_model.describe_schema, schema) for schema in SCHEMAS]
    assert data_model.PAGE.read_text(encoding="utf-8") == data_model.join_page(sections), "run `make docs`"


@pytest.mark.parametrize("module", DEFINITIONS)
async def test_tables_are_defined_as_the_database_has_them(engine: AsyncEngine, module: str) -> None:
    tables = _tables_of(module)
    assert tables

    def columns_of(connection: Connection) -> dict[str, dict[str, str]]:
        inspector = inspect(connection)
        return {
            table.name: {
                column["name"]: _name_type(column["type"]) for column in inspector.get_columns(table.name, table.schema)
            }
            for table in tables
        }

    async with engine.connect() as connection:
        actual = await connection.run_sync(columns_of)
    defined = {table.name: {column.name: _name_type(column.type) for column in table.columns} for table in tables}
    assert defined == actual


async def test_a_database_of_before_is_refused(server: Postgres) -> None:
    url, history = server.url(await make_database(server)), HISTORIES[-1]
    await _migrate(url, history)
    async with open_engine(url, size=1) as engine, engine.begin() as connection:
        await connection.execute(text(f"update {history.schema}.alembic_version set version_num = '0003'"))
    with pytest.raises(Refused, match=r"made before 0\.1\.0"):
        await _migrate(url, history)


def _tables_of(module: str) -> list[Table]:
    collections = [value for value in vars(import_module(module)).values() if isinstance(value, MetaData)]
    return [table for collection in collections for table in collection.tables.values()]


def _name_type(kind: TypeEngine[object]) -> str:
    return kind.compile(dialect=postgresql.dialect()).partition(" COLLATE")[0]
