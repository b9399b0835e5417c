"""Loading enterprise-keys*.csv: each line that is refused, with its file and line, and what is only warned of."""

from pathlib import Path

import pytest

from shared.adapters.files.scheme import load_scheme
from shared.domain.evidence.signed_note import COSIGNATURE, ED25519, VerifierKey
from tests.contract.test_scheme_files import GOOD, ONE, TWO, refusal
from tests.support.authors import author_key

HEADER = "uscc,vkey,valid_from,valid_to,note\n"


def vkey(name: str, kind: int = ED25519) -> str:
    return str(VerifierKey(name, kind, author_key(name).public_key().public_bytes_raw()))


FIRST, NEXT = vkey("rides.example/2027"), vkey("rides.example/2028")
RENAMED = str(VerifierKey("other.example/key", ED25519, VerifierKey.parse(FIRST).public))
"""The first key under another name."""
GOOD_LINES = f"{ONE},{FIRST},2027-01-01,2027-07-01,\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A scheme without keys."""
    made = tmp_path / "scheme"
    made.mkdir()
    for file, text in GOOD.items():
        (made / file).write_text(text, encoding="utf-8")
    return made


def write(directory: Path, *lines: str, file: str = "enterprise-keys.csv", header: str = HEADER) -> Path:
    path = directory / file
    path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f",{NEXT},2028-01-01,,", "uscc is empty"),
        (f"91000000FAKE00003M,{NEXT},2028-01-01,,", "is in no enterprises.csv"),
        (f"rides,{NEXT},2028-01-01,,", "is in no enterprises.csv"),
        (f"{ONE},,2028-01-01,,", "vkey is empty"),
        (f"{ONE},rides.example,2028-01-01,,", "is no verifier key: name+key id+base64"),
        (f"{ONE},{NEXT[:-4]},2028-01-01,,", "not a key for Ed25519 signatures or cosignatures"),
        (f"{ONE},{NEXT[:-1]}!,2028-01-01,,", "is no verifier key: name+key id+base64"),
        (f"{ONE},{NEXT.replace('2028', '2029')},2028-01-01,,", "the key id is not that of name and key"),
        (f"{ONE},{vkey('witness', COSIGNATURE)},2028-01-01,,", "is not a key for Ed25519 signatures"),
        (f"{ONE},{NEXT} retired,2028-01-01,,", "is no verifier key: name+key id+base64"),
        (f"{ONE},{FIRST},2028-01-01,,", "this key is given twice, first in …:2"),
        (f"{TWO},{FIRST},2028-01-01,,", "this key is given twice, first in …:2"),
        (f"{TWO},{RENAMED},2028-01-01,,", "this key is given twice, first in …:2"),
        (f"{ONE},{NEXT},,,", "valid_from is empty"),
        (f"{ONE},{NEXT},2027-02-29,,", "valid_from: no such day: '2027-02-29'"),
        (f"{ONE},{NEXT},2028,,", "valid_from: not a day of the form"),
        (f"{ONE},{NEXT},2028-01-01T08:00:00+08:00,,", "valid_from is a day: a key holds for whole days"),
        (f"{ONE},{NEXT},2028-01-01T00:00:00Z,,", "valid_from is a day: a key holds for whole days"),
        (f"{ONE},{NEXT},2028-01-01,2028-06-31,", "valid_to: no such day: '2028-06-31'"),
        (f"{ONE},{NEXT},2028-01-01,2028-07-01T12:00:00+08:00,", "valid_to is a day: a key holds for whole days"),
        (f"{ONE},{NEXT},2028-01-01,2028-01-01,", "valid_to is not after valid_from"),
        (f"{ONE},{NEXT},2028-01-02,2028-01-01,", "valid_to is not after valid_from"),
        (f"{ONE},{NEXT},2028-01-01,", "4 fields where the header has 5"),
        (f'{ONE},"{NEXT},2028-01-01,,', "not CSV"),
    ],
)
def test_a_bad_key_is_refused_with_its_file_and_line(directory: Path, line: str, reason: str) -> None:
    path = write(directory, GOOD_LINES.strip(), line)
    refused = refusal(directory)
    assert (Path(refused.file), refused.line) == (path, 3)
    assert str(refused).startswith(f"{path}:3: ")
    assert reason.replace("…", str(path)) in str(refused)


@pytest.mark.parametrize(
    ("header", "line"),
    [("", 0), ("uscc,vkey\n", 1), (HEADER.replace("note", "colour"), 1), (HEADER.replace("note", "uscc"), 1)],
)
def test_a_file_of_other_columns_is_refused(directory: Path, header: str, line: int) -> None:
    path = write(directory, header=header)
    refused = refusal(directory)
    assert (Path(refused.file), refused.line) == (path, line)


def test_a_key_given_in_two_files_is_refused_where_it_comes_again(directory: Path) -> None:
    first = write(directory, GOOD_LINES.strip())
    again = write(directory, f"{TWO},{RENAMED},2028-01-01,,", file="enterprise-keys-2028.csv")
    refused = refusal(directory)
    places = {str(first), str(again)}
    assert refused.line == 2
    assert refused.file in places
    assert f"first in {(places - {refused.file}).pop()}:2" in str(refused)


def test_a_file_of_nearly_the_name_is_refused(directory: Path) -> None:
    path = write(directory, GOOD_LINES.strip(), file="enterprise_keys.csv")
    assert refusal(directory).file == str(path)


def test_a_key_that_ends_without_a_next_one_is_a_warning(directory: Path) -> None:
    path = write(directory, GOOD_LINES.strip())
    (warning,) = load_scheme([directory]).warnings
    assert warning == f"{path}:2: {ONE} has no key on 2027-07-01: its manifests of that day will be parked"
    write(directory, GOOD_LINES.strip(), f"{ONE},{NEXT},2027-07-01,,")
    assert load_scheme([directory]).warnings == ()
    write(directory, GOOD_LINES.strip(), f"{TWO},{NEXT},2027-07-01,,")
    assert len(load_scheme([directory]).warnings) == 1
