"""What an error of a handler means for its message: refuse it for good, wait, or try again."""

import re
from collections.abc import Iterator
from typing import Final, Literal

import asyncpg
import msgspec
from asyncpg.exceptions import InterfaceError, PostgresError

from shared.contracts.quarantine import Quarantined, QuarantineReason
from shared.domain.errors import Refused, Retry
from shared.domain.evidence.authors import NotAuthorizedError
from shared.domain.privacy.redaction import HIDDEN, redact_detail

Meaning = QuarantineReason | Literal["waiting", "transient", "unknown"]
_TRANSIENT_CLASSES: Final = ("08", "25", "40", "53", "55", "57", "58")
"""Of SQLSTATE: connection, transaction state, rollback, resources, locks, an operator's doing, the system."""
_REFUSING_CLASSES: Final = ("22", "23", "44", "54", "P0")
"""Of SQLSTATE: data, constraints, views, program limits, and what our own triggers raise."""

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
    for cause in _causes(error):
        if (found := _of_database(cause)) is not None:
            return found
    if isinstance(error, msgspec.MsgspecError | UnicodeDecodeError):
        return QuarantineReason.UNDECODABLE
    if isinstance(error, Refused | ValueError | OverflowError | RecursionError):
        return QuarantineReason.ABSURD
    return "transient" if isinstance(error, OSError | TimeoutError) else "unknown"


def detail_of(error: BaseException) -> str:
    """One line about an error, without the statement, its parameters, the row, or what else it quotes of a message."""
    if isinstance(error, Refused | Retry):
        return redact_detail(str(error))
    for cause in _causes(error):
        if isinstance(cause, PostgresError | InterfaceError):
            # str() of it has the whole row as DETAIL; what a constraint's message quotes are our own names.
            said = str(cause.args[0]) if cause.args else ""
            is_named = isinstance(cause, asyncpg.IntegrityConstraintViolationError)
            return f"{type(cause).__name__}: {redact_detail(said if is_named else _without_values(said))}"
    said = str(error) if isinstance(error, msgspec.MsgspecError) else _without_values(str(error))
    return f"{type(error).__name__}: {redact_detail(said)}"


def _without_values(said: str) -> str:
    return _QUOTED.sub(HIDDEN, _ARGUMENT.sub(rf"\1 {HIDDEN}", said))


def _of_database(error: BaseException) -> Meaning | None:
    """Client-side errors of the driver are interface errors, too, so data errors are looked for first."""
    if isinstance(error, asyncpg.DataError | asyncpg.IntegrityConstraintViolationError):
        return QuarantineReason.UNSTORABLE
    if isinstance(error, PostgresError):
        state = str(getattr(error, "sqlstate", None) or "")
        if state.startswith(_TRANSIENT_CLASSES):
            return "transient"
        return QuarantineReason.UNSTORABLE if state.startswith(_REFUSING_CLASSES) else "unknown"
    return "transient" if isinstance(error, InterfaceError) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what SQLAlchemy wrapped."""
    following: BaseException | None = error
    while following is not None:
        yield following
        wrapped = getattr(following, "orig", None)
        following = wrapped if isinstance(wrapped, BaseException) else following.__cause__
