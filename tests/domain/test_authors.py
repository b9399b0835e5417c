"""Authors: lines of the file of keys, messages against checked-in vectors, and who may say what."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shared.adapters.crypto.signing import AuthorSigner, is_signed
from shared.contracts.topics import DAYS_CLOSED, INTERNAL, MANIFESTS, REMITTANCES, SPEAKERS, TOTALS
from shared.domain.errors import Refused
from shared.domain.evidence.authors import Author, Authors, NotAuthorizedError, Role, is_author_line, message_statement
from tests.support.authors import ALL, AUTHORS, CHARGING, COLLECTOR, LEDGER, METERS, STRANGER, WEST

VECTORS = json.loads((Path(__file__).parent / "message_vectors.json").read_text(encoding="utf-8"))
VALUE = b'{"any":"value"}'


def fault_of(signer: AuthorSigner, topic: str, value: bytes = VALUE, authors: Authors = AUTHORS) -> str:
    """Why a message that somebody signed is refused."""
    with pytest.raises(NotAuthorizedError) as refused:
        authors.of_message(SPEAKERS, topic, signer.sign_message(topic, value), value)
    return refused.value.fault


@pytest.mark.parametrize("vector", VECTORS)
def test_message_vectors(vector: dict[str, str]) -> None:
    author, value = Author.parse(vector["author"]), vector["value"].encode()
    name, _, header = vector["header"].partition(": ")
    assert name == "danbao-signature"
    assert message_statement(vector["topic"], value).decode() == vector["statement"]
    assert Authors([author], is_signed).of_message(SPEAKERS, vector["topic"], header.encode(), value) == author


def test_every_topic_has_one_who_may_say_it() -> None:
    assert set(SPEAKERS) == set(INTERNAL)
    for topic, role in SPEAKERS.items():
        for signer in ALL:
            if signer.author.role == role:
                header = signer.sign_message(topic, VALUE)
                assert AUTHORS.of_message(SPEAKERS, topic, header, VALUE) == signer.author
            else:
                assert fault_of(signer, topic) == "wrong_author"


def test_a_signature_is_for_one_topic_and_one_value() -> None:
    header = CHARGING.sign_message(MANIFESTS, VALUE)
    for topic, value in (
        (MANIFESTS, VALUE + b" "),
        ("days.counted.v1", VALUE),
        ("orders.v1.91000000FAKE00005U", VALUE),
    ):
        with pytest.raises(NotAuthorizedError) as refused:
            AUTHORS.of_message(SPEAKERS, topic, header, value)
        assert refused.value.fault == "wrong_author"


@pytest.mark.parametrize(
    "header", [None, b"", b"hello", b"\xff\xfe", b"00000000:", b"0000000g:" + b"A" * 86 + b"==", b"0" * 10_000]
)
def test_what_is_no_signature(header: bytes | None) -> None:
    with pytest.raises(NotAuthorizedError) as refused:
        AUTHORS.of_message(SPEAKERS, REMITTANCES, header, VALUE)
    assert refused.value.fault == "unsigned"


def test_a_stranger_with_a_name_like_ours_is_none() -> None:
    assert fault_of(STRANGER, MANIFESTS) == "wrong_author"


def test_during_a_change_of_keys_both_are_taken_and_a_retired_one_is_not() -> None:
    old, new = LEDGER, replace(STRANGER.author, role=Role.LEDGER, identity="")
    successor = AuthorSigner(STRANGER._key, new)
    both = Authors([old.author, new], is_signed)
    for signer in (old, successor):
        assert both.of_message(SPEAKERS, DAYS_CLOSED, signer.sign_message(DAYS_CLOSED, VALUE), VALUE) == signer.author
    after = Authors([replace(old.author, is_retired=True), new], is_signed)
    assert fault_of(old, DAYS_CLOSED, authors=after) == "wrong_author"


@pytest.mark.parametrize("signer", ALL)
def test_a_line_is_read_as_it_is_written(signer: AuthorSigner) -> None:
    for author in (signer.author, replace(signer.author, is_retired=True)):
        assert Author.parse(str(author)) == author
        assert is_author_line(str(author))
    assert not is_author_line(str(signer.author.key))


@pytest.mark.parametrize(
    "words", ["charging", "totals", "ledger west", "king", "charging west east", "totals a/b", "charging retired"]
)
def test_what_is_no_line_of_an_author(words: str) -> None:
    with pytest.raises(Refused):
        Author.parse(f"{WEST.author.key} {words}")


def test_two_keys_with_one_id_are_told_apart_by_their_signatures() -> None:
    assert len({signer.key_id for signer in (CHARGING, COLLECTOR, METERS)}) == 3
    both = Authors([replace(STRANGER.author, key=replace(CHARGING.author.key)), METERS.author], is_signed)
    assert both.of_message(SPEAKERS, TOTALS, METERS.sign_message(TOTALS, VALUE), VALUE) == METERS.author
