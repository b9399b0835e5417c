"""Administrative codes (GB/T 2260) that are valid as the place where an order was accepted."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final

from shared.domain.scheme.province import PROVINCES, XPCC

_LOCATIONS: Final = "loc.dat"
"""Data of python-stdnum: a line of two digits a province, then an indented line of four more a code in it."""


@cache
def known_regions() -> frozenset[str]:
    """Every six-digit code of a province (XX0000), prefecture (XXYY00) or county in the 32 reporting units.

    Abolished codes are in it: a device with an old map must not cost a worker the cover, and only the first
    two digits decide about money. 66 and any four digits mean the Xinjiang Production and Construction
    Corps, which has no codes in the standard.
    """
    return frozenset(_listed_codes()) | {f"{XPCC}{rest:04d}" for rest in range(10_000)}


def _listed_codes() -> Iterator[str]:
    province = ""
    for line in (files("stdnum.cn") / _LOCATIONS).read_text(encoding="utf-8").splitlines():
        code = line.split(maxsplit=1)[0] if line.strip() else "#"
        if line.startswith("  ") and province in PROVINCES:
            yield province + code
        elif not line.startswith((" ", "#")):
            province = code
