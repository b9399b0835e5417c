"""Rows of charging by the column: out of PostgreSQL and into it as Arrow tables, a million a second or so.

The only module that uses ADBC. It is not for asyncio: an archive's jobs are separate processes. Needs the extra
`archive`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

TOKEN: Final = pa.binary(32)


class ArrowDatabase:
    """One connection; every read is a separate statement."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def read(self, sql: str) -> pa.Table:
        """The rows of a query as a table; it takes no parameters."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            table: pa.Table = cursor.fetch_arrow_table()
        # The driver notes PostgreSQL's types in each column's metadata, which keeps equal tables from being equal.
        return table.replace_schema_metadata().cast(pa.schema([(field.name, field.type) for field in table.schema]))

    def append(self, schema: str, table: str, rows: pa.Table) -> None:
        """COPY rows into a table that is there, and commit."""
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(table, rows, mode="append", db_schema_name=schema)
        self._connection.commit()


@contextmanager
def open_arrow(url: str) -> Iterator[ArrowDatabase]:
    """A connection to `postgresql://…`, for a URL that names any driver."""
    with adbc.connect("postgresql://" + url.partition("://")[2]) as connection:
        yield ArrowDatabase(connection)
