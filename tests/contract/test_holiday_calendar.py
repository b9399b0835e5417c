"""The calendar's files: the years as delivered against other sources, and what is refused with file and line."""

import gzip
from collections.abc import Callable
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from shutil import copytree

import chinese_calendar
import pytest

from deploy.check_scheme import main
from shared.adapters.files.holiday_calendar import load_calendar, load_edition
from shared.domain.errors import Refused
from shared.runtime.settings import HOUSE, Settings
from tests.support.deployed_calendar import deployed_calendar

DELIVERED = HOUSE / "deploy" / "calendar"
Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A copy of the delivered files, with texts of them replaced."""

    def copy(**replaced: tuple[str, str]) -> Path:
        target = tmp_path / str(len(list(tmp_path.iterdir())))
        copytree(DELIVERED, target)
        for name, (old, new) in replaced.items():
            path = target / f"{name}.csv"
            text = path.read_text(encoding="utf-8")
            assert old in text
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return target

    return copy


@pytest.mark.parametrize("year", [2022, 2023, 2024, 2025, 2026])
def test_a_published_year_is_what_another_source_says(year: int) -> None:
    calendar, day = deployed_calendar(), date(year, 1, 1)
    while day.year == year:
        expected = bool(chinese_calendar.is_workday(day))
        assert calendar.is_working_day(day) == (day, expected, False)
        day += timedelta(days=1)


def test_2027_has_the_days_that_the_law_fixes() -> None:
    """Lunar days by an almanac: spring festival on 6 February, dragon boat on 9 June, mid-autumn on 15 September."""
    weekdays_off = {
        date(2027, *day) for day in [(1, 1), (2, 5), (2, 8), (4, 5), (6, 9), (9, 15), (10, 1)]
    }  # fmt: skip
    day, off = date(2027, 1, 1), set()
    while day.year == 2027:
        answer = deployed_calendar().is_working_day(day)
        assert answer.is_provisional
        if not answer.is_working and day.weekday() < 5:
            off.add(day)
        day += timedelta(days=1)
    assert off == weekdays_off


def test_an_edition_is_named_as_sha256sum_prints_it_and_loads_from_its_files() -> None:
    """`sha256sum days.csv years.csv | sha256sum`: a line of a file is its hash, two spaces and its name."""
    calendar = deployed_calendar()
    lines = [f"{sha256((DELIVERED / name).read_bytes()).hexdigest()}  {name}\n" for name in ("days.csv", "years.csv")]
    assert sha256("".join(lines).encode()).hexdigest() == calendar.edition
    assert load_edition(calendar.files).edition == calendar.edition


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("years", "2027,statutory", "2027,published", "years.csv:7: 2027 is not whole in days.csv: 7 weekdays off"),
        ("days", "2026-10-07,false,国庆节,国办发明电〔2025〕7号\n", "", "years.csv:6: 2026 is not whole in days.csv"),
        ("days", "2027-06-09,false,端午节,国令第795号\n", "", "years.csv:7: 2027 is not whole in days.csv: 12 named"),
        ("days", "2026-01-01,false", "2026-01-05,false", "years.csv:6: 2026-01-01 is missing in days.csv"),
        ("days", "2022-01-03,false", "2022-01-01,true", "years.csv:2: 2022-01-01 is a working day in days.csv"),
        ("days", "2026-10-10,true", "2026-10-09,true", "days.csv:126: 2026-10-09 is a weekday, which is worked"),
        ("days", "2026-10-10,true", "2026-10-07,true", "days.csv:126: 2026-10-07 is given twice, first in"),
        ("days", "2026-10-10,true", "2028-10-10,true", "days.csv:126: 2028 is not in years.csv"),
        ("days", "2026-10-10,true", "2026-10-10,", "days.csv:126: is_working is empty"),
        ("days", "2026-10-10,true", "2026-10-10,yes", "days.csv:126: is_working is neither true nor false"),
        ("days", "2026-10-10,true", "2026-10-32,true", "days.csv:126: day"),
        ("days", "2026-10-10,true", "2026-10-10T00:00:00+08:00,true", "days.csv:126: day is not a date"),
        ("years", "2025,published", "2024,published", "years.csv:5: 2024 is given twice, first in"),
        ("years", "2027,statutory", "2028,statutory", "years.csv:7: 2028 does not follow the year before it"),
        ("years", "2027,statutory", "2027,rumoured", "years.csv:7: unknown state 'rumoured'; known: published"),
        ("years", "2024-11-10", "", "years.csv:7: published_on is empty"),
    ],
)  # fmt: skip
def test_a_year_is_loaded_whole_or_refused_with_file_and_line(
    folder: Folder, name: str, old: str, new: str, reason: str
) -> None:
    with pytest.raises(Refused) as refused:
        load_calendar(folder(**{name: (old, new)}))
    assert reason in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"years.csv:0: cannot be read"):
        load_calendar(tmp_path)


def test_a_file_in_another_coding_or_packed_is_refused(folder: Folder) -> None:
    """The files of an edition are stored and shown as text."""
    packed, other = folder(), folder()
    (packed / "years.csv").write_bytes(gzip.compress((DELIVERED / "years.csv").read_bytes()))
    (other / "days.csv").write_bytes((DELIVERED / "days.csv").read_text("utf-8").encode("gbk"))
    for directory, reason in ((packed, "years.csv:0: cannot be read"), (other, "days.csv:2: save it as CSV UTF-8")):
        with pytest.raises(Refused, match=reason):
            load_calendar(directory)


def test_an_operator_who_adds_lines_sees_the_fault_before_the_services_start(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(Settings()) == 0
    assert "holidays published until 2026-12-31, 0 warnings: the services will take this" in capsys.readouterr().out
    half = folder(years=("2027,statutory", "2027,published"))
    assert main(Settings(calendar=half)) == 1
    assert "years.csv:7: 2027 is not whole in days.csv" in capsys.readouterr().err


def test_a_forgotten_worked_weekend_is_a_warning(folder: Folder) -> None:
    (warning,) = load_calendar(folder(days=("2026-10-10,true,国庆节,国办发明电〔2025〕7号\n", ""))).warnings
    assert "years.csv:6: 19 weekdays off and 5 weekends worked, the law gives 13 days off" in warning
    assert deployed_calendar().warnings == ()
