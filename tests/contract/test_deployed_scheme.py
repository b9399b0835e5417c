"""The files under deploy/ say what the notices say, and the demo's enterprises are plainly made up."""

import csv
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from shared.adapters.files.scheme import load_scheme
from shared.domain.calendar import SHANGHAI
from shared.domain.scheme.enterprise import is_valid_uscc
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.province import PROVINCES
from shared.domain.scheme.rating import Charged, Excluded, ExclusionReason, Scheme, Uncovered
from shared.domain.scheme.tariff import TariffLine

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FIRST = {"11", "31", "32", "44", "46", "50", "51"}
SECOND = {"12", "13", "21", "33", "34", "35", "37", "42", "45", "64"}


@pytest.fixture(scope="module")
def official() -> Scheme:
    return load_scheme([DEPLOY / "tariffs"])


@pytest.fixture(scope="module")
def demo() -> Scheme:
    return load_scheme([DEPLOY / "tariffs", DEPLOY / "demo"])


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def amounts(scheme: Scheme, province: str, instant: datetime) -> dict[str, int]:
    """What any enterprise pays there, in 0.0001 yuan by industry."""
    held = [line for line in scheme.lines.values() if line.province == province and line.holds_at(instant)]
    return {line.industry.value: line.base_amount for line in held if line.enterprise is None}


def test_nothing_is_odd_in_the_files(official: Scheme, demo: Scheme) -> None:
    assert official.warnings == ()
    assert demo.warnings == ()
    assert official.names == {}, "no real company is listed with an unverified number"


def test_provinces_joined_in_three_steps(official: Scheme) -> None:
    joined: dict[str, set[str]] = {}
    for province, instant in official.joined_at.items():
        joined.setdefault(instant.date().isoformat(), set()).add(province)
    assert joined == {
        "2022-07-01": FIRST,
        "2025-07-01": SECOND,
        "2026-07-01": set(PROVINCES) - FIRST - SECOND,
    }


@pytest.mark.parametrize("province", sorted(FIRST))
def test_the_tariff_of_2022(official: Scheme, province: str) -> None:
    expected = {
        "ride_hailing": 400,
        "food_delivery": 600,
        "instant_delivery": 400,
        "intracity_freight": 2_000,
    }
    assert amounts(official, province, at("2022-07-01")) == expected
    assert amounts(official, province, at("2025-06-30T23:59:59.999999")) == expected


def test_the_tariff_of_2025_holds_wherever_a_province_has_joined(official: Scheme) -> None:
    expected = {"ride_hailing": 100, "instant_delivery": 700, "intracity_freight": 1_800}
    for province, joined_at in official.joined_at.items():
        begins = max(joined_at, at("2025-07-01"))
        assert amounts(official, province, begins) == expected, province
        assert amounts(official, province, at("2026-10-31T23:59:59")) == expected, province


def test_no_line_begins_before_its_province_joined(official: Scheme) -> None:
    for line in official.lines.values():
        assert line.valid_from >= official.joined_at[line.province]


def test_every_line_names_its_notice_and_marks_what_is_assumed(official: Scheme) -> None:
    for line in official.lines.values():
        assert "号" in line.notice, line.number
        assert line.grade, line.number
        assert line.is_assumption == bool(line.grade in "DM" or (line.province == "46" and line.number >= 200))
        assert not line.is_assumption or line.note, line.number


def test_the_freight_amount_of_2022_is_marked_as_an_assumption(official: Scheme) -> None:
    old_freight = [line for line in official.lines.values() if line.number < 200 and is_freight(line)]
    assert len(old_freight) == 7
    assert all(line.is_assumption and line.grade == "M" for line in old_freight)


def is_freight(line: TariffLine) -> bool:
    return line.industry is Industry.INTRACITY_FREIGHT


def test_the_brands_by_date_are_reference_data_without_numbers() -> None:
    path = DEPLOY / "tariffs" / "reference" / "enterprises-by-date.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert Counter(row["from"] for row in rows) == {"2022-07-01": 7, "2025-07-01": 4, "2026-07-01": 14}
    assert len({row["brand"] for row in rows}) == 25
    assert all(Industry(row["industry"]) for row in rows)
    assert "uscc" not in rows[0]


def test_enterprises_of_the_demo_are_plainly_made_up(demo: Scheme) -> None:
    assert len(demo.names) == 8
    for uscc, name in demo.names.items():
        assert is_valid_uscc(uscc)
        assert uscc[2:8] == "000000", "a registration region that no place has"
        assert "FAKE" in uscc
        assert name.endswith("（演示）")


def test_the_demo_covers_three_industries_in_at_least_eight_provinces(demo: Scheme) -> None:
    october = at("2026-10-15")
    charged = {
        (industry, province)
        for uscc in demo.enterprises
        for province in PROVINCES
        for industry in Industry
        if isinstance(demo.rate(uscc, province, industry, october, is_employee=False), Charged)
    }
    for industry in (Industry.RIDE_HAILING, Industry.INSTANT_DELIVERY, Industry.INTRACITY_FREIGHT):
        assert len({province for charged_industry, province in charged if charged_industry is industry}) >= 8
    assert all(industry is not Industry.FOOD_DELIVERY for industry, _ in charged)


def test_the_demo_has_orders_to_exclude_and_two_tiers(demo: Scheme) -> None:
    late, tiered = "91000000FAKE00005U", "91000000FAKE00004Q"
    rate, delivery = demo.rate, Industry.INSTANT_DELIVERY
    assert rate(late, "46", delivery, at("2026-10-31T23:59:59"), is_employee=False) == Excluded(
        ExclusionReason.ENTERPRISE_NOT_ENROLLED
    )
    assert isinstance(rate(late, "46", delivery, at("2026-11-01"), is_employee=False), Charged)
    assert rate(tiered, "31", delivery, at("2026-10-01"), is_employee=False) == Charged(demo.line(9001))
    assert demo.line(9001).base_amount == 2_500
    assert "made up" in demo.line(9001).notice


def test_no_demo_enrolment_is_without_a_tariff_line(demo: Scheme) -> None:
    for uscc in demo.enterprises:
        for province in PROVINCES:
            for industry in Industry:
                assert Uncovered() not in demo.timeline(uscc, province, industry)[1]
