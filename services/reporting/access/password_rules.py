"""Decide which passwords are refused, and by which rule. Pure: what a guesser tries first does not count as length.

What is left of a password without repetitions, the account's name, common words, rows of the keyboard, sequences and
dates must still be long. The rules take time in proportion to the length, which a general estimator (zxcvbn) does not.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, Literal, get_args

from shared.domain.errors import Refused

SHORTEST: Final = 12
LONGEST: Final = 256
UNGUESSABLE: Final = 8
"""So many characters are left when what is easily guessed is taken out ..."""
DIFFERENT: Final = 5
"""... and so many different ones among them."""

Rule = Literal[
    "too_short", "too_long", "control", "repeated", "name", "product", "common", "keyboard", "sequence", "date",
    "wrong_old", "not_twice", "reused",
]  # fmt: skip
RULES: Final[tuple[Rule, ...]] = get_args(Rule)
REASONS: Final[dict[Rule, str]] = {
    "too_short": f"a password has at least {SHORTEST} characters",
    "too_long": f"a password has at most {LONGEST} characters",
    "control": "a password has no control characters",
    "repeated": "most of the password is a few characters, repeated",
    "name": "most of the password is the account's name",
    "product": "most of the password is the name of this system",
    "common": "most of the password is words that very many passwords have",
    "keyboard": "most of the password is a row of the keyboard",
    "sequence": "most of the password is a sequence of letters or digits",
    "date": "most of the password is a date",
    "wrong_old": "the old password is wrong",
    "not_twice": "the new password was not typed in the same way twice",
    "reused": "the new password is one of the last 5",
}

_PRODUCT: Final = ("danbao", "单保", "premium", "ledger", "admin", "operator", "regulator", "portal")
_COMMON: Final = (
    "password", "passwort", "passwd", "passw", "pass", "welcome", "letmein", "iloveyou", "ilove", "loveyou", "love",
    "monkey", "dragon", "master", "login", "secret", "access", "football", "baseball", "princess", "sunshine", "shadow",
    "superman", "batman", "trustno1", "whatever", "freedom", "starwars", "computer", "internet", "google", "michael",
    "jordan", "summer", "winter", "spring", "autumn", "monday", "friday", "hello", "test", "guest", "root", "user",
    "changeme", "change", "default", "temp", "woaini", "woaiwojia", "wodemima", "mima", "nihao", "woshi", "aini",
    "zhongguo", "china", "beijing", "shanghai", "guangdong", "taobao", "tencent", "alibaba", "5201314", "1314520",
    "521314", "1314", "520", "密码", "我爱你", "中国", "你好", "管理员",
)  # fmt: skip
_ROWS: Final = (
    "`1234567890-=", "~!@#$%^&*()_+", "qwertyuiop[]\\", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiop", "azertyuiop",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6", "!qaz@wsx#edc$rfv",
    "qazwsxedcrfvtgbyhnujmikolp", "147258369", "789456123",
)  # fmt: skip
_RUN: Final = 4
_KEYS: Final = frozenset(
    row[at : at + _RUN] for line in _ROWS for row in (line, line[::-1]) for at in range(len(row) - _RUN + 1)
)
_REPEATED: Final = re.compile(r"(.{2,64}?)\1+|(.)\2{2,}", re.DOTALL)
_DATE: Final = re.compile(r"(?:19|20)\d\d(?:[-./年]?(?:0?[1-9]|1[0-2])[-./月]?(?:0?[1-9]|[12]\d|3[01])?日?)?")
_ALIKE: Final = str.maketrans("013457@$!", "oleastasi")
"""Signs that are written for letters."""


class UnfitPassword(Refused):
    """A password that nobody may have; `rule` says why."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(REASONS[rule])
        self.rule = rule


def normalised(password: str) -> str:
    """The one form of a password (Unicode NFKC), however a keyboard or an input method composes it."""
    return unicodedata.normalize("NFKC", password)


def check_fit(password: str, account: str) -> None:
    """Raises UnfitPassword for a password that an account of this name must not have."""
    if len(password) > LONGEST or len(normalised(password)) > LONGEST:
        raise UnfitPassword("too_long")
    password = normalised(password)
    if len(password) < SHORTEST:
        raise UnfitPassword("too_short")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in password):
        raise UnfitPassword("control")
    folded = password.lower()
    taken: dict[int, Rule] = {}
    for rule, first, last in _guessed(folded, account):
        for position in range(first, last):
            taken.setdefault(position, rule)
    rest = [character for position, character in enumerate(folded) if position not in taken]
    if len(rest) < UNGUESSABLE or len(set(rest)) < DIFFERENT:
        raise UnfitPassword(Counter(taken.values()).most_common(1)[0][0] if taken else "repeated")


def _guessed(folded: str, account: str) -> Iterator[tuple[Rule, int, int]]:
    """What a guesser tries first, with the rule and where it begins and ends; what may be said in two ways, first."""
    names = [account, *(part for part in re.split(r"[^a-z]+", account) if len(part) >= _RUN)]
    yield from _words("name", [name for name in names if len(name) > 2], folded)
    yield from _words("product", _PRODUCT, folded)
    yield from _words("common", _COMMON, folded)
    for first in range(len(folded) - _RUN + 1):
        piece = folded[first : first + _RUN]
        if len(set(piece)) == _RUN and _is_sequence(piece):
            yield "sequence", first, first + _RUN
        elif piece in _KEYS:
            yield "keyboard", first, first + _RUN
    for match in _DATE.finditer(folded):
        yield "date", *match.span()
    for match in _REPEATED.finditer(folded):
        yield "repeated", match.start() + len(match[1] or match[2]), match.end()


def _words(rule: Rule, words: Sequence[str], folded: str) -> Iterator[tuple[Rule, int, int]]:
    for text in {folded, folded.translate(_ALIKE)}:
        for word in words:
            for match in re.finditer(re.escape(word), text):
                yield rule, *match.span()


def _is_sequence(piece: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(piece)}
    return steps in ({1}, {-1})
