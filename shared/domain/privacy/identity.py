"""Identities in clear: whether a text reads as a citizen's number (公民身份号码) or a mobile number (手机号).

Chance makes some numbers read so. A field that has another meaning is refused for it; order ids are judged by their
share (`shared.domain.privacy.identity_share`).
"""

import re
from datetime import date
from typing import Final

from shared.domain.scheme.worker import is_valid_citizen_number

_DIGITS: Final = re.compile(r"[0-9]{11}")
_RUN: Final = re.compile(r"(?<![0-9])[0-9]{11,}[Xx]?")
_SEPARATORS: Final = str.maketrans("", "", "-_.:+ ")
_MOBILE: Final = re.compile(r"(?:(?:00)?86)?1[3-9][0-9]{9}")
_PROVINCES: Final = frozenset(
    f"{tens}{ones}"
    for tens, last in (("1", 5), ("2", 3), ("3", 7), ("4", 6), ("5", 4), ("6", 5))
    for ones in range(0 if tens == "5" else 1, last + 1)
) | {"71", "81", "82", "83"}
EARLIEST_BIRTH: Final = 1900
LATEST_BIRTH: Final = 2030


def reads_as_identity(text: str) -> bool:
    """Whether the whole text, separators aside, or a run of digits in it is a citizen's or a mobile number."""
    if _DIGITS.search(text) is None:
        joined = text.translate(_SEPARATORS)
        return joined != text and _is_number(joined)
    return any(_is_number(run) for run in _RUN.findall(text)) or _is_number(text.translate(_SEPARATORS))


def is_citizen_number(text: str) -> bool:
    """18 signs with a date and the right check digit, or the 15 digits used before 1999 with province and date."""
    if len(text) == 18:
        return is_valid_citizen_number(text.upper()) and _is_date(text[6:14])
    return len(text) == 15 and text.isdecimal() and text[:2] in _PROVINCES and _is_date("19" + text[6:12])


def is_mobile_number(text: str) -> bool:
    """11 digits that begin with 13 to 19, with or without the country's code."""
    return _MOBILE.fullmatch(text) is not None


def _is_number(text: str) -> bool:
    if text[-1:] in {"X", "x"} and len(text) != 18:
        text = text[:-1]
    return is_mobile_number(text) or is_citizen_number(text)


def _is_date(text: str) -> bool:
    try:
        born = date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return False
    return EARLIEST_BIRTH <= born.year <= LATEST_BIRTH
