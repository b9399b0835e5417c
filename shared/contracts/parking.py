"""Lists the reasons to park an event (搁置), and whose fault each is.

A parked event keeps its bytes and can be sent again after a mend.
"""

from enum import StrEnum
from typing import Final


class ParkReason(StrEnum):
    """Why an event is parked. Rows, manifests, reports and metrics use these words; none is ever renamed."""

    # The bytes
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    # The shape
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_VERSION = "unknown_version"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    BAD_VALUE = "bad_value"
    BAD_SEQUENCE = "bad_sequence"
    NAIVE_TIME = "naive_time"
    IMPOSSIBLE_TIME = "impossible_time"
    IDENTITY_IN_CLEAR = "identity_in_clear"
    """A field reads as a citizen's number (公民身份号码) or a mobile number; its detail says what to send instead."""
    # Who and where
    OTHER_ENTERPRISE = "other_enterprise"
    UNKNOWN_ENTERPRISE = "unknown_enterprise"
    UNKNOWN_REGION = "unknown_region"
    UNKNOWN_INDUSTRY = "unknown_industry"
    UNSIGNED = "unsigned"
    """A manifest of a day without a signature, or with what is none, of an enterprise that has a key."""
    WRONG_AUTHOR = "wrong_author"
    """Its signature is of no key that the enterprise has on the day, or is not over this manifest."""
    # When
    IN_FUTURE = "in_future"
    TOO_OLD = "too_old"
    COMPLETION_BEFORE_ACCEPTANCE = "completion_before_acceptance"
    CANCELLATION_BEFORE_ACCEPTANCE = "cancellation_before_acceptance"
    # The database
    UNSTORABLE = "unstorable"
    """The database refuses it, which a bound of the contract should have done: ours to mend."""
    # The scheme
    NO_TARIFF_LINE = "no_tariff_line"
    """An enrolled enterprise's order that no line covers: ours to mend; the audit fails while one is here."""


class Fault(StrEnum):
    """Who has to mend what a finding names. What is ours is never held against an enterprise."""

    ENTERPRISE = "enterprise"
    OURS = "ours"
    """The operator of this installation: its lists, its tariffs, its clock, its outages."""
    UNKNOWN = "unknown"
    """The facts that are recorded do not say it."""


_OURS: Final = frozenset({ParkReason.NO_TARIFF_LINE, ParkReason.UNKNOWN_ENTERPRISE})
"""A tariff or an enrolment that our data lack."""
_UNKNOWN: Final = frozenset(
    {
        ParkReason.IN_FUTURE,  # the sender's clock, or the broker's
        ParkReason.UNKNOWN_VERSION,  # a sender's slip, or a version that is not read here yet
        ParkReason.WRONG_AUTHOR,  # a wrong key, or one that is not registered yet
    }
)


def fault_of_parked(reason: str) -> Fault:
    """Whose fault it is that an event was parked; that of the enterprise where the event alone decides."""
    if reason in _OURS:
        return Fault.OURS
    return Fault.UNKNOWN if reason in _UNKNOWN else Fault.ENTERPRISE
