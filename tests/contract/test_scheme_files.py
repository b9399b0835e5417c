"""Loading the scheme: each thing that is refused, with its file and line, and what is only warned of."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from shared.adapters.files.scheme import load_scheme
from shared.domain.errors import Refused, RefusedLine
from shared.domain.scheme.cancellation import CancellationMode
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import Charged

ONE, TWO, BROKEN = "91000000FAKE00001F", "91000000FAKE00002J", "91000000FAKE000039"

GOOD = {
    "provinces.csv": """\
code,joined_on,notice
31,2022-07-01,a notice
22,2026-07-01,a notice
""",
    "enterprises.csv": f"""\
uscc,name
{ONE},示例一（演示）
{TWO},示例二（演示）
""",
    "tariff-2025-07.csv": """\
number,province,industry,enterprise,valid_from,valid_to,base_yuan,notice,grade,is_assumption,note
1,31,instant_delivery,,2025-07-01,2027-01-01,0.07,a notice,A,false,
2,31,ride_hailing,,2025-07-01,,0.01,a notice,A,false,
3,31,food_delivery,,2022-07-01,2025-07-01,0.06,a notice,C,false,
""",
    "enrolment.csv": f"""\
uscc,industry,province,enrolled_from,enrolled_to,notice
{ONE},ride_hailing,31,2025-07-01,2026-11-01,a notice
{TWO},food_delivery,31,2023-01-01,2025-07-01,a notice
""",
    "cancellation.csv": """\
valid_from,mode,elapsed_seconds,source,is_assumption
2022-07-01,charge_if_departed_or_elapsed,60,a default,true
""",
    "presumption.csv": """\
valid_from,province,mode,source
2022-07-01,*,finding_only,a default
2027-01-01,31,assess,a decision
""",
    "order_spans.csv": """\
industry,longest_days,valid_from,notice,grade,is_assumption,note
ride_hailing,8,2022-07-01,a default,M,true,
""",
}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the files of `GOOD` into a new directory, with lines added to or put in the place of some."""

    def write_files(
        added: dict[str, str] | None = None, replaced: dict[str, str] | None = None, name: str = "scheme"
    ) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        for file, text in {**GOOD, **(replaced or {})}.items():
            extra = (added or {}).get(file, "")
            (directory / file).write_text(text + extra, encoding="utf-8")
        return directory

    return write_files


def refusal(directory: Path) -> RefusedLine:
    with pytest.raises(RefusedLine) as refused:
        load_scheme([directory])
    assert "\n" not in str(refused.value)
    return refused.value


def test_good_files_load_without_a_warning(write: Write) -> None:
    scheme = load_scheme([write()])
    assert scheme.warnings == ()
    assert sorted(scheme.lines) == [1, 2, 3]
    assert scheme.names == {ONE: "示例一（演示）", TWO: "示例二（演示）"}
    line = scheme.line(3)
    assert (line.base_amount, line.grade, line.notice, line.is_assumption) == (600, "C", "a notice", False)
    assert line.valid_from == datetime.fromisoformat("2022-07-01T00:00:00+08:00")
    rule = scheme.cancellation_rule(line.valid_from)
    assert (rule.mode, rule.elapsed_seconds) == (CancellationMode.CHARGE_IF_DEPARTED_OR_ELAPSED, 60)


T, E, N, P, C = "tariff-2025-07.csv", "enterprises.csv", "enrolment.csv", "provinces.csv", "cancellation.csv"


@pytest.mark.parametrize(
    ("file", "line", "added", "reason"),
    [
        # the tariff
        (T, 5, "4,31,instant_delivery,,2026-06-01,,0.07,n,A,false,", f"line 4 overlaps line 1 (…/{T}:2)"),
        (T, 5, "4,31,instant_delivery,,2025-07-01,2025-08-01,0.07,n,A,false,", "overlaps"),
        (
            T,
            5,
            "4,31,instant_delivery,,2027-01-02,,0.07,n,A,false,",
            f"line 4 leaves a gap after line 1 (…/{T}:2)",
        ),
        (T, 5, "4,31,ride_hailing,,2025-07-01,,0.01,n,A,false,", "line 4 overlaps line 2"),
        (T, 5, "4,99,ride_hailing,,2025-07-01,,0.01,n,A,false,", "unknown province '99'"),
        (T, 5, "4,3,ride_hailing,,2025-07-01,,0.01,n,A,false,", "unknown province '3'"),
        (T, 5, "4,31,taxi,,2025-07-01,,0.01,n,A,false,", "unknown industry 'taxi'; known: ride_hailing"),
        (
            T,
            5,
            "2,31,ride_hailing,,2027-01-01,,0.01,n,A,false,",
            f"line number 2 is given twice, first in …/{T}:3",
        ),
        (
            T,
            5,
            "0,31,ride_hailing,,2027-01-01,,0.01,n,A,false,",
            "number is not a whole number from 1 to 32767",
        ),
        (T, 5, "32768,31,ride_hailing,,2027-01-01,,0.01,n,A,false,", "number is not a whole number"),
        (T, 5, "x,31,ride_hailing,,2027-01-01,,0.01,n,A,false,", "number is not a whole number"),
        (T, 5, ",31,ride_hailing,,2027-01-01,,0.01,n,A,false,", "number is empty"),
        (T, 5, "4,31,ride_hailing,,2027-02-29,,0.01,n,A,false,", "valid_from: no such day: '2027-02-29'"),
        (
            T,
            5,
            "4,31,ride_hailing,,2027-01-01T08:00:00,,0.01,n,A,false,",
            "valid_from: the offset is missing",
        ),
        (T, 5, "4,31,ride_hailing,,1.1.2027,,0.01,n,A,false,", "valid_from: not a day of the form"),
        (T, 5, "4,31,ride_hailing,,,,0.01,n,A,false,", "valid_from is empty"),
        (
            T,
            5,
            "4,31,ride_hailing,,2027-01-01,2027-01-01,0.01,n,A,false,",
            "valid_to is not after valid_from",
        ),
        (T, 5, "4,31,ride_hailing,,2027-01-01,,0.00001,n,A,false,", "base_yuan: not an amount"),
        (T, 5, "4,31,ride_hailing,,2027-01-01,,1e-2,n,A,false,", "base_yuan: not an amount"),
        (T, 5, "4,31,ride_hailing,,2027-01-01,,0,n,A,false,", "above 0 and below 1"),
        (T, 5, "4,31,ride_hailing,,2027-01-01,,-0.01,n,A,false,", "above 0 and below 1"),
        (T, 5, "4,31,ride_hailing,,2027-01-01,,7,n,A,false,", "above 0 and below 1"),
        (T, 5, "4,31,ride_hailing,,2027-01-01,,0.01,,A,false,", "notice is empty"),
        (T, 5, "4,31,ride_hailing,,2027-01-01,,0.01,https://a.example/b,A,false,", "not by an address"),
        (T, 5, "4,31,ride_hailing,,2027-01-01,,0.01,n,Z,false,", "unknown grade 'Z'"),
        (
            T,
            5,
            "4,31,ride_hailing,,2027-01-01,,0.01,n,A,maybe,",
            "is_assumption is neither true nor false: 'maybe'",
        ),
        (T, 5, "4,31,ride_hailing,,2027-01-01,,0.01,n,A,false", "10 fields where the header has 11"),
        (T, 5, '4,31,ride_hailing,,2027-01-01,,0.01,"n,A,false,', "not CSV"),
        (T, 5, "4,31,food_delivery,,2025-07-01,,0.06,n,A,false,", "merged into instant_delivery"),
        (T, 5, "4,31,food_delivery,,2025-07-01,2025-07-02,0.06,n,A,false,", "merged into instant_delivery"),
        (T, 5, f"4,31,ride_hailing,{BROKEN},2027-01-01,,0.01,n,A,false,", "is in no enterprises.csv"),
        # enterprises
        (E, 4, f"{ONE},again", f"enterprise {ONE} is given twice, first in …/{E}:2"),
        (E, 4, f"{BROKEN},broken", f"the check digit of USCC {BROKEN} is wrong"),
        (E, 4, "91000000FAKE0001F,short", "not a USCC of 18 signs"),
        (E, 4, "91000000FAKO00001F,an O", "not a USCC of 18 signs"),
        (E, 4, "91000000FAKE00003M,", "name is empty"),
        # enrolments
        (N, 4, "91000000FAKE00003M,ride_hailing,31,2025-07-01,,n", "is in no enterprises.csv"),
        (N, 4, f"{ONE},ride_hailing,31,2026-10-31,,n", f"overlaps the enrolment in …/{N}:2"),
        (N, 4, f"{ONE},ride_hailing,31,2025-01-01,2025-07-02,n", "overlaps the enrolment"),
        (N, 4, f"{ONE},ride_hailing,98,2026-10-31,,n", "unknown province '98'"),
        (N, 4, f"{ONE},rides,31,2026-10-31,,n", "unknown industry 'rides'"),
        (N, 4, f"{ONE},ride_hailing,31,2026-11-02,2026-11-01,n", "enrolled_to is not after enrolled_from"),
        (N, 4, f"{ONE},food_delivery,31,2025-01-01,,n", "merged into instant_delivery"),
        (N, 4, f"{ONE},ride_hailing,,2026-11-02,,n", "province is empty"),
        # provinces
        (P, 4, "31,2026-07-01,n", f"province 31 is given twice, first in …/{P}:2"),
        (P, 4, "00,2026-07-01,n", "unknown province '00'"),
        (P, 4, "71,2026-07-01,n", "unknown province '71'"),
        (P, 4, "11,2026-07-01T12:00:00+08:00,n", "joins at 00:00"),
        (P, 4, "11,2022-06-30,n", "joined before the first cancellation rule"),
        # cancellation rules
        (
            C,
            3,
            "2022-07-01,charge_all_accepted,0,s,true",
            f"two rules begin at that instant, the first in …/{C}:2",
        ),
        (C, 3, "2027-01-01,charge_some,0,s,true", "unknown mode 'charge_some'; known: charge_if"),
        (C, 3, "2027-01-01,charge_all_accepted,-1,s,true", "elapsed_seconds is not a whole number from 0"),
        (C, 3, "2027-01-01,charge_all_accepted,0,,true", "source is empty"),
        # rules for presumed orders
        (
            "presumption.csv",
            4,
            "2027-01-01,31,assess,s",
            "two rules begin at that instant, the first in …/presumption.csv:3",
        ),
        ("presumption.csv", 4, "2027-01-01,71,assess,s", "unknown province '71'"),
        ("presumption.csv", 4, "2028-01-01,31,always,s", "unknown mode 'always'; known: finding_only, assess"),
        # how long orders may last
        (
            "order_spans.csv",
            3,
            "ride_hailing,9,2022-07-01,s,,,",
            "two spans of ride_hailing begin at that instant, the first in …/order_spans.csv:2",
        ),
        ("order_spans.csv", 3, "ride_hailing,32,2027-01-01,s,,,", "longest_days is not a whole number from 1"),
        ("order_spans.csv", 3, "ride_hailing,9,2027-01-01,s,Z,,", "unknown grade 'Z'"),
        ("order_spans.csv", 3, "taxis,9,2027-01-01,s,,,", "unknown industry 'taxis'"),
    ],
)
def test_a_bad_line_is_refused_with_its_place(write: Write, file: str, line: int, added: str, reason: str) -> None:
    directory = write(added={file: added + "\n"})
    refused = refusal(directory)
    assert (Path(refused.file), refused.line) == (directory / file, line)
    assert str(refused).startswith(f"{directory / file}:{line}: ")
    assert reason.replace("…", str(directory)) in str(refused)


@pytest.mark.parametrize(
    ("file", "text", "line", "reason"),
    [
        (P, "", 0, "the file is empty"),
        (P, "code,notice\n31,n\n", 1, "columns must be code,joined_on,notice, not code,notice"),
        (P, "code,joined_on,notice,colour\n", 1, "columns must be"),
        (P, "code,joined_on,notice,code\n", 1, "columns must be"),
    ],
)
def test_a_bad_file_is_refused(write: Write, file: str, text: str, line: int, reason: str) -> None:
    refused = refusal(write(replaced={file: text}))
    assert refused.line == line
    assert reason in str(refused)


def test_bytes_that_are_not_utf_8_are_refused(write: Write) -> None:
    directory = write()
    (directory / E).write_bytes(b"uscc,name\n" + "91000000FAKE00003M,示例\n".encode("gb18030"))
    assert "looks like GBK" in str(refusal(directory))


def test_a_file_of_a_name_that_nobody_reads_is_refused(write: Write) -> None:
    directory = write()
    (directory / "tarif-2027.csv").write_text(GOOD[T], encoding="utf-8")
    refused = refusal(directory)
    assert refused.file.endswith("tarif-2027.csv")
    assert "no file of this name is read" in str(refused)


@pytest.mark.parametrize(("file", "what"), [(P, "province"), (T, "tariff"), (C, "cancellation")])
def test_a_scheme_without_an_essential_file_is_refused(write: Write, file: str, what: str) -> None:
    directory = write()
    (directory / file).unlink()
    with pytest.raises(Refused, match=f"{directory}: no {what} line"):
        load_scheme([directory])


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="nowhere: no such directory"):
        load_scheme([tmp_path / "nowhere"])


def test_a_known_platform_with_a_broken_check_digit_is_a_warning(write: Write) -> None:
    listed = f"uscc,name,known_platform\n{ONE},一,\n{TWO},二,false\n{BROKEN},三,true\n"
    directory = write(replaced={E: listed})
    scheme = load_scheme([directory])
    assert scheme.warnings == (f"{directory / E}:4: the check digit of USCC {BROKEN} is wrong (known platform)",)
    assert BROKEN in scheme.enterprises


def test_an_enrolment_that_no_tariff_line_covers_is_a_warning(write: Write) -> None:
    directory = write(added={N: f"{ONE},instant_delivery,*,2026-01-01,2027-02-01,n\n"})
    assert load_scheme([directory]).warnings == (
        f"{directory / N}:4: enrolled in 31 for a time that no tariff line covers",
        f"{directory / N}:4: enrolled in 22 for a time that no tariff line covers",
    )


def test_a_tariff_is_changed_by_adding_a_line_with_a_date(write: Write) -> None:
    changed = "4,31,ride_hailing,,2026-10-15T12:00:00+08:00,,0.02,n,A,false,a change at noon\n"
    scheme = load_scheme([write(added={T: changed})])
    noon = datetime.fromisoformat("2026-10-15T12:00:00+08:00")
    assert scheme.line(2).valid_to == noon
    assert scheme.rate(ONE, "31", Industry.RIDE_HAILING, noon, is_employee=False) == Charged(scheme.line(4))


def test_a_later_directory_adds_to_the_earlier_ones(write: Write, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / E).write_text("uscc,name\n91000000FAKE00003M,三\n", encoding="utf-8")
    (more / "enrolment-2027.csv").write_text(
        GOOD[N].splitlines()[0] + "\n91000000FAKE00003M,ride_hailing,*,2026-01-01,,n\n", encoding="utf-8"
    )
    (more / "tariff-own.csv").write_text(
        GOOD[T].splitlines()[0] + "\n9,31,ride_hailing,91000000FAKE00003M,2026-01-01,,0.0084,n,,true,\n",
        encoding="utf-8",
    )
    scheme = load_scheme([write(), more])
    accepted_at = datetime.fromisoformat("2026-10-01T00:00:00+08:00")
    rated = scheme.rate("91000000FAKE00003M", "31", Industry.RIDE_HAILING, accepted_at, is_employee=False)
    assert rated == Charged(scheme.line(9))
    assert scheme.line(9).base_amount == 84


def test_a_clash_between_directories_names_both_places(write: Write) -> None:
    first, second = write(name="first"), write(name="second")
    refused = refusal_of(first, second)
    assert str(refused) == f"{second / P}:2: province 31 is given twice, first in {first / P}:2"


def refusal_of(*directories: Path) -> RefusedLine:
    with pytest.raises(RefusedLine) as refused:
        load_scheme(directories)
    return refused.value


def test_blank_lines_and_a_byte_order_mark_are_no_fault(write: Write) -> None:
    directory = write(replaced={P: "\ufeff" + GOOD[P] + "\n\n"})
    assert set(load_scheme([directory]).joined_at) == {"31", "22"}
