"""Times as text: one strict reader of what comes in, and one form for what people read.

`datetime.fromisoformat` takes any ninth sign for a separator and reads a compact stamp as another time of day, so it is
used here only, on text that has one of the forms named below.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

from shared.domain.calendar import EPOCH, SHANGHAI
from shared.domain.errors import Refused

INSTANT_FORM: Final = "2026-10-03T09:00:00+08:00 (date, T, time with seconds, offset +08:00 or Z)"
LOCAL_FORM: Final = (
    "2026-10-03 09:00:00 or 2026-10-03T09:00 (seconds may be missing; without an offset in Asia/Shanghai)"
)
DAY_FORM: Final = "2026-10-03"
TimeUnit = Literal["text", "s", "ms"]
"""How a file writes its times: as text, or as seconds or milliseconds since 1970-01-01T00:00Z."""

_DAY: Final = "(?:19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}"
_MINUTES: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_SECONDS: Final = r":[0-5][0-9](?:\.[0-9]{1,6})?"
_OFFSET: Final = f"Z|[+-]{_MINUTES}"
_WHOLE_DAY: Final = re.compile(_DAY)
_INSTANT: Final = re.compile(f"{_DAY}T{_MINUTES}{_SECONDS}(?:{_OFFSET})")
_LOCAL: Final = re.compile(f"{_DAY}[T ]{_MINUTES}(?:{_SECONDS})?(?:{_OFFSET})?")
_FAULTS: Final = (
    (re.compile(f"{_DAY}[T ]{_MINUTES}(?:{_OFFSET})?"), "the seconds are missing"),
    (re.compile(f"{_DAY}[T ]{_MINUTES}{_SECONDS}"), "the offset is missing"),
    (re.compile(f"{_DAY}[T ]{_MINUTES}(?:{_SECONDS})? ?[+-][0-9]{{2}}"), "the offset has no minutes"),
    (re.compile(f"{_DAY}[T ]{_MINUTES}(?:{_SECONDS})?[+-][0-9]{{4}}"), "the offset has no colon"),
    (re.compile(rf"{_DAY}[T ]{_MINUTES}(?:{_SECONDS})?(?:{_OFFSET})?\[[A-Za-z/_+-]+\]"), "a zone is named in brackets"),
    (re.compile(f"{_DAY} {_MINUTES}{_SECONDS}(?:{_OFFSET})"), "a space is in the place of the T"),
    (re.compile("[0-9]{8,20}(?:Z|[+-][0-9:]+)?"), "a number, or a stamp without signs between its parts"),
)
"""Forms that producers and files write, and what is the matter with each."""
_NUMBER: Final = re.compile("[0-9]{1,17}")
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""A number below it is of another unit: 1,791,011,200 is October 2026 in seconds and January 1970 in milliseconds."""
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


def read_instant(text: str) -> datetime:
    """Read an instant with its offset, in the one form of RFC 3339; raises `Refused` with the form for any other."""
    if _INSTANT.fullmatch(text):
        return _read(text, INSTANT_FORM)
    raise Refused(f"{explain_instant(text)}: {text!r}")


def explain_instant(text: str) -> str:
    """Say what is the matter with a text that is no instant, without the text, which may hold anything."""
    fault = next((words for form, words in _FAULTS if form.fullmatch(text)), None)
    return f"{fault}; a time has the form {INSTANT_FORM}" if fault else f"not a time of the form {INSTANT_FORM}"


def read_local_time(text: str) -> datetime:
    """Read an instant that a person or a file writes, in Asia/Shanghai where it names no offset; raises `Refused`."""
    if not _LOCAL.fullmatch(text):
        hint = "; a number needs its unit, s or ms" if _NUMBER.fullmatch(text) else ""
        raise Refused(f"not a time of the form {LOCAL_FORM}{hint}: {text!r}")
    instant = _read(text, LOCAL_FORM)
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=SHANGHAI)


def parse_unit(text: str) -> TimeUnit:
    """Parse the name of a unit; raises `Refused` for any other text."""
    match text:
        case "text" | "s" | "ms":
            return text
        case _:
            raise Refused(f"the unit of times is 'text', 's' or 'ms', not {text!r}")


def read_in_unit(text: str, unit: TimeUnit) -> datetime:
    """Read a time of a file that declares how it writes times; raises `Refused` for one that cannot be meant so."""
    if unit == "text":
        return read_local_time(text)
    if not _NUMBER.fullmatch(text):
        raise Refused(f"not a whole number of {unit} since 1970-01-01T00:00Z: {text!r}")
    number = int(text)
    if number <= _span_of(_LATEST, unit):
        instant = EPOCH + timedelta(**{"seconds" if unit == "s" else "milliseconds": number})
        if instant >= _EARLIEST:
            return instant.astimezone(SHANGHAI)
    raise Refused(f"{text} {unit} since 1970 is not between 2000 and 2199; is it in {'ms' if unit == 's' else 's'}?")


def read_day(text: str) -> date:
    """Read a day; raises `Refused` with the form for any other text."""
    if _WHOLE_DAY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError as error:
            raise Refused(f"no such day: {text!r}: {error}") from error
    raise Refused(f"not a day of the form {DAY_FORM}: {text!r}")


def shown_time(instant: datetime) -> str:
    """Format an aware instant for people: date, time to the second, and offset in Asia/Shanghai."""
    return instant.astimezone(SHANGHAI).isoformat(" ", timespec="seconds")


def exact_time(instant: datetime) -> str:
    """Format an aware instant for programs that show it to people: RFC 3339, to the microsecond, in Asia/Shanghai."""
    return instant.astimezone(SHANGHAI).isoformat()


def _read(text: str, form: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(f"not a time of the form {form}: {text!r}: {error}") from error


def _span_of(instant: datetime, unit: TimeUnit) -> int:
    return (instant - EPOCH) // timedelta(**{"seconds" if unit == "s" else "milliseconds": 1})
