"""Administrative codes that an order may have."""

import pytest
from stdnum import numdb

from shared.adapters.files.regions import known_regions
from shared.domain.scheme.province import PROVINCES


@pytest.mark.parametrize(
    "region",
    [
        "110000",  # a province
        "440300",  # a prefecture: Shenzhen
        "310104",  # a county-level district: Xuhui
        "460400",  # a prefecture without counties: Danzhou
        "110103",  # Chongwen, abolished in 2010: an old map costs nobody the cover
        "659001",  # Shihezi, a city of the Corps with a code of Xinjiang
        "660000",
        "661234",
    ],
)
def test_known(region: str) -> None:
    assert region in known_regions()


@pytest.mark.parametrize(
    "region", ["", "11", "000000", "999999", "119999", "710000", "810000", "320199", "11010", "１１0101"]
)
def test_unknown(region: str) -> None:
    assert region not in known_regions()


def test_every_region_lies_in_a_reporting_unit_and_every_unit_has_regions() -> None:
    assert {region[:2] for region in known_regions()} == set(PROVINCES)
    assert all(len(region) == 6 and region.isdigit() for region in known_regions())


def test_the_codes_are_those_that_the_library_itself_finds() -> None:
    table = numdb.get("cn/loc")
    for province in set(PROVINCES) - {"66"}:
        for county in ("0000", "0100", "0101", "0199", "0300", "0301", "9000", "9900"):
            is_listed = len(table.info(province + county)) == 2 and "county" in table.info(province + county)[1][1]
            assert (province + county in known_regions()) == is_listed, province + county
