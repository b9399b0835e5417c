"""Ranges of numbers against sets of numbers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.books.number_ranges import (
    Ranges,
    bitmap,
    clipped,
    common,
    count_of,
    described,
    holes,
    ranges_of_bitmap,
    ranges_of_words,
    united,
    without,
)

NUMBERS = st.sets(st.integers(1, 400))
RANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda each: (each[0], each[0] + each[1])))


def numbers(ranges: Ranges) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def words_of(found: set[int]) -> dict[int, int]:
    words: dict[int, int] = {}
    for number in found:
        words[number // 64] = words.get(number // 64, 0) | 1 << number % 64
    return words


@given(RANGES)
def test_united_ranges_are_the_same_numbers_in_the_fewest_ranges(ranges: Ranges) -> None:
    ranges_united = united(ranges)
    assert numbers(ranges_united) == numbers(ranges)
    assert count_of(ranges_united) == len(numbers(ranges))
    assert all(one[1] + 1 < other[0] for one, other in pairwise(ranges_united))


@given(RANGES, RANGES)
def test_differences_and_what_is_common(one: Ranges, other: Ranges) -> None:
    one, other = united(one), united(other)
    assert without(one, other) == united((n, n) for n in numbers(one) - numbers(other))
    assert common(one, other) == united((n, n) for n in numbers(one) & numbers(other))


@given(RANGES.filter(bool))
def test_holes_are_what_is_missing_between_the_ends(ranges: Ranges) -> None:
    ranges = united(ranges)
    whole = set(range(ranges[0][0], ranges[-1][1] + 1))
    assert numbers(holes(ranges)) == whole - numbers(ranges)
    assert numbers(clipped(ranges, 10, 20)) == numbers(ranges) & set(range(10, 21))


@given(NUMBERS)
def test_words_of_bits_become_ranges(found: set[int]) -> None:
    assert ranges_of_words(sorted(words_of(found).items())) == united((n, n) for n in found)


def test_a_full_word_is_one_range_and_joins_the_next() -> None:
    full = (1 << 64) - 1
    assert ranges_of_words([(0, full - 1), (1, full), (2, 1), (4, 1 << 63)]) == [(1, 128), (319, 319)]


@given(NUMBERS, st.integers(1, 300), st.integers(0, 100))
def test_a_bitmap_says_which_numbers_of_a_range_are_marked(marked: set[int], first: int, length: int) -> None:
    last = first + length
    inside = {number for number in marked if first <= number <= last}
    stored = bitmap(words_of(marked), first, last)
    assert (stored is None) == (not inside)
    assert numbers(ranges_of_bitmap(first, stored)) == inside


@given(RANGES, RANGES)
def test_every_number_of_a_span_is_told_with_all_its_states(one: Ranges, other: Ranges) -> None:
    states = {"one": united(one), "other": united(other)}
    reported = described((5, 50), states, "missing")
    assert [first for first, _, _ in reported] == [5, *(last + 1 for _, last, _ in reported[:-1])]
    assert reported[-1][1] == 50
    for first, last, names in reported:
        for number in range(first, last + 1):
            assert names == ([name for name, ranges in states.items() if number in numbers(ranges)] or ["missing"])
