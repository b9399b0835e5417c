"""Random values of a contract type, made from the type itself: its fields, words and bounds, and mostly their ends."""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any, Final, TypeVar

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from msgspec import Struct, inspect

from shared.contracts.bounds import END, FIRST_INSURED_DAY, LAST_INSURED_DAY
from shared.domain.calendar import FIRST_DAY, LAST_DAY

T = TypeVar("T", bound=Struct)
MOST_ITEMS: Final = 3
"""Of a list without a least length: how many there may be is no matter of a column."""
_SHORTEST: Final = re.compile(r"\{(\d+),(\d+)\}")
_ZONES: Final = [UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12)), timezone(timedelta(minutes=1))]


def draw(kind: type[T], number: int, seed_of: int, **fixed: Any) -> list[T]:
    """So many messages of the type; `fixed` fields have these values. The same seed gives the same messages."""
    made: list[T] = []

    @seed(seed_of)
    @settings(
        max_examples=number, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(_of(inspect.type_info(kind)))
    def take(tree: Any) -> None:
        made.append(msgspec.json.decode(msgspec.json.encode(tree | fixed), type=kind))

    take()
    return made


def _of(kind: inspect.Type, name: str = "") -> st.SearchStrategy[Any]:
    match kind:
        case inspect.Metadata(type=inner):
            return _of(inner, name)
        case inspect.StructType(fields=fields):
            given_always = {field.encode_name: _of(field.type, field.name) for field in fields if field.required}
            given_rarely = {field.encode_name: _of(field.type, field.name) for field in fields if not field.required}
            return st.fixed_dictionaries(given_always, optional=given_rarely)
        case inspect.ListType(item_type=item, min_length=least, max_length=most):
            end = MOST_ITEMS if most is None else min(most, max(MOST_ITEMS, least or 0))
            return st.lists(_of(item, name), min_size=least or 0, max_size=end)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=MOST_ITEMS)
        case inspect.UnionType(types=types):
            return st.one_of([_of(member, name) for member in types])
        case inspect.EnumType(cls=words):
            return st.sampled_from([word.value for word in words])
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case _:
            return _plain(kind, name)


def _plain(kind: inspect.Type, name: str) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.IntType():
            return _ints(kind)
        case inspect.StrType(pattern=pattern):
            assert pattern is not None, f"{name}: a text without a pattern has no end"
            return _texts(pattern)
        case inspect.DateType():
            return _days(name)
        case inspect.DateTimeType():
            return _instants()
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case _:
            raise AssertionError(f"{name}: values of {kind} are not made here")


def _ints(kind: inspect.IntType) -> st.SearchStrategy[int]:
    least = kind.ge if kind.ge is not None else None if kind.gt is None else kind.gt + 1
    most = kind.le if kind.le is not None else None if kind.lt is None else kind.lt - 1
    assert least is not None, f"{kind} has no least value"
    assert most is not None, f"{kind} has no largest value"
    return st.sampled_from([least, most]) | st.integers(least, most)


def _texts(pattern: str) -> st.SearchStrategy[str]:
    """Of any length that the pattern takes, and of the longest."""
    plain = pattern.removeprefix("^").removesuffix(END)
    longest = _SHORTEST.sub(r"{\2}", plain).replace(")?", ")")
    return st.from_regex(longest, fullmatch=True) | st.from_regex(plain, fullmatch=True)


def _days(name: str) -> st.SearchStrategy[str]:
    first, last = (FIRST_INSURED_DAY, LAST_INSURED_DAY) if name == "insured_on" else (FIRST_DAY, LAST_DAY)
    return (st.sampled_from([first, last]) | st.dates(first, last)).map(date.isoformat)


def _instants() -> st.SearchStrategy[str]:
    """On the first and the last day in any zone: in UTC they may be a day away."""
    ends = [datetime.combine(FIRST_DAY, time.min), datetime.combine(LAST_DAY, time.max)]
    made = st.builds(lambda at, zone: at.replace(tzinfo=zone), st.sampled_from(ends), st.sampled_from(_ZONES))
    return made.map(datetime.isoformat)
