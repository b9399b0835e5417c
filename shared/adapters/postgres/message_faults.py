"""What an error of a handler means for its message: refuse it for good, wait, or try again."""

from collections.abc import Iterator
from typing import Final, Literal

import asyncpg
import msgspec
from asyncpg.exceptions import InterfaceError, PostgresError

from shared.contracts.quarantine import Quarantined, QuarantineReason
from shared.domain.authors import NotAuthorizedError
from shared.domain.errors import Refused, Retry

Meaning = QuarantineReason | Literal["waiting", "transient", "unknown"]
_TRANSIENT_CLASSES: Final = ("08", "25", "40", "53", "55", "57", "58")
"""Of SQLSTATE: connection, transaction state, rollback, resources, locks, an operator's doing, the system."""
_REFUSING_CLASSES: Final = ("22", "23", "44", "54", "P0")
"""Of SQLSTATE: data, constraints, views, program limits, and what our own triggers raise."""


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
    """One line about an error, without the statement and its parameters."""
    for cause in _causes(error):
        if isinstance(cause, PostgresError | InterfaceError):
            return f"{type(cause).__name__}: {cause}"
    return str(error) if isinstance(error, Refused | Retry) else f"{type(error).__name__}: {error}"


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
