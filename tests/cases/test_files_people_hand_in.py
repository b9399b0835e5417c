"""Files that people hand in are read as they were meant, or refused with file, line and what to do."""

import gzip
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from services.demo.generator.records import Record
from services.demo.replay.csv_orders import Mapped, parse_enterprises, read_csv
from services.demo.replay.file_kinds import NDJSON, delimiter_of
from services.demo.replay.ndjson import read_ndjson
from services.national_platform.reports.roster import Roster
from shared.adapters.crypto.signing import make_note_key
from shared.adapters.files.scheme import load_scheme
from shared.adapters.files.spreadsheets import changed_by_spreadsheet, shortened_by_spreadsheet
from shared.adapters.files.text_lines import read_text_lines
from shared.adapters.files.vkeys import read_vkeys
from shared.domain.calendar import Month, instant_of
from shared.domain.errors import Refused, RefusedLine
from shared.domain.evidence.leaf import RowKind
from shared.domain.evidence.signed_note import COSIGNATURE
from shared.domain.scheme.industry import Industry
from tests.integration.charging.charging_harness import (
    RIDES,
    House,
    Sent,
    accepted,
    charging_template,
    copied_database,
    demo_scheme,
    open_house,
    reported,
)  # fmt: skip
from tests.support.servers import Postgres

packed = partial(gzip.compress, mtime=0)
"""Gives equal bytes each time: a test is named by its parameters."""

ROOT = Path(__file__).parents[2]
JANUARY = "t,v,z\n2026-10-03 08:00:00,1,7\n2026-10-03 09:00:00,1,8\n"
FEBRUARY = "t,v,z\n2026-10-04 08:00:00,1,7\n2026-10-04 09:00:00,1,8\n"
NAMES = "线路,城市,t,v,z\n1,杭州,2026-10-03 08:00:00,1,7\n"


@pytest.fixture
async def house(postgres: Postgres) -> AsyncIterator[House]:
    """Charging's database."""
    async with (
        charging_template(postgres) as template,
        copied_database(postgres, template) as url,
        open_house(url) as opened,
    ):
        yield opened


def rides(
    file: Path, order_id: str = "row", worker: str = "row", rule: str = "spread", shift_to: Month | None = None
) -> list[Record]:
    """What `danbao replay FILE --accepted-at t --region z --enterprise v=1:…` sends, with its own defaults."""
    column, enterprises = parse_enterprises(f"v=1:{RIDES}")
    mapped = Mapped(
        industry=Industry.RIDE_HAILING,
        accepted_at="t",
        completed_at=None,
        enterprise_column=column,
        enterprises=enterprises,
        region="z",
        region_rule="spread" if rule == "spread" else "code",
        order_id=order_id,
        worker=(worker,),
        shift_to=shift_to,
    )
    return read_csv(file, mapped, demo_scheme(), delimiter_of(file) or "")


def written(folder: Path, name: str, content: str | bytes) -> Path:
    """A file with this content."""
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


async def charged(house: House, records: list[Record]) -> dict[tuple[str, str | None], int]:
    """The outcomes of a batch of these records."""
    worker = await house.worker()
    sent = [Sent(record.value, instant_of(record.time_ms * 1_000), RIDES) for record in records]
    return reported(await worker.charge(*sent))


async def test_a_second_file_is_charged_after_the_first_one(tmp_path: Path, house: House) -> None:
    """Case 11: two files of two rides are four charged orders, and the same file again is a repeat."""
    january, february = written(tmp_path, "jan.csv", JANUARY), written(tmp_path, "feb.csv", FEBRUARY)
    assert await charged(house, rides(january)) == {("charged", None): 2}
    assert await charged(house, rides(february)) == {("charged", None): 2}
    again = written(tmp_path, "AGAIN.CSV.GZ", packed(JANUARY.encode()))
    assert await charged(house, rides(again)) == {("repeat", None): 2}
    for day in ("2026-10-03", "2026-10-04"):
        await house.close(day)
    assert await house.fetch("select kind, count(*) from charging.entry group by kind") == [(RowKind.ACCEPTANCE, 4)]
    assert await house.value("select count(distinct series) from charging.number_range") == 2


def test_a_file_that_is_moved_to_another_month_is_other_orders(tmp_path: Path) -> None:
    """Case 11's sibling: a second month made of the same rides must not be swallowed by the first."""
    file = written(tmp_path, "rides.csv", JANUARY)
    months = [rides(file, shift_to=month) for month in (None, Month(2026, 11), Month(2026, 12))]
    assert len({record.key for records in months for record in records}) == 6


def test_each_row_is_a_worker_unless_columns_say_otherwise(tmp_path: Path) -> None:
    """The default `--worker row` ended in a KeyError."""
    file = written(tmp_path, "rides.csv", JANUARY + FEBRUARY.split("\n", 1)[1])
    tokens = {record.value.split(b'"worker_id":"')[1][:64] for record in rides(file)}
    assert len(tokens) == 4
    assert len({record.value.split(b'"worker_id":"')[1][:64] for record in rides(file, worker="z")}) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("RIDES.CSV", JANUARY.encode()),
        ("rides.csv.gz", packed(JANUARY.encode())),
        ("rides.csv.gz", JANUARY.encode()),
        ("rides.csv", packed(JANUARY.encode())),
        ("rides.tsv", JANUARY.replace(",", "\t").encode()),
        ("Rides.Tsv.GZ", packed(JANUARY.replace(",", "\t").encode())),
        ("rides.csv", b"\xef\xbb\xbf" + JANUARY.replace("\n", "\r\n").encode()),
    ],
)
def test_a_table_is_read_however_its_name_is_spelled(name: str, content: bytes, tmp_path: Path) -> None:
    """Case 27."""
    plain = rides(written(tmp_path, "plain.csv", JANUARY))
    assert [record.time_ms for record in rides(written(tmp_path, name, content))] == [r.time_ms for r in plain]


@pytest.mark.parametrize("name", ["rides.xlsx", "rides", "rides.csv.zip", "rides.txt", "rides.json", ".csv", "csv.gz"])
def test_another_kind_of_file_is_refused_by_name(name: str) -> None:
    """Case 27: nothing is read as NDJSON because it is no CSV."""
    with pytest.raises(Refused, match=rf"{name}: not a kind of file that replay reads; it reads \.csv, \.tsv"):
        delimiter_of(Path(name))
    assert delimiter_of(Path("MONTH.NDJSON.GZ")) is NDJSON
    assert delimiter_of(Path("events.jsonl")) is NDJSON


def test_records_packed_by_gzip_are_read(tmp_path: Path) -> None:
    """Case 27's sibling: what `danbao generate` wrote may be packed, too."""
    line = b'{"topic":"orders.v1.x","key":"k","time":"2026-10-03T08:00:00Z","value":"v"}\n'
    for content in (line, b"\xef\xbb\xbf" + line, packed(line)):
        assert [record.key for record in read_ndjson(written(tmp_path, "month.ndjson.gz", content))] == [b"k"]


GBK = "save it as CSV UTF-8 (this looks like GBK)"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (NAMES.encode("gbk"), f":1: {GBK}"),
        (NAMES.encode("gb18030"), f":1: {GBK}"),
        (("t,v,z,name\n2026-10-03 08:00:00,1,7,a\n2026-10-03 08:00:00,1,7,杭州\n").encode("gbk"), f":3: {GBK}"),
        ("t,v,z,路\n".encode("gbk"), ":1: could be UTF-8 or GBK: save it as CSV UTF-8"),
        (NAMES.encode("utf-16"), ":0: this is UTF-16: save it as UTF-8"),
        (NAMES.encode("utf-16-be"), ":1: a NUL byte"),
        (b"t,v,z\n\xff\xff\xff\n", ":2: not UTF-8"),
        (b"PK\x03\x04rest", ":0: this is a workbook (XLSX)"),
        (b"\xd0\xcf\x11\xe0rest", ":0: this is a workbook (XLS)"),
        (packed(JANUARY.encode())[:-9], ":0: cannot be read: Compressed file ended"),
        (packed(packed(b"x")), ":0: this is packed twice by gzip"),
        (b"", ":0: the file is empty"),
        (JANUARY.replace("\n", "\r").encode(), ":1: not CSV: line ends that are carriage returns alone"),
        (JANUARY.replace(",", ";").encode(), ":1: no column t, v, z; the columns are t;v;z"),
        (JANUARY.encode() + b"2026-10-03 08:00:00,1\n", ":4: 2 fields where the header has 3"),
        (JANUARY.encode() + b'"2026-10-03 08:00:00,1,7\n', ":4: not CSV"),
    ],
)
def test_bytes_that_are_no_table_are_refused_by_file_and_line(content: bytes, words: str, tmp_path: Path) -> None:
    """Case 28: no file is misread."""
    file = written(tmp_path, "rides.csv", content)
    with pytest.raises(RefusedLine) as refused:
        rides(file)
    assert str(refused.value).startswith(f"{file}{words}")


def test_names_in_utf_8_are_read_and_those_of_the_file_decide(tmp_path: Path) -> None:
    """Case 28: two bytes of UTF-8 that GBK has, too, are believed with a byte order mark or after a Chinese name."""
    for content in (NAMES.encode(), "\ufefft,v,z,·\n".encode(), "杭州\n·\n".encode()):
        assert "".join(read_text_lines(written(tmp_path, "names.csv", content))) == content.decode("utf-8-sig")


@pytest.mark.parametrize("name", ["enterprises.csv", "ENTERPRISES.CSV"])
def test_a_scheme_in_gbk_is_refused_by_file_and_line(name: str, tmp_path: Path) -> None:
    """Case 28: the same reader reads the scheme."""
    text = (ROOT / "deploy" / "demo" / "enterprises.csv").read_text(encoding="utf-8")
    file = written(tmp_path, name, text.encode("gbk"))
    line = next(number for number, line in enumerate(text.splitlines(), 1) if not line.isascii())
    with pytest.raises(RefusedLine, match=r"save it as CSV UTF-8 \(this looks like GBK\)") as refused:
        load_scheme([ROOT / "deploy" / "tariffs", tmp_path])
    assert (refused.value.file, refused.value.line) == (str(file), line)


@pytest.mark.parametrize("name", ["tariff-2027.xlsx", "tariff-2027.tsv", "tariff-2027.csv.gz", "Tarif-2027.CSV"])
def test_a_table_of_another_name_in_a_scheme_is_not_passed_over(name: str, tmp_path: Path) -> None:
    """Case 27's sibling: a tariff that is saved under another name must not be missing silently."""
    written(tmp_path, name, "")
    with pytest.raises(RefusedLine, match="no file of this name is read"):
        load_scheme([ROOT / "deploy" / "tariffs", tmp_path])


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("910000001234567800,甲,", r":2: the check digit of USCC 910000001234567800 is wrong"),
        ("9.1E+17,甲,", r":2: a spreadsheet rounded it"),
        ("91000000123456780O,甲,", r":2: not a USCC of 18 signs"),
    ],
)
def test_a_code_of_an_enterprise_is_refused_with_the_reason(code: str, words: str, tmp_path: Path) -> None:
    """Case 34."""
    written(tmp_path, "enterprises.csv", f"uscc,name,known_platform\n{code}\n")
    with pytest.raises(RefusedLine, match=words):
        load_scheme([ROOT / "deploy" / "tariffs", tmp_path])


def test_a_code_with_a_wrong_digit_of_a_known_platform_is_a_warning(tmp_path: Path) -> None:
    """Case 34: firms registered in Xiamen before 2016; and a right code passes, also with the check digit 0."""
    codes = "910000001234567800,甲,true\n910000001234567802,乙,\n"
    written(tmp_path, "enterprises.csv", f"uscc,name,known_platform\n{codes}")
    warnings = load_scheme([ROOT / "deploy" / "tariffs", tmp_path]).warnings
    assert [words.split(": ", 1)[1] for words in warnings] == [
        "the check digit of USCC 910000001234567800 is wrong (known platform)"
    ]


CHANGED = (
    "1.23E+17", "1.23e+17", "9E+05", "123456.0", "1,234,567", "2026-10-03", "2026/10/3", "10/3/2026", "10/3",
    "2026-10-03 00:00:00", "3-Oct", "Oct-26", "3-Oct-26", "10月3日", "2026年10月3日", "####", "#N/A", "#REF!",
    '="0012"', "'0012", "`0012",
)  # fmt: skip


@pytest.mark.parametrize("value", CHANGED)
def test_an_identifier_that_a_spreadsheet_changed_is_refused(value: str, tmp_path: Path) -> None:
    """What a spreadsheet wrote in place of an order's or a worker's number is no number of theirs."""
    quoted = '"' + value.replace('"', '""') + '"'
    file = written(tmp_path, "rides.csv", f"t,v,z,id\n2026-10-03 08:00:00,1,7,A-1\n2026-10-03 08:00:00,1,7,{quoted}\n")
    for order_id, worker in (("id", "row"), ("row", "id")):
        with pytest.raises(RefusedLine, match="a spreadsheet ") as refused:
            rides(file, order_id, worker)
        assert refused.value.line == 3


@pytest.mark.parametrize("value", ["3-4", "1E5", "10-3", "2026-10-A", "20261003", "OCT-1", "Abc-12", "1.5", "12:30"])
def test_an_identifier_of_its_own_kind_is_taken(value: str, tmp_path: Path) -> None:
    """Case 29: what a spreadsheet would only have changed if it had been opened in one is taken as it is."""
    assert changed_by_spreadsheet(value) is None
    file = written(tmp_path, "rides.csv", f"t,v,z,id\n2026-10-03 08:00:00,1,7,{value}\t\n")
    assert [record.key.decode() for record in rides(file, order_id="id")] == [value]


@pytest.mark.parametrize("series", ["3-4", "1E5", "2026-10"])
async def test_a_series_that_reads_as_a_date_or_number_is_one(series: str, house: House) -> None:
    """Case 29: no program of ours takes a text for something else."""
    worker = await house.worker()
    assert reported(await worker.charge(accepted("o-1", series=series))) == {("charged", None): 1}
    await house.close("2026-10-03")
    assert await house.fetch("select distinct series from charging.number_range") == [(series,)]


def test_a_file_of_verifier_keys_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """Case 28's sibling: some editors write one."""
    key = tmp_path / "witness.pem"
    line = str(make_note_key(key, "witness.example/test", COSIGNATURE))
    assert len(read_vkeys(written(tmp_path, "vkeys", f"\ufeff{line}\n"))) == 1


@pytest.mark.parametrize(
    ("values", "index"),
    [
        (["910000001234567000"], 0),
        (["A", "1234567890123450", "1234567890123460", "1234567890123470"], 1),
        (["007", "12", "013"], 1),
        (["1234567890123450", "1234567890123461", "12345678901234600"], None),
        (["1", "22", "333"], None),
        (["0", "12"], None),
        (["012345678901234567", "112345678901234000"], None),
    ],
)
def test_digits_that_only_the_whole_column_shows_as_lost(values: list[str], index: int | None) -> None:
    """Zeros in place of the digits behind the fifteenth, and zeros taken from the front."""
    shortened = shortened_by_spreadsheet(values)
    assert (None if shortened is None else shortened[0]) == index


def test_a_column_with_lost_digits_is_refused_by_its_line(tmp_path: Path) -> None:
    """The first line that shows it is named."""
    rows = "".join(f"2026-10-03 08:00:00,1,7,{number}\n" for number in ("0071", "72", "0073"))
    with pytest.raises(RefusedLine, match=r":3: id '72': a spreadsheet took zeros from its front"):
        rides(written(tmp_path, "rides.csv", "t,v,z,id\n" + rows), order_id="id")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2026-10-03 08:00:00,1,33010,A", r":2: z '33010' is not a code of six digits"),
        ("2026-10-03 08:00:00,1,330106.0,A", r":2: z '330106.0': a spreadsheet made it a decimal number"),
        ("2026-10-03 08:00:00,1,330106,甲", r":2: id '甲' is not an order id"),
        ("2026-10-03 08:00:00,1,330106,", r":2: id is empty"),
    ],
)
def test_a_row_that_could_only_be_parked_is_refused(row: str, words: str, tmp_path: Path) -> None:
    """The reader knows file and line; charging would only have parked the event."""
    with pytest.raises(RefusedLine, match=words):
        rides(written(tmp_path, "rides.csv", f"t,v,z,id\n{row}\n"), order_id="id", worker="id", rule="code")


def test_a_roster_in_gbk_or_with_rounded_numbers_is_refused(tmp_path: Path) -> None:
    """Cases 28 and 29's sibling: the roster is a third table that people hand in."""
    token, roster_lines = "ab" * 32, "worker_id,employer_insurance_no,valid_from,valid_to\n"
    file = written(tmp_path, "roster.csv", (roster_lines + f"{token},工-1,2026-01-01,\n").encode("gbk"))
    with pytest.raises(RefusedLine, match=r":2: save it as CSV UTF-8"):
        Roster.load(file)
    with pytest.raises(RefusedLine, match=r":2: employer_insurance_no '1.23E\+11': a spreadsheet rounded it"):
        Roster.load(written(tmp_path, "roster.csv", roster_lines + f"{token},1.23E+11,2026-01-01,\n"))
