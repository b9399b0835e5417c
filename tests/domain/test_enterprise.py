"""The unified social credit code (GB 32100-2015)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import uscc as reference

from shared.domain.errors import Refused
from shared.domain.scheme.enterprise import check_digit, is_uscc_shaped, is_valid_uscc

SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
first_17 = st.builds(
    "".join,
    st.tuples(
        st.text(SIGNS, min_size=2, max_size=2),
        st.text("0123456789", min_size=6, max_size=6),
        st.text(SIGNS, min_size=9, max_size=9),
    ),
)


@pytest.mark.parametrize("uscc", ["91350100M000100Y43", "91110000101623741K", "911101066976941872"])
def test_published_codes_are_valid(uscc: str) -> None:
    assert is_valid_uscc(uscc)


@pytest.mark.parametrize(("uscc", "computed"), [("91350211M0000XUF46", "R"), ("91310115MA1H8R7C6D", None)])
def test_codes_with_a_broken_check_digit_keep_their_shape(uscc: str, computed: str | None) -> None:
    assert is_uscc_shaped(uscc)
    assert not is_valid_uscc(uscc)
    assert computed is None or check_digit(uscc[:17]) == computed


@given(first_17)
def test_the_check_digit_is_that_of_another_implementation(first: str) -> None:
    assert check_digit(first) == reference.calc_check_digit(first)


@given(first_17, st.integers(0, 16), st.sampled_from(SIGNS))
def test_one_wrong_sign_is_always_found(first: str, place: int, sign: str) -> None:
    uscc = first + check_digit(first)
    wrong = uscc[:place] + sign + uscc[place + 1 :]
    assert is_valid_uscc(wrong) == (wrong == uscc)


def test_a_sum_without_remainder_gives_zero() -> None:
    # Without the outer remainder the check value would be 31, and the alphabet has only 0 to 30.
    assert check_digit("0" * 17) == "0"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "91110000101623741",
        "91110000101623741K ",
        "91110000101623741k",
        "9111000010162374１K",
        "91O10000101623741K",
        "91I10000101623741K",
        "91AA0000101623741K",
        "911100001016237 1K",
        "91110000S01623741K",
    ],
)
def test_another_shape_is_no_code(text: str) -> None:
    assert not is_uscc_shaped(text)
    assert not is_valid_uscc(text)


def test_a_check_digit_is_asked_of_17_signs() -> None:
    with pytest.raises(Refused, match="first 17 signs"):
        check_digit("91110000101623741K")
