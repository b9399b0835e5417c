"""Kind: a time is read in the forms that are named, or refused with the form; never as another time of day."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.demo.replay.csv_orders import Mapped, parse_enterprises, read_csv
from shared.adapters.files.scheme import load_scheme
from shared.contracts.events import OrderAccepted
from shared.contracts.parking import ParkReason
from shared.domain.calendar import EPOCH, SHANGHAI
from shared.domain.errors import Refused, RefusedLine
from shared.domain.scheme.industry import Industry
from shared.domain.times import read_day, read_in_unit, read_instant, read_local_time
from shared.intake.strict_decoder import Parked, decode
from shared.runtime.exits import Exit
from shared.runtime.http.types import Day, Instant
from tests.e2e.processes import run
from tests.integration.charging.charging_harness import event

HOUSE: Final = Path(__file__).parents[2]
NOON: Final = datetime(2026, 10, 3, 12, tzinfo=SHANGHAI)
STAMPS: Final = (
    "20261003123000000", "20261003112233000", "20261003120000+08:00", "20261003203015+08:00", "20261003T120000+08:00",
    "2026-10-03t12:00:00+08:00", "2026-10-03x12:00:00+08:00", "2026-W40-6T12:00:00+08:00", "2026-276T12:00:00+08:00",
    "2026-10-03T12+08:00", "2026-10-03T12:00:00,5+08:00", "2026-10-03T12:00:00+08:00[Asia/Shanghai]",
    "2026-10-03T12:00:00.1234567+08:00", "2026-10-03T24:00:00+08:00", "2026-10-03T12:00:60+08:00",
    "2026-02-30T12:00:00+08:00", "0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-12:00", " 2026-10-03T12:00:00+08:00",
    "2026-10-03T12:00:00+08:00\n", "２０２６-10-03T12:00:00+08:00", "noon", "", "infinity", "-infinity", "NaN",
)  # fmt: skip
"""No reader takes one of these; most of them are read by `datetime.fromisoformat`, some as another time of day."""
ONLY_LOCAL: Final = ("2026-10-03 12:00:00+08:00", "2026-10-03T12:00+08:00", "2026-10-03T12:00:00", "2026-10-03 12:00")
"""Forms for files and for people; between programs an instant has T, seconds and an offset."""
OFFSETS: Final = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS: Final = st.builds(
    lambda since, zone: (EPOCH + since).astimezone(zone), st.timedeltas(timedelta(-20_000), timedelta(80_000)), OFFSETS
)


@given(INSTANTS, st.sampled_from(["T", " "]), st.sampled_from(["seconds", "milliseconds", "microseconds"]))
def test_what_is_taken_is_the_instant_that_was_written(instant: datetime, separator: str, precision: str) -> None:
    text = instant.isoformat(separator, precision)
    assert read_local_time(text) == datetime.fromisoformat(text)
    if separator == "T":
        assert read_instant(text) == datetime.fromisoformat(text)


@given(st.text("0123456789-:.TZ+ ", max_size=32))
def test_whatever_is_taken_has_its_parts_apart(text: str) -> None:
    try:
        instant = read_local_time(text)
    except Refused:
        return
    assert text[:16].replace("T", " ") == f"{instant:%Y-%m-%d %H:%M}"
    assert instant == datetime.fromisoformat(text).replace(tzinfo=instant.tzinfo)


@pytest.mark.parametrize("text", STAMPS)
def test_other_forms_are_refused_and_the_form_is_named(text: str) -> None:
    """Case 19: `20261003120000+08:00` was read as 20:00, `20261003123000000` as 23:00."""
    for read in (read_instant, read_local_time):
        with pytest.raises(Refused, match=r"2026-10-03[T ]09:00:00"):
            read(text)


@pytest.mark.parametrize("text", ONLY_LOCAL)
def test_a_local_form_is_noon_in_shanghai_and_no_instant(text: str) -> None:
    assert read_local_time(text) == NOON
    with pytest.raises(Refused, match="2026-10-03T09:00:00"):
        read_instant(text)


@pytest.mark.parametrize("text", ["20261003", "2026-10-3", "2026-W40-6", "2026-10-03T00:00:00", "2026-02-30", "1", ""])
def test_a_day_has_one_form(text: str) -> None:
    with pytest.raises(Refused, match="day"):
        read_day(text)


def test_numbers_are_read_by_their_declared_unit_only() -> None:
    assert (
        read_in_unit("1791000000", "s") == read_in_unit("1791000000000", "ms") == datetime(2026, 10, 3, 4, tzinfo=UTC)
    )
    for text, unit, words in (
        ("1791000000", "ms", "is it in s"), ("1791000000000", "s", "is it in ms"),
        ("1791000000.5", "s", "whole number"), ("-1", "s", "whole number"), ("2026-10-03", "ms", "whole number"),
    ):  # fmt: skip
        with pytest.raises(Refused, match=words):
            read_in_unit(text, unit)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="a number needs its unit"):
        read_in_unit("1791000000000", "text")


@pytest.mark.parametrize("text", ["1791000000", *ONLY_LOCAL, *STAMPS])
def test_requests_are_read_by_the_same_reader(text: str) -> None:
    for value in (text, 1_791_000_000, 1.5):
        with pytest.raises(ValidationError):
            TypeAdapter(Instant).validate_python(value)
    for day in ("20261003", "1791000000", 20_729, "2026-10-03T00:00:00"):
        with pytest.raises(ValidationError):
            TypeAdapter(Day).validate_python(day)
    assert TypeAdapter(Instant).validate_python("2026-10-03T12:00:00+08:00") == NOON


@pytest.mark.parametrize("stamp", [*STAMPS[:4], "1791011200000"])
def test_a_stamp_in_a_file_of_rides_is_refused_with_its_line(stamp: str, tmp_path: Path) -> None:
    """Case 19."""
    file, mapped = tmp_path / "rides.csv", _mapped()
    file.write_text(f"t,v,z\n2026-10-03 08:00:00,1,7\n{stamp},1,7\n")
    scheme = load_scheme([HOUSE / "deploy" / "tariffs", HOUSE / "deploy" / "demo"])
    with pytest.raises(RefusedLine, match=r"rides.csv:3: not a time of the form 2026-10-03 09:00:00"):
        read_csv(file, mapped, scheme)
    file.write_text("t,v,z\n1791000000000,1,7\n")
    accepted = msgspec.json.decode(read_csv(file, replace(mapped, time_unit="ms"), scheme)[0].value, type=OrderAccepted)
    assert accepted.data.accepted_at == NOON


def _mapped() -> Mapped:
    column, enterprises = parse_enterprises("v=1:91000000FAKE00001F")
    return Mapped(Industry.RIDE_HAILING, "t", None, column, enterprises, "z", "spread", "row", ("v",), None)


def test_an_instant_of_a_command_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    """Case 19: `close-day --as-of 20261005120000+08:00` closed as of 20:00."""
    status, _, words = run("close-day", "2026-10-03", "--as-of", "20261005120000+08:00", temporary=tmp_path)
    assert status == Exit.USAGE
    assert "2026-10-03T09:00:00+08:00" in words


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("2026-10-03T11:58+08:00", ParkReason.IMPOSSIBLE_TIME, "data.accepted_at: the seconds are missing"),
        ("2026-10-03T11:58:00+08:00[Asia/Shanghai]", ParkReason.IMPOSSIBLE_TIME, "a zone is named in brackets"),
        ("2026-10-03T11:58:00+08", ParkReason.IMPOSSIBLE_TIME, "the offset has no minutes"),
        ("2026-10-03T11:58:00", ParkReason.NAIVE_TIME, "the offset is missing"),
        ("20261003115800", ParkReason.IMPOSSIBLE_TIME, "without signs between its parts"),
    ],
)
def test_an_event_says_what_its_time_lacks(text: str, reason: ParkReason, words: str) -> None:
    """Case 21, T-50: `OffsetDateTime.toString()` leaves out seconds that are zero."""
    parked = decode(msgspec.json.encode(_with(accepted_at=text)), 65_536)
    assert isinstance(parked, Parked)
    assert parked.reason == reason
    assert words in parked.detail
    assert "2026-10-03T09:00:00+08:00" in parked.detail


@pytest.mark.parametrize("name", ["time", "subject", "datacontenttype", "dataschema", "traceparent"])
@pytest.mark.parametrize("value", ["2026-10-03T11:58+08:00", 5, None, [], {"a": 1}])
def test_an_attribute_that_decides_nothing_parks_nothing(name: str, value: object) -> None:
    """Case 21, T-51: the envelope's time without seconds."""
    assert isinstance(decode(msgspec.json.encode(_with() | {name: value}), 65_536), OrderAccepted)


def _with(**changes: object) -> dict[str, object]:
    made = event("accepted", "T-50", NOON, series="t", sequence=1)
    return made | {"data": made["data"] | changes}
