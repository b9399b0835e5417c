"""Write docs/data-model.md from the comments of migrated schemas: `make docs` calls `main`.

Tables are listed in the order in which their migrations create them, which is the order of the service's packages.
"""

import asyncio
from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any, Final

from sqlalchemy import Connection, Inspector, inspect, text

from deploy.embedded.postgres import EmbeddedPostgres
from services.demo.running.migrate import HISTORIES
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.migrations import migrate
from shared.runtime.settings import HOUSE

PAGE: Final = HOUSE / "docs" / "data-model.md"
VERSION_TABLE: Final = "alembic_version"
INTRODUCTION: Final = """# The data model

Generated from the comments in `services/*/migrations/versions/*.sql` by `make docs`: change them there. Every service
owns one schema and reads no other. What a value may be is decided by the constraints in those files.
"""
_TABLES: Final = text("""
select relname from pg_class
where relnamespace = cast(:schema as regnamespace) and relkind in ('r', 'p') and not relispartition
    and relname <> :version
order by oid
""")


def table_names(connection: Connection, schema: str) -> list[str]:
    """The schema's tables in the order in which they were made, without partitions and alembic's own."""
    return list(connection.execute(_TABLES, {"schema": schema, "version": VERSION_TABLE}).scalars())


def describe_schema(connection: Connection, schema: str) -> str:
    """The page's section on one schema, in Markdown."""
    inspector = inspect(connection)
    tables = [_describe_table(inspector, schema, name) for name in table_names(connection, schema)]
    return "\n".join([f"## {schema}\n", *tables])


def _describe_table(inspector: Inspector, schema: str, name: str) -> str:
    key = inspector.get_pk_constraint(name, schema)["constrained_columns"]
    references = [
        f"({', '.join(foreign['constrained_columns'])}) is in `{foreign['referred_table']}`"
        for foreign in inspector.get_foreign_keys(name, schema)
    ]
    comment = inspector.get_table_comment(name, schema)["text"] or ""
    keys = "; ".join([*([f"key ({', '.join(key)})"] if key else []), *sorted(references)])
    rows = [_describe_column(column) for column in inspector.get_columns(name, schema)]
    heading = [f"### {schema}.{name}\n", comment + (f" *{keys[0].upper()}{keys[1:]}.*" if keys else ""), ""]
    return "\n".join([*heading, "| column | type | meaning |", "|---|---|---|", *rows, ""])


def _describe_column(column: Mapping[str, Any]) -> str:
    optional = ", or null" if column["nullable"] else ""
    meaning = (column["comment"] or "").replace("|", "\\|")
    return f"| {column['name']} | {_name_type(column)}{optional} | {meaning} |"


def _name_type(column: Mapping[str, Any]) -> str:
    kind = str(column["type"]).lower().partition(" collate")[0]
    return {"timestamp": "timestamptz"}.get(kind, kind)


def join_page(sections: Sequence[str]) -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *sections])


async def write_page() -> None:
    """Migrate empty databases, write what they say."""
    sections = []
    with EmbeddedPostgres() as server:
        for history in HISTORIES:
            server.create_database(history.schema)
            url = server.url(history.schema)
            await migrate(url, history.schema, history.scripts, {role: token_hex() for role in history.logins})
            async with open_engine(url, size=1) as engine, engine.connect() as connection:
                sections.append(await connection.run_sync(describe_schema, history.schema))
    PAGE.write_text(join_page(sections), encoding="utf-8")


def main() -> None:
    """`python -m tools.data_model`"""
    asyncio.run(write_page())


if __name__ == "__main__":
    main()
