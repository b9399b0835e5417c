"""Numbers of a series (单号序列) as ranges: joined, subtracted, and read from words of 64 bits. Pure.

A range is (first, last), both included. `Ranges` are sorted, do not touch each other and are never empty, so two of
them hold the same numbers exactly when they are equal.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final

Range = tuple[int, int]
Ranges = list[Range]

WORD_BITS: Final = 64
_FULL: Final = (1 << WORD_BITS) - 1


def united(ranges: Iterable[Range]) -> Ranges:
    """All numbers of the ranges, which may overlap and come in any order."""
    merged: Ranges = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            if last > merged[-1][1]:
                merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged


def without(ranges: Ranges, others: Ranges) -> Ranges:
    """The numbers of the first that are in none of the others."""
    remaining: Ranges = []
    place = 0
    for first, last in ranges:
        while place < len(others) and others[place][1] < first:
            place += 1
        at, left = place, first
        while at < len(others) and others[at][0] <= last:
            if left < others[at][0]:
                remaining.append((left, others[at][0] - 1))
            left = others[at][1] + 1
            at += 1
        if left <= last:
            remaining.append((left, last))
    return remaining


def common(ranges: Ranges, others: Ranges) -> Ranges:
    """The numbers that both hold."""
    return without(ranges, without(ranges, others))


def holes(ranges: Ranges) -> Ranges:
    """The numbers between one range and the next."""
    return [(one[1] + 1, other[0] - 1) for one, other in pairwise(ranges)]


def clipped(ranges: Ranges, first: int, last: int) -> Ranges:
    """The parts of the ranges from `first` to `last`."""
    return [(max(a, first), min(b, last)) for a, b in ranges if a <= last and b >= first]


def count_of(ranges: Iterable[Range]) -> int:
    """The number of numbers in the ranges."""
    return sum(last - first + 1 for first, last in ranges)


def ranges_of_words(words: Iterable[tuple[int, int]]) -> Ranges:
    """Words in ascending order, each (its number, its bits): bit n of word w is the number 64 w + n."""
    ranges: Ranges = []
    for word, bits in words:
        for first, last in _runs(word * WORD_BITS, bits):
            if ranges and ranges[-1][1] == first - 1:
                ranges[-1] = (ranges[-1][0], last)
            else:
                ranges.append((first, last))
    return ranges


def _runs(base: int, bits: int) -> Iterator[Range]:
    if bits == _FULL:
        yield base, base + WORD_BITS - 1
        return
    while bits:
        low = (bits & -bits).bit_length() - 1
        above = bits >> low
        length = (~above & (above + 1)).bit_length() - 1
        yield base + low, base + low + length - 1
        bits &= ~(((1 << length) - 1) << low)


def bitmap(words: Mapping[int, int], first: int, last: int) -> bytes | None:
    """The marked numbers of a range, one bit each: number first + n is bit n % 8 of byte n // 8. None for none."""
    begin, end = first // WORD_BITS, last // WORD_BITS
    if not any(words.get(word) for word in range(begin, end + 1)):
        return None
    joined = b"".join(words.get(word, 0).to_bytes(8, "little") for word in range(begin, end + 1))
    length = last - first + 1
    bits = int.from_bytes(joined, "little") >> (first - begin * WORD_BITS) & ((1 << length) - 1)
    return bits.to_bytes((length + 7) // 8, "little") if bits else None


def ranges_of_bitmap(first: int, marked: bytes | None) -> Ranges:
    """The marked numbers of a range that begins at `first`; the opposite of `bitmap`."""
    data = marked or b""
    words = (
        (place, int.from_bytes(data[place * 8 : place * 8 + 8], "little")) for place in range((len(data) + 7) // 8)
    )
    return [(first + low, first + high) for low, high in ranges_of_words(words)]


def described(span: Range, states: Mapping[str, Ranges], other: str) -> list[tuple[int, int, list[str]]]:
    """A span cut where a state begins or ends: (first, last, every state that holds, `other` where none does)."""
    borders = {span[0], span[1] + 1}
    inside = {name: clipped(ranges, *span) for name, ranges in states.items()}
    for ranges in inside.values():
        borders.update(border for first, last in ranges for border in (first, last + 1))
    cuts = sorted(borders)
    place = dict.fromkeys(inside, 0)
    spans: list[tuple[int, int, list[str]]] = []
    for first, after in pairwise(cuts):
        reported = [name for name, ranges in inside.items() if _holds(ranges, place, name, first)] or [other]
        if spans and spans[-1][2] == reported:
            spans[-1] = (spans[-1][0], after - 1, reported)
        else:
            spans.append((first, after - 1, reported))
    return spans


def _holds(ranges: Ranges, place: dict[str, int], name: str, number: int) -> bool:
    """Whether the number is in the ranges; numbers must ascend over the calls, `place` remembers how far."""
    at = place[name]
    while at < len(ranges) and ranges[at][1] < number:
        at += 1
    place[name] = at
    return at < len(ranges) and ranges[at][0] <= number
