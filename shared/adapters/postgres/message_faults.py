"""Maps an error of a handler to the fate of its message: refuse it for good, wait, or try again."""

import re
from typing import Final, Literal

import asyncpg
import msgspec
from asyncpg.exceptions import InterfaceError, PostgresError

from shared.adapters.postgres.error_kinds import ErrorKind, causes_of, kind_of
from shared.contracts.quarantine import Quarantined, QuarantineReason
from shared.domain.errors import Refused, Retry
from shared.domain.evidence.authors import NotAuthorizedError
from shared.domain.privacy.redaction import HIDDEN, redact_detail

Meaning = QuarantineReason | Literal["waiting", "transient", "unknown"]
_OF_KIND: Final[dict[ErrorKind, Meaning]] = {
    ErrorKind.VALUE: QuarantineReason.UNSTORABLE,
    ErrorKind.CONSTRAINT: QuarantineReason.UNSTORABLE,
    ErrorKind.TRANSIENT: "transient",
    ErrorKind.STATEMENT: "unknown",
    ErrorKind.UNKNOWN: "unknown",
}
_ARGUMENT: Final = re.compile(r"(for query argument \$[0-9]+):.*", re.DOTALL)
_QUOTED: Final = re.compile(r"'.*'|\".*\"", re.DOTALL)
"""A value of the message, in an error of the database, the driver or Python; from its first quote to its last."""


def meaning_of(error: BaseException) -> Meaning:
    """The reason for which the message is to be quarantined, or what to do instead.

    `waiting`: something that the message needs is missing. `transient`: the database, the broker or another service is
    away. `unknown`: nobody foresaw it.
    """
    if isinstance(error, Quarantined):
        return error.reason
    if isinstance(error, NotAuthorizedError):
        return QuarantineReason(error.fault)
    if isinstance(error, Retry):
        return "waiting"
    if (kind := kind_of(error)) is not None:
        return _OF_KIND[kind]
    if isinstance(error, msgspec.MsgspecError | UnicodeDecodeError):
        return QuarantineReason.UNDECODABLE
    if isinstance(error, Refused | ValueError | OverflowError | RecursionError):
        return QuarantineReason.ABSURD
    return "transient" if isinstance(error, OSError | TimeoutError) else "unknown"


def detail_of(error: BaseException) -> str:
    """One line about an error, without the statement, its parameters, the row, or what else it quotes of a message."""
    if isinstance(error, Refused | Retry):
        return redact_detail(str(error))
    for cause in causes_of(error):
        if isinstance(cause, PostgresError | InterfaceError):
            # str() of it has the whole row as DETAIL; what a constraint's message quotes are our own names.
            said = str(cause.args[0]) if cause.args else ""
            is_named = isinstance(cause, asyncpg.IntegrityConstraintViolationError)
            return f"{type(cause).__name__}: {redact_detail(said if is_named else _without_values(said))}"
    said = str(error) if isinstance(error, msgspec.MsgspecError) else _without_values(str(error))
    return f"{type(error).__name__}: {redact_detail(said)}"


def _without_values(said: str) -> str:
    return _QUOTED.sub(HIDDEN, _ARGUMENT.sub(rf"\1 {HIDDEN}", said))
