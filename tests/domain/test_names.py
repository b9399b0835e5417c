"""Industries and provinces: the fixed names, and the numbers that are stored."""

import pytest

from shared.domain.scheme.industry import Industry
from shared.domain.scheme.province import PROVINCES, XPCC


def test_stored_numbers_of_industries_never_change() -> None:
    assert {industry.value: industry.code for industry in Industry} == {
        "ride_hailing": 1,
        "food_delivery": 2,
        "instant_delivery": 3,
        "intracity_freight": 4,
    }
    assert all(Industry.of_code(industry.code) is industry for industry in Industry)


def test_a_number_that_was_never_given_out_is_no_industry() -> None:
    with pytest.raises(KeyError):
        Industry.of_code(5)


def test_industries_have_the_names_of_the_notices() -> None:
    assert [industry.chinese for industry in Industry] == ["出行", "外卖", "即时配送", "同城货运"]


def test_there_are_32_reporting_units() -> None:
    assert len(PROVINCES) == 32
    assert list(PROVINCES) == sorted(PROVINCES)
    assert all(code == province.code and len(code) == 2 for code, province in PROVINCES.items())
    assert len({province.chinese for province in PROVINCES.values()}) == 32
    assert PROVINCES[XPCC].chinese == "新疆生产建设兵团"
