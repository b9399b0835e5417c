"""Errors of the database mean the same for an item of work and for a message, raw or wrapped by SQLAlchemy."""

from typing import Final

import asyncpg
import pytest
from asyncpg.exceptions import InterfaceError, PostgresError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.error_kinds import ErrorKind, kind_of, sqlstate_of
from shared.adapters.postgres.faults import Reason, content_fault
from shared.adapters.postgres.message_faults import Meaning, meaning_of
from shared.contracts.quarantine import QuarantineReason

RAISED: Final = "do $$ begin raise exception 'no' using errcode = '{}'; end $$"
ITEMS: Final = {
    ErrorKind.VALUE: Reason.OUT_OF_RANGE,
    ErrorKind.CONSTRAINT: Reason.CONSTRAINT,
    ErrorKind.TRANSIENT: None,
    ErrorKind.STATEMENT: Reason.UNEXPECTED,
    ErrorKind.UNKNOWN: None,
}
MESSAGES: Final[dict[ErrorKind, Meaning]] = {
    ErrorKind.VALUE: QuarantineReason.UNSTORABLE,
    ErrorKind.CONSTRAINT: QuarantineReason.UNSTORABLE,
    ErrorKind.TRANSIENT: "transient",
    ErrorKind.STATEMENT: "unknown",
    ErrorKind.UNKNOWN: "unknown",
}


def assert_means(error: Exception, kind: ErrorKind) -> None:
    assert kind_of(error) is kind
    fault = content_fault(error)
    assert (None if fault is None else fault.reason) is ITEMS[kind]
    assert meaning_of(error) == MESSAGES[kind]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("22003", ErrorKind.VALUE), ("22P05", ErrorKind.VALUE), ("54000", ErrorKind.VALUE),
        ("23001", ErrorKind.CONSTRAINT), ("23514", ErrorKind.CONSTRAINT), ("44000", ErrorKind.CONSTRAINT),
        ("P0001", ErrorKind.CONSTRAINT),
        ("08006", ErrorKind.TRANSIENT), ("25P02", ErrorKind.TRANSIENT), ("28P01", ErrorKind.TRANSIENT),
        ("3D000", ErrorKind.TRANSIENT), ("40001", ErrorKind.TRANSIENT), ("53100", ErrorKind.TRANSIENT),
        ("55P03", ErrorKind.TRANSIENT), ("57014", ErrorKind.TRANSIENT), ("58030", ErrorKind.TRANSIENT),
        ("42P01", ErrorKind.STATEMENT), ("42501", ErrorKind.STATEMENT), ("XX000", ErrorKind.UNKNOWN),
        ("26000", ErrorKind.UNKNOWN),
    ],
)  # fmt: skip
async def test_a_code_means_the_same_raw_and_wrapped(database: str, code: str, kind: ErrorKind) -> None:
    connection = await asyncpg.connect(database)
    try:
        with pytest.raises(PostgresError) as raw:
            await connection.execute(RAISED.format(code))
    finally:
        await connection.close()
    assert_means(raw.value, kind)
    async with open_engine(database, size=1) as engine, engine.connect() as sqlalchemy:
        with pytest.raises(DBAPIError) as wrapped:
            await sqlalchemy.execute(text(RAISED.format(code)))
    assert_means(wrapped.value, kind)
    assert sqlstate_of(raw.value) == sqlstate_of(wrapped.value) == code


async def test_a_value_that_the_driver_cannot_encode_is_a_value(database: str) -> None:
    async with open_engine(database, size=1) as engine, engine.connect() as connection:
        with pytest.raises(Exception, match="int32") as beyond:
            await connection.exec_driver_sql("select $1::int", (2**40,))
    assert_means(beyond.value, ErrorKind.VALUE)


async def test_a_connection_that_is_gone_is_transient(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.close()
    with pytest.raises(InterfaceError) as closed:
        await connection.execute("select 1")
    assert_means(closed.value, ErrorKind.TRANSIENT)
