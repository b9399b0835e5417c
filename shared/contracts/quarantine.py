"""Lists the reasons to quarantine (隔离) a message of an internal topic: it is kept whole, sealed, and is an alarm.

A quarantined message is acknowledged, and the next one is handled. A person reviews it or has it handled again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.domain.errors import Refused


class QuarantineReason(StrEnum):
    """A closed list, the same in charging, ledger and reporting; a new one is added, none is renamed."""

    UNDECODABLE = "undecodable"
    """Not of the agreed shape, or a value outside its bounds."""
    ABSURD = "absurd"
    """Of the agreed shape, but no service can have meant it."""
    DIFFERENT_CONTENT = "different_content"
    """Known under its key with other content; the first one holds."""
    UNEXPECTED = "unexpected"
    """An answer without a request."""
    FOREIGN_ENTERPRISE = "foreign_enterprise"
    """A manifest of one deployment about an enterprise of another."""
    UNSTORABLE = "unstorable"
    """The database refuses it: a value or an invariant."""
    EXPIRED = "expired"
    """What it needs, such as an earlier number, did not come in time."""
    UNPROCESSABLE = "unprocessable"
    """Its handling fails again and again while database and broker are up."""
    IDENTITY_IN_CLEAR = "identity_in_clear"
    """An id that reads as a citizen's number or a mobile number."""
    OUT_OF_TIME = "out_of_time"
    """A date before the books begin, or one that has not come (`shared/intake/time_bounds.py`)."""
    UNSIGNED = "unsigned"
    """It has no signature, or one of nobody that is known."""
    WRONG_AUTHOR = "wrong_author"
    """It is signed by somebody who may not say this."""
    UNREADABLE = "unreadable"
    """No message, but offsets whose records cannot be unpacked; the bytes are still in the log."""
    LOST = "lost"
    """No message, but offsets that are gone from the log, or a log that was recreated."""


class Quarantined(Refused):
    """Raised by a handler that does not take a message; `str()` of it is the detail."""

    def __init__(self, reason: QuarantineReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """A record of an internal topic as it was read; nothing of it is decoded."""

    topic: str
    partition: int
    offset: int
    body: bytes
    recorded_at: datetime
    headers: tuple[tuple[str, bytes], ...] = ()
