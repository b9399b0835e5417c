"""Workers (新就业形态人员), known by a token and never by their identity document (docs/decisions/0004)."""

import hashlib
import hmac
import re
import unicodedata
from typing import Final

from shared.domain.errors import Refused

SHORTEST_KEY_BYTES: Final = 16
"""A shorter scheme key could be found by trying, and with it every identity behind the tokens."""

KEY_BYTES: Final = 8
_ID_TYPE: Final = re.compile(r"[0-9A-Z_-]{1,40}")
_LONGEST_ID_NUMBER: Final = 60
_CITIZEN_FIRST_17: Final = re.compile(r"[0-9]{17}")
_CITIZEN_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CITIZEN_CHECKS: Final = "10X98765432"


def worker_token(key: bytes, id_type: str, id_number: str) -> str:
    """64 lower-case hexadecimal digits: HMAC-SHA-256 under the scheme key of "TYPE:NUMBER", in UTF-8.

    Type and number are normalised first (NFKC, upper case, white space removed), so that a document typed in
    two ways is one worker. The type is part of it because numbers of different documents may coincide.
    Raises `Refused` for a key under 16 bytes, a type that is not a plain word, an empty or endless number;
    no message repeats the number.
    """
    if len(key) < SHORTEST_KEY_BYTES:
        raise Refused(f"the scheme key must have at least {SHORTEST_KEY_BYTES} bytes")
    kind, number = _normalised(id_type), _normalised(id_number)
    if not _ID_TYPE.fullmatch(kind):
        raise Refused("the type of an identity document is one word of letters, digits, - and _")
    if not 0 < len(number) <= _LONGEST_ID_NUMBER:
        raise Refused(f"the number of an identity document has 1 to {_LONGEST_ID_NUMBER} signs")
    return hmac.new(key, f"{kind}:{number}".encode(), hashlib.sha256).hexdigest()


def split_token(token: bytes) -> tuple[int, bytes]:
    """The two columns that keep a token of 32 bytes: its first 8 as a signed integer for keys, and the other 24."""
    return int.from_bytes(token[:KEY_BYTES], signed=True), token[KEY_BYTES:]


def join_token(key: int, rest: bytes) -> bytes:
    """The token of two columns."""
    return key.to_bytes(KEY_BYTES, signed=True) + rest


def citizen_check_digit(first_17: str) -> str:
    """The 18th sign of a citizen number (公民身份号码, GB 11643-1999, MOD 11-2); "X" means ten."""
    if not _CITIZEN_FIRST_17.fullmatch(first_17):
        raise Refused("not the first 17 digits of a citizen number")
    total = sum(int(digit) * weight for digit, weight in zip(first_17, _CITIZEN_WEIGHTS, strict=True))
    return _CITIZEN_CHECKS[total % 11]


def is_valid_citizen_number(text: str) -> bool:
    """Whether an 18-sign citizen number has the right check digit; its date and place are not checked."""
    if len(text) != 18 or not _CITIZEN_FIRST_17.fullmatch(text[:17]):
        return False
    return citizen_check_digit(text[:17]) == text[17]


def _normalised(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).upper().split())
