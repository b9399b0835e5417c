"""Manifests of a day as enterprises sign them, with the made-up keys of `tests/corpus/scheme`."""

import json
from datetime import date
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.domain.evidence.authors import signature_header
from shared.domain.evidence.declaration_keys import declaration_statement
from shared.domain.evidence.signed_note import ED25519, VerifierKey
from tests.integration.charging.charging_harness import NOON, RIDES, Sent
from tests.support.authors import author_key

FIRST_KEY: Final = "rides.example/2027"
"""Of RIDES, for 2027-01-01 to 2027-06-30; with the one below in June."""
NEXT_KEY: Final = "rides.example/2028"


def data_of(name: str, day: str, orders: int = 1, unused: int = 0) -> bytes:
    """The bytes of `data`."""
    series: dict[str, Any] = {"series": "main", "used": [{"first": 1, "last": 9}]}
    if unused:
        series["unused"] = [{"first": unused, "last": unused}]
    total = {"province": "44", "industry": "ride_hailing", "orders": orders, "premium_yuan": "0.01"}
    return json.dumps({"declaration_id": name, "day": day, "series": [series], "totals": [total]}).encode()


def signature_of(day: str, revision: int, data: bytes, key: str = FIRST_KEY, uscc: str = RIDES) -> str:
    """The attribute `signature`."""
    private: Ed25519PrivateKey = author_key(key)
    key_id = VerifierKey(key, ED25519, private.public_key().public_bytes_raw()).key_id
    statement = declaration_statement(uscc, date.fromisoformat(day), revision, data)
    return signature_header(key_id, private.sign(statement)).decode()


def sent(name: str, data: bytes, revision: int | None = None, signature: str | None = None, uscc: str = RIDES) -> Sent:
    """The event with these very bytes of `data`."""
    more = "" if revision is None else f'"revision": {revision}, '
    more += "" if signature is None else f'"signature": "{signature}", '
    head = f'{{"specversion": "1.0", "id": "{name}", "source": "urn:uscc:{uscc}", "type": "day.declared.v1", {more}'
    return Sent(head.encode() + b'"data": ' + data + b"}", NOON, uscc)


def signed(name: str, day: str, revision: int = 1, orders: int = 1, key: str = FIRST_KEY) -> Sent:
    """A manifest that its enterprise has signed."""
    data = data_of(name, day, orders)
    return sent(name, data, revision, signature_of(day, revision, data, key))
