"""Signed notes, checkpoints and cosignatures: the examples of the specifications, and what they forbid."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.crypto.signing import is_signed
from shared.domain.errors import Refused
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.merkle import EMPTY_ROOT
from shared.domain.evidence.signed_note import (
    COSIGNATURE,
    ED25519,
    Note,
    Signature,
    VerifierKey,
    check_note,
    make_signature,
    signed_message,
)

VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""
CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
LOG_SECRET, WITNESS_SECRET = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
LOG = VerifierKey("example.com/log", ED25519, LOG_SECRET.public_key().public_bytes_raw())
WITNESS = VerifierKey("example.com/witness", COSIGNATURE, WITNESS_SECRET.public_key().public_bytes_raw())
TEXT = Checkpoint("example.com/log", 0, EMPTY_ROOT).text


def signed(text: str = TEXT) -> Note:
    both = (
        make_signature(LOG, text, LOG_SECRET.sign),
        make_signature(WITNESS, text, WITNESS_SECRET.sign, 1_700_000_000),
    )
    return Note(text, both)


def test_the_specifications_note_verifies_under_its_key() -> None:
    key = VerifierKey.parse(VKEY)
    note = Note.parse(NOTE.encode())
    assert str(key) == VKEY
    assert bytes(note) == NOTE.encode()
    assert check_note(note, [key], is_signed) == {key: None}


def test_the_specifications_checkpoint_is_read_to_the_byte() -> None:
    note = Note.parse(CHECKPOINT.encode())
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root.hex()[:8]) == (
        "example.com/behind-the-sofa",
        20_852_163,
        "0ac5186a",
    )
    assert checkpoint.text == note.text
    assert bytes(note) == CHECKPOINT.encode()
    cosignature = note.signatures[1]
    assert int.from_bytes(cosignature.signature[:8], "big") == 1_679_315_147
    key = VerifierKey(cosignature.name, COSIGNATURE, bytes(32))
    assert signed_message(key, note.text, 1_679_315_147).decode() == (
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )


def test_log_and_witness_sign_the_same_text_and_strangers_are_passed_over() -> None:
    note = Note.parse(bytes(signed()))
    assert check_note(note, [LOG, WITNESS], is_signed) == {LOG: None, WITNESS: 1_700_000_000}
    assert check_note(note, [LOG], is_signed) == {LOG: None}
    stranger = VerifierKey(LOG.name, ED25519, bytes(32))
    assert check_note(note, [stranger], is_signed) == {}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("bit", range(0, 64 * 8, 37))
def test_a_known_key_whose_signature_does_not_hold_spoils_the_note(place: int, bit: int) -> None:
    lines = list(signed().signatures)
    changed = bytearray(lines[place].signature)
    changed[bit // 8] ^= 1 << bit % 8
    lines[place] = Signature(lines[place].name, lines[place].key_id, bytes(changed))
    with pytest.raises(Refused, match="does not hold"):
        check_note(Note(TEXT, tuple(lines)), [LOG, WITNESS], is_signed)


@pytest.mark.parametrize("length", [1, 7, 8, 63, 65, 71, 73])
def test_a_signature_of_another_length_does_not_hold(length: int) -> None:
    for key in (LOG, WITNESS):
        note = Note(TEXT, (Signature(key.name, key.key_id, bytes(length)),))
        with pytest.raises(Refused, match="does not hold"):
            check_note(note, [key], is_signed)


def test_a_time_beyond_what_the_specification_allows_does_not_hold() -> None:
    line = make_signature(WITNESS, TEXT, WITNESS_SECRET.sign, 2**63)
    with pytest.raises(Refused, match="does not hold"):
        check_note(Note(TEXT, (line,)), [WITNESS], is_signed)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"text\n", b"text\n\n", b"text\n\n\n", NOTE.encode()[:-1], NOTE.encode().replace(b"foo Uw", b"f+o Uw"),
        NOTE.encode().replace(b"message", b"mess\tage"), NOTE.encode().replace(b"message", b"mess\xffage"),
        NOTE.replace("— ", "- ").encode(), NOTE.replace("aQM=", "aQM").encode(), NOTE.replace("aQM=", "aQN=").encode(),
        NOTE.replace("com/foo Uw", "com/foo  Uw").encode(), NOTE.replace("foo Uw", "f\u00a0oo Uw").encode(),
        "text\n\n— name AAAAAA==\n".encode(), NOTE.encode() + b"\n", "text\n\n—  AAAAAAAA\n".encode(),
    ],
)  # fmt: skip
def test_what_is_no_note(data: bytes) -> None:
    with pytest.raises(Refused):
        Note.parse(data)


def test_a_note_may_hold_a_hundred_signatures_and_no_more() -> None:
    line = make_signature(LOG, TEXT, LOG_SECRET.sign)
    assert len(Note.parse(bytes(Note(TEXT, (line,) * 100))).signatures) == 100
    with pytest.raises(Refused, match="101 signatures"):
        Note.parse(bytes(Note(TEXT, (line,) * 101)))


def test_the_last_empty_line_ends_the_text() -> None:
    note = Note.parse("one\n\ntwo\n\n— a AAAAAAAA\n".encode())
    assert note.text == "one\n\ntwo\n"


@pytest.mark.parametrize(
    "vkey",
    [
        "", "example.com/foo", VKEY.replace("530d903a", "530d903b"), VKEY.replace("530d903a", "530D903A"),
        VKEY.replace("AekyeRrm", "AukyeRrm"), VKEY + "=", VKEY.replace("foo", "fo o"), VKEY[:-4],
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ],
)  # fmt: skip
def test_what_is_no_verifier_key(vkey: str) -> None:
    with pytest.raises(Refused):
        VerifierKey.parse(vkey)


@given(st.binary(min_size=32, max_size=32), st.sampled_from([ED25519, COSIGNATURE]))
def test_a_verifier_key_is_read_as_it_was_written(public: bytes, kind: int) -> None:
    key = VerifierKey("example.com/log", kind, public)
    assert VerifierKey.parse(str(key)) == key


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_is_read_as_it_was_written(size: int, root: bytes) -> None:
    checkpoint = Checkpoint("example.com/log", size, root)
    assert Checkpoint.parse(checkpoint.text) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "", "a\n1\n", TEXT[:-1], TEXT + "\n", TEXT.replace("\n0\n", "\n00\n"), TEXT.replace("\n0\n", "\n-1\n"),
        TEXT.replace("\n0\n", "\n9223372036854775808\n"), TEXT.replace("\n0\n", "\n\n"), TEXT.replace("=", ""),
        "\n" + TEXT, TEXT.replace("\n0\n", "\n٣\n"), TEXT.replace("47DE", "47D"), "a\n1\n47DE\n",
        TEXT.replace("hSuFU=", "hSuFV="),
    ],
)  # fmt: skip
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(Refused):
        Checkpoint.parse(text)


def test_extension_lines_are_kept() -> None:
    text = TEXT + "extended\n"
    assert Checkpoint.parse(text).extensions == ("extended",)
    assert Checkpoint.parse(text).text == text
