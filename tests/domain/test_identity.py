"""What reads as a citizen's or a mobile number: the rule against the auditor's own, and chance as documented."""

from random import Random

import pytest

from shared.domain.privacy.identity import reads_as_identity
from tests.model.identity import names_a_person

CITIZEN, MOBILE = "11010519491231002X", "13800138000"


@pytest.mark.parametrize(
    "text",
    [
        CITIZEN, CITIZEN.lower(), MOBILE, f"86{MOBILE}", f"+86 {MOBILE}", "138-0013-8000", f"GS{MOBILE}x",
        f"a:{CITIZEN}", "110105491231002", "110105-19491231-002X", "A.110105194912310 110105491231002",
    ],
)  # fmt: skip
def test_a_number_of_a_person_is_seen(text: str) -> None:
    assert reads_as_identity(text)
    assert names_a_person(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "main", "GS31-3000024", "91000000FAKE00001F", "110105194912310021", "11010519491331002X", "12800138000",
        f"9{MOBILE}", f"{MOBILE}1", "000000491231002", "2026100312000017", "5d" * 32,
    ],
)  # fmt: skip
def test_another_number_is_not(text: str) -> None:
    assert not reads_as_identity(text)
    assert not names_a_person(text)


def test_rule_and_model_agree_on_numbers_of_every_length() -> None:
    random = Random(7)
    signs = ["0123456789"] * 9 + ["0123456789Xx-A"]
    for _ in range(40_000):
        text = "".join(random.choice(random.choice(signs)) for _ in range(random.choice((11, 13, 15, 18, 19))))
        if random.random() < 0.3:
            text = text[:6] + f"19{random.randint(40, 99)}0{random.randint(1, 9)}1{random.randint(0, 9)}" + text[14:]
        assert reads_as_identity(text) == names_a_person(text), text
