"""SQLAlchemy Core statements on a plain asyncpg connection: each is compiled once, at its first use, to text.

A value that a statement is built with (`kind == 1`) is a constant of its text, so that the planner sees it. What
changes from call to call is a named parameter (`bindparam("day")`): it is passed by name, however often the text has
it. A parameter with `literal_execute` is written into the text of each call, for what every plan has to know, such as
the bounds of one partition.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Executable,
    FromClause,
    MetaData,
    Select,
    Table,
    bindparam,
    column,
    func,
    insert,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg, PGDialect_asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.sql.selectable import CompoundSelect
from sqlalchemy.types import TypeEngine

from shared.adapters.postgres.pool import Connection, Pool

T = TypeVar("T")
RowT = TypeVar("RowT", bound=msgspec.Struct)
Expression = ColumnElement[Any]
"""An expression of any SQL type: SQLAlchemy's generic types do not say that a column of integers is a column."""
Selected = Select[Any]
"""A SELECT with any columns."""
Selection = Selected | CompoundSelect[Any]
"""A query with any columns, UNION included."""


class _Compiler(PGCompiler_asyncpg):
    def visit_bindparam(self, bindparam: BindParameter[Any], *arguments: Any, **options: Any) -> str:
        if bindparam.unique and bindparam.value is not None:
            options["literal_binds"] = True
        text: str = super().visit_bindparam(bindparam, *arguments, **options)
        return text

    def visit_getitem_binary(self, binary: Any, operator: Any, **options: Any) -> str:  # noqa: ARG002 - SQLAlchemy's
        """Put the array in brackets: a cast parameter with a subscript would read as a type with a dimension."""
        return f"({self.process(binary.left, **options)})[{self.process(binary.right, **options)}]"


class _Dialect(PGDialect_asyncpg):
    statement_compiler = _Compiler
    supports_statement_cache = True


_DIALECT: Final = _Dialect()


class Command:
    """A statement whose rows, if it has any, are not read."""

    def __init__(self, statement: Executable) -> None:
        self.statement = statement

    @cached_property
    def _compiled(self) -> SQLCompiler:
        compiled = self.statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
        assert isinstance(compiled, SQLCompiler)
        return compiled

    def bind(self, values: Mapping[str, object]) -> tuple[str, list[object]]:
        """Give the text of a call and its parameters in their order; TypeError unless exactly these are passed."""
        compiled = self._compiled
        if values.keys() != compiled.binds.keys():
            raise TypeError(f"the statement takes {sorted(compiled.binds)}, and {sorted(values)} are given")
        if compiled.literal_execute_params:
            written = compiled.construct_expanded_state(values)
            return written.statement, list(written.positional_parameters)
        return compiled.string, [values[name] for name in compiled.positiontup or ()]

    async def execute(self, connection: Connection | Pool, **values: object) -> None:
        """Run the statement once."""
        text, parameters = self.bind(values)
        await connection.execute(text, *parameters)


class Query(Command, Generic[T]):
    """A statement and what each of its rows is read into: see `query` and `values`."""

    def __init__(self, statement: Executable, read: Callable[[Iterable[Any]], T]) -> None:
        super().__init__(statement)
        self._read = read

    async def fetch(self, connection: Connection | Pool, **values: object) -> list[T]:
        """Read all rows."""
        text, parameters = self.bind(values)
        return [self._read(record) for record in await connection.fetch(text, *parameters)]

    async def fetch_first(self, connection: Connection | Pool, **values: object) -> T | None:
        """Read the first row; None if there is none."""
        text, parameters = self.bind(values)
        record = await connection.fetchrow(text, *parameters)
        return None if record is None else self._read(record)

    async def fetch_one(self, connection: Connection | Pool, **values: object) -> T:
        """Read the row of a statement that always has one."""
        text, parameters = self.bind(values)
        return self._read(await connection.fetchrow(text, *parameters))

    async def blocks(self, connection: Connection, rows: int, **values: object) -> AsyncIterator[list[T]]:
        """Read so many rows at a time through a cursor, within a transaction."""
        text, parameters = self.bind(values)
        cursor = await connection.cursor(text, *parameters)
        while records := await cursor.fetch(rows):
            yield [self._read(record) for record in records]


def query(statement: Selection, row: type[RowT]) -> Query[RowT]:
    """Read rows into structs; TypeError where the columns are not the struct's fields, in their order."""
    columns = tuple(statement.exported_columns.keys())
    if columns != row.__struct_fields__:
        raise TypeError(f"{row.__name__} has {row.__struct_fields__}, and the statement selects {columns}")
    return Query(statement, lambda record: row(*record))


def values(statement: Selection, kind: type[T]) -> Query[T]:
    """Read the one column of each row; TypeError where its value is not of this type."""

    def read(record: Iterable[object]) -> T:
        (value,) = record
        if not isinstance(value, kind):
            raise TypeError(f"{value!r} is not of {kind.__name__}")
        return value

    return Query(statement, read)


def insert_into(table: Table, *columns: str) -> Command:
    """Insert a row with values for these columns, which are the names of the parameters, too."""
    return Command(insert(table).values({name: bindparam(name) for name in columns}))


class TemporaryTable(Command):
    """A table for the rest of the transaction, created from the rows of a query: these are read by parallel workers,
    which an INSERT would not have."""

    def __init__(self, name: str, statement: Selection) -> None:
        super().__init__(statement)
        self._name = name
        columns = [Column(column.key, column.type) for column in statement.exported_columns]
        self.table: Final = Table(name, MetaData(), *columns)

    def bind(self, values: Mapping[str, object]) -> tuple[str, list[object]]:
        """As `Command.bind`."""
        text, parameters = super().bind(values)
        return f"create temporary table {self._name} on commit drop as {text}", parameters


class ArrayTable(Generic[RowT]):
    """A table made of array parameters, a column each: structs that are passed to a statement as rows."""

    def __init__(self, name: str, row: type[RowT], *kinds: TypeEngine[Any]) -> None:
        self._row = row
        self._names = [f"{name}_{field}" for field in row.__struct_fields__]
        arrays = [bindparam(field, type_=ARRAY(kind)) for field, kind in zip(self._names, kinds, strict=True)]
        columns = [column(field, kind) for field, kind in zip(row.__struct_fields__, kinds, strict=True)]
        self.rows: FromClause = func.unnest(*arrays).table_valued(*columns).render_derived(name)
        """The table, to select from."""

    def parameters(self, rows: Sequence[RowT]) -> dict[str, list[object]]:
        """Give the parameters that make these rows."""
        fields = zip(self._names, self._row.__struct_fields__, strict=True)
        return {name: [getattr(row, field) for row in rows] for name, field in fields}
