"""The acknowledgement's text, and what is refused as one."""

from datetime import date

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.adapters.crypto.signing import is_signed
from shared.domain.errors import Refused
from shared.domain.evidence.acknowledgement import Acknowledgement, check_acknowledgement
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.signed_note import ED25519, Note, VerifierKey, make_signature

ANSWER = Acknowledgement(
    enterprise="91000000FAKE00001F",
    day=date(2026, 10, 3),
    received=(("charged", 1_230), ("parked", 2)),
    series=(("s1", [(1, 99), (101, 101)]), ("s2", [(7, 7)])),
    manifests=(("d1", "ab" * 32),),
    checkpoint=Checkpoint("danbao.example/log", 17, bytes(32)),
)
TEXT = f"""danbao acknowledgement v1
enterprise 91000000FAKE00001F
day 2026-10-03
received charged 1230
received parked 2
series s1 1-99,101
series s2 7
manifest d1 {"ab" * 32}
checkpoint danbao.example/log 17 {"00" * 32}
"""


def test_the_text_says_it_all_and_reads_back() -> None:
    assert ANSWER.text == TEXT
    assert Acknowledgement.parse(TEXT) == ANSWER
    bare = Acknowledgement("91000000FAKE00001F", date(2026, 10, 3), (), (), ())
    assert Acknowledgement.parse(bare.text) == bare


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("v1", "v2"), ("2026-10-03", "2026-13-03"), ("1-99,101", "101,1-99"), ("1-99,101", "1-99,100"),
        ("1-99", "99-1"),        ("charged 1230", "charged 01230"), ("manifest", "Manifest"), ("day", "day "),
        ("received parked 2\n", "received parked 2\nwhatever\n"), (" 17 ", " 017 "), ("\n", "\r\n"),
    ],
)  # fmt: skip
def test_other_forms_are_refused(old: str, new: str) -> None:
    changed = TEXT.replace(old, new)
    assert changed != TEXT
    with pytest.raises(Refused, match="not an acknowledgement"):
        Acknowledgement.parse(changed)


def test_a_note_holds_only_under_a_key_that_is_known() -> None:
    key = Ed25519PrivateKey.generate()
    verifier = VerifierKey("danbao.example/acknowledgements", ED25519, key.public_key().public_bytes_raw())
    note = bytes(Note(TEXT, (make_signature(verifier, TEXT, key.sign),)))
    assert check_acknowledgement(note, [verifier], is_signed) == ANSWER
    stranger = VerifierKey("danbao.example/acknowledgements", ED25519, bytes(32))
    with pytest.raises(Refused, match="none of the keys"):
        check_acknowledgement(note, [stranger], is_signed)
    with pytest.raises(Refused, match="does not hold"):
        check_acknowledgement(note.replace(b"charged 1230", b"charged 1231"), [verifier], is_signed)
