"""`danbao author`: keys are made once, and a signature is taken only of a known and unaltered one."""

import json
import stat
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.cli.commands import authors as author
from shared.adapters.crypto.signing import AuthorSigner, is_signed
from shared.adapters.files.vkeys import read_authors
from shared.contracts.topics import INJURIES, REMITTANCES, SPEAKERS
from shared.domain.errors import Refused, RefusedLine
from shared.domain.evidence.authors import Authors, NotAuthorizedError, Role
from shared.domain.evidence.declaration_keys import DeclarationKeys, EnterpriseKey
from shared.domain.evidence.signed_note import VerifierKey
from shared.runtime import clock
from shared.runtime.exits import Exit
from shared.runtime.persons import Person, Persons, claims_of
from tests.e2e.processes import run
from tests.support.authors import author_key

BANK = "bank.example/remittances"
USCC = "91000000FAKE00001F"
DAY = date(2027, 1, 2)
VALUE = b'{"remittance_id": "r1"}'


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Returns the output since the last call, without the newline."""
    return lambda: capsys.readouterr().out.removesuffix("\n")


def make_author(folder: Path, name: str = BANK, role: str = "remittances", identity: str = "") -> Path:
    """The private key; its line is printed."""
    private = folder / f"{role}{identity}.pem"
    author.key(private, name, role, identity)
    return private


def signed_by(private: Path, folder: Path, topic: str = REMITTANCES, name: str = BANK) -> None:
    (folder / "value").write_bytes(VALUE)
    author.sign(topic, folder / "value", private, name)


def read_by(vkeys: Path, header: str, topic: str = REMITTANCES, value: bytes = VALUE) -> str:
    """Who sent it, as a reader finds."""
    _, _, signature = header.partition(": ")
    return Authors(read_authors(vkeys), is_signed).of_message(SPEAKERS, topic, signature.encode(), value).name


def test_a_key_is_made_once_for_its_owner_and_its_line_is_an_author(tmp_path: Path, printed: Callable[[], str]) -> None:
    private = make_author(tmp_path)
    line, pem = printed(), private.read_bytes()
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    (tmp_path / "vkeys").write_text(f"{line}\n")
    (key,) = read_authors(tmp_path / "vkeys")
    assert (key.role, key.identity, key.is_retired) == (Role.REMITTANCES, "", False)
    author.key(private, BANK, "remittances")
    assert (printed(), private.read_bytes()) == (line, pem)


@pytest.mark.parametrize(
    ("name", "role", "identity", "reason"),
    [
        (BANK, "bank", "", "--role bank: the roles are charging, ledger"),
        ("two words", "remittances", "", "no verifier key"),
        ("a+b", "remittances", "", "no verifier key"),
        ("", "remittances", "", "no verifier key"),
        (BANK, "remittances", "bank", "is no author"),
        (BANK, "totals", "", "is no author"),
        (BANK, "operator", "", "is no author"),
        (BANK, "charging", "", "is no author"),
        (BANK, "totals", "a b", "is no author"),
        (BANK, "totals", "统", "is no name of a deployment or source"),
        (BANK, "operator", "x" * 65, "is no name of a deployment or source"),
    ],
)
def test_what_is_no_author_is_refused_and_leaves_no_key(
    tmp_path: Path, name: str, role: str, identity: str, reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        author.key(tmp_path / "new.pem", name, role, identity)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["two words", "a+b", ""])
def test_an_enterprises_key_of_no_name_is_refused_and_not_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="is no name of a key"):
        author.enterprise_key(tmp_path / "new.pem", name)
    assert list(tmp_path.iterdir()) == []


def test_a_message_is_taken_under_its_topic_and_value_only(tmp_path: Path, printed: Callable[[], str]) -> None:
    private = make_author(tmp_path)
    (tmp_path / "vkeys").write_text(printed())
    signed_by(private, tmp_path)
    header = printed()
    assert read_by(tmp_path / "vkeys", header) == "remittances"
    for topic, value in ((REMITTANCES, VALUE + b" "), (INJURIES, VALUE)):
        with pytest.raises(NotAuthorizedError):
            read_by(tmp_path / "vkeys", header, topic, value)
    with pytest.raises(Refused, match="signed are messages to"):
        signed_by(private, tmp_path, topic="orders.v1.91000000FAKE00001F")
    with pytest.raises(Refused, match=r"nowhere: No such file"):
        author.sign(REMITTANCES, tmp_path / "nowhere", private, BANK)


def cut_in_the_middle(pem: bytes) -> bytes:
    return pem[: len(pem) // 2]


def change_a_letter(pem: bytes) -> bytes:
    """In the prefix that says which algorithm it is."""
    return pem.replace(b"MC4CAQ", b"MC4CAR")


def public_half(_: bytes) -> bytes:
    return author_key(BANK).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


ALTERED = (cut_in_the_middle, change_a_letter, public_half, lambda _: b"", lambda _: b"\x00\xff")


@pytest.mark.parametrize("alter", ALTERED)
def test_an_altered_key_file_signs_nothing_and_is_not_replaced(
    tmp_path: Path, printed: Callable[[], str], alter: Callable[[bytes], bytes]
) -> None:
    private = make_author(tmp_path)
    private.write_bytes(altered := alter(private.read_bytes()))
    printed()
    (tmp_path / "event").write_bytes(declaration())
    refusals: list[Callable[[], Any]] = [
        lambda: signed_by(private, tmp_path),
        lambda: make_author(tmp_path),
        lambda: author.enterprise_key(private, "rides.example/2027"),
        lambda: author.sign_declaration(tmp_path / "event", private, "rides.example/2027"),
    ]
    for command in refusals:
        with pytest.raises(Refused, match=f"{private}: not an Ed25519 private key"):
            command()
    assert (printed(), private.read_bytes()) == ("", altered)


def test_another_key_in_the_files_place_is_taken_by_nobody(tmp_path: Path, printed: Callable[[], str]) -> None:
    private = make_author(tmp_path)
    (tmp_path / "vkeys").write_text(printed())
    private.unlink()
    make_author(tmp_path)
    printed()
    signed_by(private, tmp_path)
    with pytest.raises(NotAuthorizedError, match="of nobody who may say this"):
        read_by(tmp_path / "vkeys", printed())
    with pytest.raises(Refused, match="the known authors have no such key of remittances"):
        AuthorSigner.load(private, read_authors(tmp_path / "vkeys"), Role.REMITTANCES)


def test_a_retired_key_is_taken_by_nobody_and_loaded_by_no_service(tmp_path: Path, printed: Callable[[], str]) -> None:
    private = make_author(tmp_path)
    line = printed()
    (tmp_path / "vkeys").write_text(f"{line} retired\n")
    signed_by(private, tmp_path)
    with pytest.raises(NotAuthorizedError, match="of nobody who may say this"):
        read_by(tmp_path / "vkeys", printed())
    with pytest.raises(Refused, match="this key of remittances is retired"):
        AuthorSigner.load(private, read_authors(tmp_path / "vkeys"), Role.REMITTANCES)
    (tmp_path / "vkeys").write_text(f"{line} retire\n")
    with pytest.raises(RefusedLine, match=r"vkeys:1: .* is no author"):
        read_authors(tmp_path / "vkeys")


def test_a_retired_person_decides_nothing(tmp_path: Path, printed: Callable[[], str]) -> None:
    private = make_author(tmp_path, "house.example/alice", "operator", "alice")
    line, vkeys = printed(), tmp_path / "vkeys"
    vkeys.write_text(line)
    signer = AuthorSigner.load_person(private, read_authors(vkeys))
    token = signer.sign_token(claims_of(Person("alice", Role.OPERATOR), "ledger", clock.now()))
    assert Persons(read_authors(vkeys), "ledger").verify(token).account == "alice"
    vkeys.write_text(f"{line} retired")
    with pytest.raises(Refused, match="no key that is known here"):
        Persons(read_authors(vkeys), "ledger").verify(token)
    with pytest.raises(Refused, match="no such key of a person"):
        AuthorSigner.load_person(private, read_authors(vkeys))


def declaration(**attributes: Any) -> bytes:
    series = {"series": "main", "used": [{"first": 1, "last": 9}]}
    data = {"declaration_id": "d1", "day": str(DAY), "series": [series], "totals": []}
    event = {"specversion": "1.0", "id": "1", "source": f"urn:uscc:{USCC}", "type": "day.declared.v1", "revision": 3}
    return json.dumps(event | attributes | {"data": data}, indent=1).encode()


def check(event: bytes, *keys: EnterpriseKey) -> int:
    """The revision that is signed, as charging reads it."""
    fields = msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    signature = msgspec.json.decode(fields["signature"], type=str)
    known = DeclarationKeys(keys, is_signed)
    return known.check(USCC, DAY, int(bytes(fields["revision"])), signature, bytes(fields["data"])).revision


def test_a_declaration_is_signed_over_its_own_bytes(tmp_path: Path, printed: Callable[[], str]) -> None:
    author.enterprise_key(tmp_path / "key.pem", "rides.example/2027")
    key = VerifierKey.parse(printed())
    (tmp_path / "event").write_bytes(declaration())
    author.sign_declaration(tmp_path / "event", tmp_path / "key.pem", "rides.example/2027")
    signed = printed().encode()
    assert check(signed, EnterpriseKey(USCC, key, DAY)) == 3
    faults = {
        "is no key of": EnterpriseKey(USCC, key, date(2026, 1, 1), DAY),  # ended on the day before
        "is no key of .* on": EnterpriseKey("91000000FAKE00002J", key, DAY),
    }
    for fault, other in faults.items():
        with pytest.raises(NotAuthorizedError, match=fault):
            check(signed, other)
    with pytest.raises(NotAuthorizedError, match="does not hold"):
        check(signed.replace(b'"last": 9', b'"last": 8'), EnterpriseKey(USCC, key, DAY))
    (tmp_path / "signed").write_bytes(signed)
    with pytest.raises(Refused, match="signed already"):
        author.sign_declaration(tmp_path / "signed", tmp_path / "key.pem", "rides.example/2027")


@pytest.mark.parametrize(
    "event", [b"", b"\xff", b"[]", b"{}", declaration(type="order.accepted.v1"), declaration(source=7)]
)
def test_what_is_no_declaration_is_not_signed(tmp_path: Path, printed: Callable[[], str], event: bytes) -> None:
    author.enterprise_key(tmp_path / "key.pem", "rides.example/2027")
    printed()
    (tmp_path / "event").write_bytes(event)
    with pytest.raises(Refused, match=r"no day\.declared\.v1"):
        author.sign_declaration(tmp_path / "event", tmp_path / "key.pem", "rides.example/2027")
    assert printed() == ""


def test_a_refusal_is_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("not a key")
    arguments = ("author", "key", str(tmp_path / "key.pem"), "--name", BANK, "--role", "remittances")
    status, out, err = run(*arguments, temporary=tmp_path)
    assert (status, out, len(err.splitlines())) == (Exit.USAGE, "", 1)
    assert f"{tmp_path}/key.pem: not an Ed25519 private key" in err
