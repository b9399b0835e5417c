"""Computes the content of a message: what it says, however it is spelled. Equal content under one key is a repeat.

Spacing, the order of fields, the offset of an instant, trailing zeros of money, and the order of what is a set do not
count. Every comparison of a message with an earlier one of its key uses these functions. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from shared.contracts.events import Declaration, NumberRange
from shared.domain.books.number_ranges import Ranges, united
from shared.domain.money import parse_yuan

MONEY: Final = "_yuan"
"""Ending of the name of every field that holds money as a text."""


def content_hash(message: Struct) -> bytes:
    """SHA-256 of the content of a message."""
    said = declared_content(message) if isinstance(message, Declaration) else _normalize(message)
    return sha256(msgspec.json.encode(said)).digest()


def declared_content(declaration: Declaration) -> tuple[object, ...]:
    """What the manifest of a day says, without its id: the numbers of each series, and the sums of each place."""
    series: dict[str, tuple[list[NumberRange], list[NumberRange]]] = defaultdict(lambda: ([], []))
    for said in declaration.series:
        used, unused = series[said.series]
        used += said.used
        unused += said.unused
    sums: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for total in declaration.totals:
        orders, premium = sums[total.province, total.industry]
        sums[total.province, total.industry] = (orders + total.orders, premium + parse_yuan(total.premium_yuan))
    return (
        declaration.day,
        sorted((name, _joined(used), _joined(unused)) for name, (used, unused) in series.items()),
        sorted((place, orders, str(premium)) for place, (orders, premium) in sums.items() if orders or premium),
    )


def _joined(ranges: Iterable[NumberRange]) -> Ranges:
    """The numbers of the ranges; a range whose last number is below its first holds none."""
    return united((part.first, part.last) for part in ranges if part.first <= part.last)


def _normalize(message: Struct) -> dict[str, object]:
    said = {name: getattr(message, name) for name in message.__struct_fields__}
    return {name: _normal(name, value) for name, value in said.items() if value is not UNSET}


def _normal(name: str, value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if name.endswith(MONEY) and isinstance(value, str):
        return parse_yuan(value)
    return value
