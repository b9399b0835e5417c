"""Classifies errors of PostgreSQL and its driver, raw or as SQLAlchemy wraps them: the one reading of SQLSTATE."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from asyncpg.exceptions import InterfaceError, PostgresError


class ErrorKind(StrEnum):
    """What a database error says about trying again."""

    VALUE = "value"
    """A value does not fit: of its column, of the calendar, or of a limit of the program."""
    CONSTRAINT = "constraint"
    """A constraint, or a trigger of the schema, refuses a row."""
    TRANSIENT = "transient"
    """The database is away, full, locked, or ended the transaction."""
    STATEMENT = "statement"
    """The statement is wrong, or the login may not run it: a fault of the program."""
    UNKNOWN = "unknown"
    """Anything else, such as an internal error of the server."""


_OF_CLASS: Final = {
    **dict.fromkeys(("22", "54"), ErrorKind.VALUE),
    **dict.fromkeys(("23", "44", "P0"), ErrorKind.CONSTRAINT),
    "42": ErrorKind.STATEMENT,
    **dict.fromkeys(("08", "25", "28", "3D", "40", "53", "55", "57", "58"), ErrorKind.TRANSIENT),
}
"""By class of SQLSTATE. Transient: connection, transaction state, login, database, rollback, resources, locks, an
operator's doing, the system."""


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The error, and what SQLAlchemy wrapped."""
    following: BaseException | None = error
    while following is not None:
        yield following
        wrapped = getattr(following, "orig", None)
        following = wrapped if isinstance(wrapped, BaseException) else following.__cause__


def kind_of(error: BaseException) -> ErrorKind | None:
    """The kind of a database error; None for an error that is none."""
    return next((kind for cause in causes_of(error) if (kind := _of_driver(cause)) is not None), None)


def sqlstate_of(error: BaseException) -> str | None:
    """PostgreSQL's code; None where the server did not answer."""
    return next((code for cause in causes_of(error) if (code := _code(cause))), None)


def _code(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "") if isinstance(error, PostgresError) else ""


def _of_driver(error: BaseException) -> ErrorKind | None:
    # A value that the driver cannot encode is a DataError as the server's are: its class has SQLSTATE 22000.
    if isinstance(error, PostgresError):
        return _OF_CLASS.get(_code(error)[:2], ErrorKind.UNKNOWN)
    return ErrorKind.TRANSIENT if isinstance(error, InterfaceError) else None
