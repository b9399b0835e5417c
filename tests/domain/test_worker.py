"""Tokens of workers, and the citizen number's check digit."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import ric as reference

from shared.domain.errors import Refused
from shared.domain.scheme.worker import citizen_check_digit, is_valid_citizen_number, worker_token

KEY = b"a scheme key for tests only"
NUMBER = "11010519491231002X"


def test_a_token_is_the_hmac_of_type_and_number() -> None:
    token = worker_token(KEY, "CITIZEN", NUMBER)
    assert token == hmac.new(KEY, f"CITIZEN:{NUMBER}".encode(), hashlib.sha256).hexdigest()


def test_a_token_never_changes() -> None:
    # Computed once with openssl dgst -sha256 -hmac.
    token = worker_token(KEY, "CITIZEN", NUMBER)
    assert token == "ce75443eefa3ef389eecdf595da602569b8ee5dd59ea5cfdc0c5bcfd0c4f0ec0"


@pytest.mark.parametrize(
    ("id_type", "number"),
    [("citizen", NUMBER), (" CITIZEN", NUMBER.lower()), ("ＣＩＴＩＺＥＮ", "１１0105 19491231 002Ｘ\n")],
)
def test_the_same_document_is_one_worker_however_it_is_typed(id_type: str, number: str) -> None:
    assert worker_token(KEY, id_type, number) == worker_token(KEY, "CITIZEN", NUMBER)


@pytest.mark.parametrize(
    ("key", "id_type", "number"),
    [(KEY + b"!", "CITIZEN", NUMBER), (KEY, "PASSPORT", NUMBER), (KEY, "CITIZEN", "110105194912310021")],
)
def test_another_key_type_or_number_is_another_token(key: bytes, id_type: str, number: str) -> None:
    assert worker_token(key, id_type, number) != worker_token(KEY, "CITIZEN", NUMBER)


@pytest.mark.parametrize(
    ("key", "id_type", "number", "reason"),
    [
        (b"", "CITIZEN", NUMBER, "key"),
        (b"fifteen bytes!!", "CITIZEN", NUMBER, "key"),
        (KEY, "", NUMBER, "type"),
        (KEY, "CITIZEN:1", NUMBER, "type"),  # or the border between type and number would be open
        (KEY, "身份证", NUMBER, "type"),
        (KEY, "CITIZEN", " \t", "number"),
        (KEY, "CITIZEN", "1" * 61, "number"),
    ],
)
def test_what_gives_no_token(key: bytes, id_type: str, number: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as refusal:
        worker_token(key, id_type, number)
    assert NUMBER not in str(refusal.value)


@given(st.text("0123456789", min_size=17, max_size=17))
def test_the_check_digit_is_that_of_another_implementation(first: str) -> None:
    digit = citizen_check_digit(first)
    assert digit == reference.calc_check_digit(first + "0")
    assert is_valid_citizen_number(first + digit)
    assert sum(is_valid_citizen_number(first + other) for other in "0123456789X") == 1


@pytest.mark.parametrize(
    "text",
    ["", NUMBER[:17], NUMBER.lower(), "1101051949123100２X", "X" * 18, NUMBER + "0", "110105194912310021"],
)
def test_another_shape_is_no_citizen_number(text: str) -> None:
    assert is_valid_citizen_number(NUMBER)
    assert not is_valid_citizen_number(text)


def test_a_check_digit_is_asked_of_17_digits() -> None:
    with pytest.raises(Refused, match="17 digits"):
        citizen_check_digit(NUMBER)
