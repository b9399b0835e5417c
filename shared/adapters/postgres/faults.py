"""Classifies errors of one item of work: caused by its content, or by a service that is away for now.

A content fault comes again however often the item is tried: the item is set aside, the next one is done. Everything
that a database or a service may recover from is transient: the item waits and is tried again.
"""

import traceback
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from shared.adapters.postgres.error_kinds import ErrorKind, kind_of, sqlstate_of
from shared.adapters.postgres.queries.storable_text import storable
from shared.domain.errors import Archived, Refused, Retry, WrongAnswer

MOST_DETAIL: Final = 300
"""Characters of a detail that is shown; the log has the rest."""


class Reason(StrEnum):
    """Why an item is set aside: the closed list."""

    REFUSED = "refused"
    """A rule of the scheme says that it cannot be."""
    UNDECODABLE = "undecodable"
    """The stored message, or the report that is made of it, is not of its type."""
    OUT_OF_RANGE = "out_of_range"
    """A number, an instant or a text does not fit its column or the calendar."""
    CONSTRAINT = "constraint"
    """A constraint of the database refuses a row of it."""
    WRONG_ANSWER = "wrong_answer"
    """Another service answered, and the answer cannot be used."""
    ARCHIVED = "archived"
    """The rows that it needs are archived; the detail says which day to restore."""
    UNANSWERED = "unanswered"
    """Another service or the database failed for this item again and again, and was expected to recover."""
    UNEXPECTED = "unexpected"
    """Every other error: a fault of the program, too, holds up nothing else."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A content fault: its reason, and one line without SQL, parameters, addresses or stack."""

    reason: Reason
    detail: str


class ItemFault(Exception):  # noqa: N818 - named by what it carries
    """Content faults of parts of an item, put together under the reason of the first."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


def content_fault(error: Exception) -> Fault | None:
    """The fault that the item's content has; None for an error that is expected to pass."""
    if isinstance(error, ItemFault):
        return error.fault
    reason = _reason(error)
    return None if reason is None else Fault(reason, describe(error))


def describe(error: BaseException) -> str:
    """One line for readers outside: the project's own words, of anything else only the kind of error."""
    match error:
        case Refused() | Retry():
            said = str(error)
        case msgspec.MsgspecError():
            said = f"not of its type: {error}"
        case ValidationError():
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            said = f"not of its type: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        case DBAPIError():
            cause = error.orig and error.orig.__cause__
            named = (type(cause or error.orig).__name__, sqlstate_of(error), getattr(cause, "constraint_name", None))
            said = "database: " + " ".join(str(part) for part in named if part)
        case _:
            said = type(error).__name__
    return " ".join(storable(said).split())[:MOST_DETAIL]


def place_of(error: BaseException) -> str:
    """File, line and function where the error was raised: what a stack says, without the values in it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/site-packages/" not in frame.filename] or frames
    return f"{'/'.join(Path(own[-1].filename).parts[-3:])}:{own[-1].lineno} {own[-1].name}" if own else ""


_OURS: Final[tuple[tuple[type[BaseException], Reason | None], ...]] = (
    (WrongAnswer, Reason.WRONG_ANSWER),
    (Archived, Reason.ARCHIVED),
    (Refused, Reason.REFUSED),
    (Retry, None),
)
"""Raised by the project itself: nothing that caused them changes what they say."""
_OF_KIND: Final = {
    ErrorKind.VALUE: Reason.OUT_OF_RANGE,
    ErrorKind.CONSTRAINT: Reason.CONSTRAINT,
    ErrorKind.TRANSIENT: None,
    ErrorKind.STATEMENT: Reason.UNEXPECTED,
    ErrorKind.UNKNOWN: None,  # it passes when the server is back
}
_OF_TYPE: Final[tuple[tuple[tuple[type[BaseException], ...], Reason | None], ...]] = (
    ((OSError, MemoryError, SQLAlchemyError), None),  # TimeoutError and ConnectionError are OSErrors
    ((msgspec.MsgspecError, ValidationError, UnicodeError), Reason.UNDECODABLE),
    ((ArithmeticError,), Reason.OUT_OF_RANGE),
)
"""The first that fits; any other error is unexpected."""


def _reason(error: BaseException) -> Reason | None:
    for ours, reason in _OURS:
        if isinstance(error, ours):
            return reason
    if (kind := kind_of(error)) is not None:
        return _OF_KIND[kind]
    if isinstance(error, StatementError) and error.orig is not None:  # a parameter that could not be encoded
        return _reason(error.orig)
    return next((reason for types, reason in _OF_TYPE if isinstance(error, types)), Reason.UNEXPECTED)
