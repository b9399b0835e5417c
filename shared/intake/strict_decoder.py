"""Strict decoder: turns received bytes into an event, or into the reason why it is parked; raises nothing. Pure."""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from shared.contracts.events import FORMS, Event
from shared.contracts.parking import ParkReason
from shared.domain.times import explain_instant

_decode: Final[Callable[[bytes], Event]] = msgspec.json.Decoder(Event).decode
_WHERE: Final = re.compile(r" - at `(\$[^`]*)`\Z")
_WRONG_TYPE: Final = re.compile(r"Expected `[^`]*`, got `")
_BY_BEGINNING: Final = {
    "Object missing required field": ParkReason.MISSING_FIELD,
    "Object contains unknown field": ParkReason.UNKNOWN_FIELD,
    "Expected `datetime` with a timezone component": ParkReason.NAIVE_TIME,
    "Invalid RFC3339 encoded": ParkReason.IMPOSSIBLE_TIME,
}
_BY_FIELD: Final = {
    "$.type": ParkReason.UNKNOWN_TYPE,
    "$.specversion": ParkReason.UNKNOWN_VERSION,
    "$.data.industry": ParkReason.UNKNOWN_INDUSTRY,
    "$.data.sequence": ParkReason.BAD_SEQUENCE,
    "$.data.acceptance_region": ParkReason.UNKNOWN_REGION,
}
_OF_TIMES: Final = frozenset({ParkReason.NAIVE_TIME, ParkReason.IMPOSSIBLE_TIME})
_TIME_OF_DATA: Final = re.compile(r" - at `\$\.data\.([a-z]+_at)`\Z")
_OF_FORM: Final = re.compile(r"\AExpected `str` matching regex .* - at `\$\.([^`]*)`\Z", re.DOTALL)
DECLARED: Final = b'"day.declared.v1"'
DECLARATION_FACTOR: Final = 4
"""A manifest of a day may be so many times as large as another event: as large as its bounds let it be."""
DETAIL_LENGTH: Final = 300
DEEPEST: Final = 500
"""Arrays and objects within each other; ours go to 7. The parser's own limit depends on how deep its caller is."""
DEEP_BYTES: Final = 2 * DEEPEST
"""Shorter values cannot nest deeply enough: each level opens and closes."""
# Everything except brackets: texts (up to the end, where one does not end) and the rest.
_FLAT: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[^]["{}]+', re.DOTALL)


class _AnyData(msgspec.Struct):
    data: object = None


class Parked(msgspec.Struct, frozen=True):
    """Why an event cannot be taken: a reason of the closed list, and a sentence for the person who mends it."""

    reason: ParkReason
    detail: str


def decode(value: bytes | None, max_bytes: int) -> Event | Parked:
    """Decode one event with every check; returns the event, or why it is parked."""
    if not value:
        return Parked(ParkReason.EMPTY, "the message has no bytes")
    if len(value) > max_bytes and len(value) > (most := max_bytes * (DECLARATION_FACTOR if DECLARED in value else 1)):
        return Parked(ParkReason.TOO_LARGE, f"{len(value)} bytes, at most {most} are taken")
    try:
        if not value.isascii():
            value.decode("utf-8")  # the decoder skips over text that it does not keep
        if may_be_deep(value) and _is_deep(value):
            return Parked(ParkReason.TOO_DEEP, f"more than {DEEPEST} arrays and objects within each other")
        return _decode(value)
    except UnicodeDecodeError as error:
        return Parked(ParkReason.NOT_UTF8, f"byte {error.start} is not UTF-8")
    except msgspec.ValidationError as error:
        return _explain(str(error), value)
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        return Parked(ParkReason.NOT_JSON, str(error)[:DETAIL_LENGTH])


def may_be_deep(value: bytes) -> bool:
    """Whether there are enough brackets to exceed the limit."""
    return len(value) > DEEP_BYTES and value.count(b"[") + value.count(b"{") > DEEPEST


def _is_deep(value: bytes) -> bool:
    depth = 0
    for sign in _FLAT.sub(b"", value):
        depth += 1 if sign in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False


def _explain(message: str, value: bytes) -> Parked:
    reason = _reason(message)
    if reason in _OF_TIMES and (match := _TIME_OF_DATA.search(message)):
        text = _read_text(value, match.group(1))
        return Parked(reason, f"data.{match.group(1)}: {explain_instant(text)}"[:DETAIL_LENGTH])
    if match := _OF_FORM.search(message):
        field = match.group(1).rpartition(".")[2]
        message = f"{match.group(1)}: does not have the form of this field: {FORMS.get(field, 'see docs/contracts')}"
    return Parked(reason, message[:DETAIL_LENGTH])


def _read_text(value: bytes, field: str) -> str:
    """The text of a field of data; "" where it is none, or where what follows it is no JSON."""
    try:
        data = msgspec.json.decode(value, type=_AnyData).data
    except (msgspec.DecodeError, ValueError, OverflowError):
        return ""
    text = data.get(field) if isinstance(data, dict) else None
    return text if isinstance(text, str) else ""


def _reason(message: str) -> ParkReason:
    """Derived from the beginning and end of the message: the middle may be quoted from the event."""
    for beginning, reason in _BY_BEGINNING.items():
        if message.startswith(beginning):
            return reason
    if _WRONG_TYPE.match(message):
        return ParkReason.WRONG_TYPE
    match = _WHERE.search(message)
    return _BY_FIELD.get(match.group(1) if match else "$", ParkReason.BAD_VALUE)
