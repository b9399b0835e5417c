"""Random messages of the contract types: the edges of every field, and what a broken author might have sent."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct, inspect

TEXTS: Final = (
    "", "x", "zz", "44", "11", "91110000MA0BLUE021", "september", "2026-10", "2026-99", "\0", "a" * 300, "größe",
    "instant_delivery", "cancelled", "assessed:", "insured_as_employee", "ab" * 32, "n-1",
)  # fmt: skip
NUMBERS: Final = (0, 1, -1, 4, 7, 90, 2_500, 2**31, 2**53, 2**62, 2**63 - 1, -(2**63))
DAYS: Final = (date.min, date.max, date(2022, 1, 1), *(date(2026, 10, number) for number in range(1, 20)))


class RandomMessages:
    """One seeded source of them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def body(self, message: type[Struct]) -> bytes:
        """The bytes of a message of this type; now and then broken ones."""
        body = msgspec.json.encode(self._value(inspect.type_info(message)))
        if self._random.random() < 0.1:
            return body[: self._random.randrange(len(body))]
        return body

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def pick(self, choices: Any) -> Any:
        return self._random.choice(choices)

    def _value(self, kind: inspect.Type) -> Any:
        match kind:
            case inspect.Metadata(type=inner):
                return self._value(inner)
            case inspect.StructType(fields=fields):
                return {field.encode_name: self._value(field.type) for field in fields if self._is_given(field)}
            case inspect.ListType(item_type=item, min_length=least):
                return [self._value(item) for _ in range(max(least or 0, self._random.randrange(3)))]
            case inspect.DictType():
                return {}
            case inspect.UnionType(types=types):
                return self._value(self._random.choice(types))
            case inspect.EnumType(cls=words):
                return self._random.choice(list(words)).value
            case inspect.LiteralType(values=values):
                return self._random.choice(values)
            case _:
                return self._plain(kind)

    def _plain(self, kind: inspect.Type) -> Any:
        match kind:
            case inspect.IntType():
                return self._random.choice(NUMBERS)
            case inspect.StrType():
                return self._random.choice(TEXTS)
            case inspect.DateType():
                return self._random.choice(DAYS).isoformat()
            case inspect.DateTimeType():
                usual = datetime(2026, 10, 3, 4, tzinfo=UTC) + timedelta(hours=self._random.randrange(99))
                return self._random.choice(("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", usual.isoformat()))
            case inspect.BoolType():
                return self._random.random() < 0.5
            case inspect.NoneType():
                return None
            case _:
                return self._random.choice(TEXTS)

    def _is_given(self, field: inspect.Field) -> bool:
        return field.required or self._random.random() < 0.5
