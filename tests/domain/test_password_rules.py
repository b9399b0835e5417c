"""Which passwords are refused, and by which rule."""

import time
import tomllib
from pathlib import Path

import pytest

import services.reporting.rendering
from services.reporting.access.password_rules import LONGEST, REASONS, RULES, Rule, UnfitPassword, check_fit, normalised


def rule_of(password: str, account: str = "bluebird") -> Rule | None:
    """The rule that refuses it; None where it is taken."""
    try:
        check_fit(password, account)
    except UnfitPassword as error:
        return error.rule
    return None


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("short", "too_short"),
        ("eleven-9Xk!", "too_short"),
        ("x9F!" * 65, "too_long"),
        ("\ufdfa" * 20, "too_long"),  # 18 characters each, once it is normalised
        ("correct\x00horse battery", "control"),
        ("aaaaaaaaaaaa", "repeated"),
        (" " * 12, "repeated"),
        ("\u3000" * 12, "repeated"),
        ("abcabcabcabc", "repeated"),
        ("x9F!x9F!x9F!x9F!", "repeated"),
        ("秘密秘密秘密秘密秘密秘密", "repeated"),
        ("bluebird-2026!", "name"),
        ("BlueBird bluebird", "name"),
        ("danbao123456!", "product"),
        ("Danbao2026!!x", "product"),
        ("password1234", "common"),
        ("P@$$w0rd2026!", "common"),
        ("woaini1314520", "common"),
        ("qwertyuiop[]", "keyboard"),
        ("1qaz2wsx3edc4rfv", "keyboard"),
        ("poiuytrewq!!", "keyboard"),
        ("abcdefghijklm", "sequence"),
        ("987654321098", "sequence"),
        ("ｂｌｕｅｂｉｒｄ－１２３４", "name"),  # in full width
        ("2026-10-03 2025", "date"),
    ],
)
def test_what_a_guesser_tries_first_is_refused_with_its_rule(password: str, rule: Rule) -> None:
    assert rule_of(password) == rule


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "another long password",
        "x9F!k2Qz8&Lw",
        "春眠不觉晓处处闻啼鸟夜来风",
        "a long enough one",
    ],
)
def test_what_is_hard_to_guess_is_taken(password: str) -> None:
    assert rule_of(password) is None


def test_no_password_takes_long_to_judge() -> None:
    """An estimator of guesses takes seconds for signs that may be written for letters."""
    for piece in ("4@8({[</369&#!1/|0$5+7%2/", "a", "ab", "aab", "1q", "2026"):
        began = time.process_time()
        rule_of((piece * LONGEST)[:LONGEST], "a" * 64)
        assert time.process_time() - began < 0.5, piece


def test_one_password_has_one_form() -> None:
    assert normalised("ｐａｓｓ　ﬁ") == normalised("pass fi")


def test_every_rule_has_a_reason_in_both_languages() -> None:
    texts = tomllib.loads(
        (Path(services.reporting.rendering.__file__).parent / "texts.toml").read_text(encoding="utf-8")
    )
    assert set(REASONS) == set(RULES) <= set(texts["password"])
