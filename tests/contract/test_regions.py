"""Administrative codes that an order may have."""

from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest

from shared.adapters.files.regions import DELIVERED, known_regions, load_regions
from shared.domain.errors import RefusedLine
from shared.domain.scheme.province import PROVINCES
from shared.domain.scheme.region import RegionStandard


@pytest.mark.parametrize(
    "region",
    [
        "110000",  # a province
        "440300",  # a prefecture: Shenzhen
        "310104",  # a county-level district: Xuhui
        "460400",  # a prefecture without counties: Danzhou
        "110103",  # Chongwen, abolished in 2010: an old map costs nobody the cover
        "659001",  # Shihezi, a city of the Corps with a code of Xinjiang
        "330113",  # Linping in Hangzhou, since 2021-04
        "330114",  # Qiantang in Hangzhou, since 2021-04
        "500157",  # Liangjiang in Chongqing, since 2025-11
        "133100",  # Xiong'an, in no list of counties
        "320571",  # Suzhou Industrial Park, a code of the statistics bureau
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


def other_source() -> Iterator[str]:
    """Codes of python-stdnum: a line of two digits a province, then an indented line of four more a code in it."""
    province = ""
    for line in (files("stdnum.cn") / "loc.dat").read_text(encoding="utf-8").splitlines():
        code = line.split(maxsplit=1)[0] if line.strip() else "#"
        if line.startswith("  ") and province in PROVINCES:
            yield province + code
        elif not line.startswith((" ", "#")):
            province = code


def test_the_file_has_every_code_of_another_source_and_names_those_that_it_lacks() -> None:
    regions, others = load_regions(DELIVERED), set(other_source())
    assert others <= regions.keys()
    of_the_standard = {code for code, region in regions.items() if region.standard is RegionStandard.GB2260}
    assert of_the_standard - others == {"330113", "330114"}


@pytest.mark.parametrize(
    ("code", "day", "remark"),
    [
        ("330106", "2026-10-03", None),
        ("330103", "2021-04-08", None),
        ("330103", "2021-04-09", "330103 (下城区) has not been valid since 2021-04-09"),
        ("330113", "2021-04-08", "330113 (临平区) is valid from 2021-04-09 on"),
        ("110103", "2010-12-31", None),
        ("110103", "2011-01-01", "110103 (崇文区) has not been valid since 2011-01-01"),
        ("320571", "2026-10-03", "320571 (苏州工业园区) is a code of the statistics bureau and not of GB/T 2260"),
        ("133100", "2026-10-03", "133100 (雄安新区) is in use and not in GB/T 2260"),
    ],
)
def test_a_code_is_valid_for_a_time_in_a_list(code: str, day: str, remark: str | None) -> None:
    assert load_regions(DELIVERED)[code].remark(date.fromisoformat(day)) == remark


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("33011,x,gb2260,,", "code is not six digits that begin with a province"),
        ("990101,x,gb2260,,", "code is not six digits that begin with a province"),
        ("330106,x,gb2260,,", "330106 is given twice"),
        ("330115,,gb2260,,", "name is empty"),
        ("330115,x,iso,,", "unknown standard 'iso'"),
        ("330115,x,gb2260,2021-13-01,", "valid_from"),
        ("330115,x,gb2260,2021,2020", "valid_to is not after valid_from"),
    ],
)
def test_a_wrong_line_is_refused_with_file_and_line(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "regions.csv"
    header = "code,name,standard,valid_from,valid_to\n330106,西湖区,gb2260,1983,\n"
    path.write_text(f"{header}{line}\n", encoding="utf-8")
    with pytest.raises(RefusedLine, match=reason) as refused:
        load_regions(path)
    assert refused.value.line == 3
