"""Assertions of persons: only under the person's own key, only for this service, only for a minute."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import jwt
import pytest

from shared.domain.errors import Refused
from shared.domain.evidence.authors import Role
from shared.runtime import clock
from shared.runtime.persons import MOST_CHARACTERS, VALID_SECONDS, Person, Persons, claims_of
from tests.support.authors import ALL, BOB, LEDGER, OPERATOR, STRANGER, author_key

ALICE: Final = Person(OPERATOR.author.identity, Role.OPERATOR)
PERSONS: Final = Persons((signer.author for signer in ALL), "ledger")


def claims(**changes: Any) -> dict[str, Any]:
    changed = claims_of(ALICE, "ledger", clock.now()) | changes
    return {name: value for name, value in changed.items() if value is not ...}


def made(**changes: Any) -> str:
    return OPERATOR.sign_token(claims(**changes))


def test_an_assertion_names_account_and_role() -> None:
    assert PERSONS.verify(made()) == ALICE


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda: made(aud="charging"), "Audience"),
        (lambda: made(exp=clock.now() - timedelta(seconds=6)), "expired"),
        (lambda: made(iat=clock.now() + timedelta(seconds=30)), "not yet valid"),
        (lambda: made(exp=clock.now() + timedelta(hours=1)), f"more than {VALID_SECONDS} s"),
        (lambda: made(sub=...), "sub"),
        (lambda: made(role=...), "role"),
        (lambda: made(role=7), "names somebody else"),
        (lambda: made(sub="bob"), "names somebody else"),
        (lambda: BOB.sign_token(claims()), "names somebody else"),
        (lambda: LEDGER.sign_token(claims()), "no key that is known here"),
        (lambda: STRANGER.sign_token(claims()), "no key that is known here"),
        (lambda: made()[:-8] + "AAAAAAAA", "Signature"),
        (lambda: "", "Not enough segments"),
        (lambda: "a" * (MOST_CHARACTERS + 1), "characters"),
    ],
)
def test_what_does_not_hold_is_refused_with_the_reason(spoil: Callable[[], str], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        PERSONS.verify(spoil())


def test_another_key_under_the_persons_id_is_refused() -> None:
    key, headers = author_key(STRANGER.author.key.name), {"kid": OPERATOR.key_id.hex()}
    token = jwt.encode(claims(), key, algorithm="EdDSA", headers=headers)
    with pytest.raises(Refused, match="Signature verification failed"):
        PERSONS.verify(token)


@pytest.mark.parametrize(("algorithm", "key"), [("HS256", OPERATOR.author.key.public), ("none", "")])
def test_the_public_key_is_no_shared_secret(algorithm: str, key: bytes | str) -> None:
    """A token with an HMAC under the person's public key, which everybody knows, or with no signature at all."""
    token = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": OPERATOR.key_id.hex()})
    with pytest.raises(Refused, match="alg value is not allowed"):
        PERSONS.verify(token)
