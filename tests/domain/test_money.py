"""Amounts: exact strings, one rounding."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Refused
from shared.domain.money import Amount, parse_yuan, round_fraction_to_fen, round_to_fen, yuan

amounts = st.integers(-(10**17), 10**17).map(Amount)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.00"),
        (100, "0.01"),
        (1, "0.0001"),
        (840, "0.0840"),
        (700, "0.07"),
        (123_000, "12.30"),
        (-123_001, "-12.3001"),
        (-50, "-0.0050"),
        (10**16, "1000000000000.00"),
    ],
)
def test_an_amount_is_written_exactly(amount: int, text: str) -> None:
    assert yuan(Amount(amount)) == text


@given(amounts)
def test_what_is_written_is_read_again(amount: Amount) -> None:
    assert parse_yuan(yuan(amount)) == amount


@given(amounts)
def test_a_written_amount_is_what_decimal_says(amount: Amount) -> None:
    assert Decimal(yuan(amount)) * 10_000 == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [("0", 0), ("-0.00", 0), ("3", 30_000), ("0.084", 840), ("0.1", 1_000), ("-1.0001", -10_001)],
)
def test_a_decimal_string_is_read(text: str, amount: int) -> None:
    assert parse_yuan(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "0.00001",
        "1e-2",
        "+1",
        " 1",
        "1 ",
        "01",
        ".5",
        "1.",
        "1,000.00",
        "NaN",
        "٣",
        "1.5.2",
        "--1",
        "123456789012345",
    ],
)
def test_another_shape_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="four places"):
        parse_yuan(text)


@pytest.mark.parametrize("value", [0.07, 7, None, b"0.07"])
def test_anything_but_a_string_is_refused(value: object) -> None:
    with pytest.raises(Refused, match="is a string"):
        parse_yuan(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [
        (49, 0),
        (50, 100),
        (51, 100),
        (149, 100),
        (150, 200),
        (-49, 0),
        (-50, -100),
        (-149, -100),
        (-150, -200),
    ],
)
def test_halves_go_away_from_zero(amount: int, rounded: int) -> None:
    assert round_to_fen(Amount(amount)) == rounded


@given(amounts)
def test_rounding_is_that_of_commerce(amount: Amount) -> None:
    expected = Decimal(amount).scaleb(-2).quantize(Decimal(1), ROUND_HALF_UP)
    assert round_to_fen(amount) == expected * 100


@given(amounts)
def test_whole_fen_stay_what_they_are(amount: Amount) -> None:
    once = round_to_fen(amount)
    assert once % 100 == 0
    assert round_to_fen(once) == once


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_a_fraction_is_rounded_to_the_nearest_fen(numerator: int, denominator: int) -> None:
    rounded = round_fraction_to_fen(numerator, denominator)
    assert rounded % 100 == 0
    assert 2 * abs(numerator - rounded * denominator) <= 100 * denominator


def test_a_fraction_is_not_rounded_twice() -> None:
    # 0.4999 fen: rounding to 0.0001 yuan first would give 0.50 fen and then 1 fen.
    assert round_fraction_to_fen(499_900, 10_000) == 0


def test_a_denominator_is_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        round_fraction_to_fen(1, 0)
