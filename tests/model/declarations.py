"""The auditor's signatures: who signed a manifest of a day, and which manifest of a day holds.

Nothing is shared with the services but the contract: the bytes of `data` are cut out by walking through the JSON text.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from datetime import date
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.model.events import Fault
from tests.model.scheme import Line

WHITE = " \t\r\n"
SCANNER = json.JSONDecoder(parse_int=str)


def signed_revision(keys: Iterable[Line], uscc: str, said: dict[str, Any], value: bytes) -> int | None:
    """The revision of a manifest that is signed as it has to be; None where it need not be; raises Fault."""
    own = [key for key in keys if key["uscc"] == uscc and date.fromisoformat(key["valid_from"]) <= said["day"]]
    if not own:
        return None
    key_id, _, written = (said["signature"] or "").partition(":")
    try:
        signature = base64.b64decode(written, validate=True)
    except ValueError:
        signature = b""
    if len(signature) != 64 or base64.b64encode(signature).decode() != written or not _is_key_id(key_id):
        raise Fault("unsigned")
    revision = said["revision"] or 0
    digest = hashlib.sha256(data_in(value)).hexdigest()
    statement = f"danbao declaration/v1\n{uscc}\n{said['day']}\n{revision}\n{digest}\n".encode()
    if not any(_holds(key, key_id, said["day"], statement, signature) for key in own):
        raise Fault("wrong_author")
    return int(revision)


def _is_key_id(text: str) -> bool:
    return len(text) == 8 and all(sign in "0123456789abcdef" for sign in text)


def _holds(line: Line, key_id: str, day: date, statement: bytes, signature: bytes) -> bool:
    _, own_id, encoded = line["vkey"].split("+", 2)
    end = line.get("valid_to")
    if own_id != key_id or (end and day >= date.fromisoformat(end)):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:]).verify(signature, statement)
    except InvalidSignature:
        return False
    return True


def data_in(value: bytes) -> bytes:
    """The bytes of the value of `data` of an event that reads well: of the last one, where the field is repeated."""
    text, data = value.decode(), ""
    at = _next(text, _next(text, 0) + 1)
    while text[at] != "}":
        name, at = SCANNER.raw_decode(text, at)
        at = _next(text, _next(text, at) + 1)
        _, end = SCANNER.raw_decode(text, at)
        data = text[at:end] if name == "data" else data
        at = _next(text, end)
        at = _next(text, at + 1) if text[at] == "," else at
    return data.encode()


def _next(text: str, at: int) -> int:
    while text[at] in WHITE:
        at += 1
    return at
