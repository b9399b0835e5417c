"""Enterprises (平台企业): the legal entity that pays, known by its USCC (统一社会信用代码, GB 32100-2015)."""

import re
from dataclasses import dataclass
from typing import Final

from shared.domain.errors import Refused

USCC_FORM: Final = "[0-9A-Z]{18}"
"""Regular expression of what is taken for a USCC at every entrance: wider than `is_valid_uscc`, so that an order with
a code of broken form is parked and counted and not turned away."""
_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""31 signs: the digits and the capital letters without I, O, S, V and Z."""
_VALUES: Final = {sign: value for value, sign in enumerate(_ALPHABET)}
_WEIGHTS: Final = tuple(pow(3, place, 31) for place in range(17))
_FIRST_17: Final = re.compile(f"[{_ALPHABET}]{{2}}[0-9]{{6}}[{_ALPHABET}]{{9}}")


@dataclass(frozen=True, slots=True)
class Enterprise:
    """A legal entity of the scheme.

    `is_known_platform` says that the code was taken from a document of an authority, so that a broken
    check digit is a warning: some codes in use are reported to break it, and an order is not lost for that.
    """

    uscc: str
    name: str
    is_known_platform: bool = False


def check_digit(first_17: str) -> str:
    """The 18th sign that belongs to the first 17; raises `Refused` where those cannot be part of a USCC."""
    if not _FIRST_17.fullmatch(first_17):
        raise Refused(f"not the first 17 signs of a USCC: {first_17!r}")
    total = sum(_VALUES[sign] * weight for sign, weight in zip(first_17, _WEIGHTS, strict=True))
    # The outer remainder matters: where the sum is a multiple of 31 the sign is 0; there is no 32nd.
    return _ALPHABET[(31 - total % 31) % 31]


def is_uscc_shaped(text: str) -> bool:
    """Whether length and alphabet are those of a USCC; says nothing of the check digit."""
    return len(text) == 18 and _FIRST_17.fullmatch(text[:17]) is not None and text[17] in _VALUES


def is_valid_uscc(text: str) -> bool:
    """Whether shape and check digit are right; capital letters only, no spaces."""
    return is_uscc_shaped(text) and check_digit(text[:17]) == text[17]
