"""Sign a `day.declared.v1` as its enterprise."""

from typing import Any

import msgspec

from shared.adapters.crypto.signing import NoteSigner
from shared.contracts.events import SOURCE_PREFIX, DayDeclared
from shared.domain.errors import Refused
from shared.domain.evidence.authors import signature_header
from shared.domain.evidence.declaration_keys import declaration_statement


def add_signature(value: bytes, signer: NoteSigner) -> bytes:
    """The event with the attribute `signature`; the bytes of `data` are those of the event that was given.

    Raises Refused for what is no `day.declared.v1`, or is signed already.
    """
    try:
        event = msgspec.json.decode(value, type=DayDeclared)
        attributes: dict[str, Any] = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(f"no day.declared.v1: {error}") from error
    if event.signature is not None:
        raise Refused("this declaration is signed already; sign the one without its signature")
    uscc = event.source.removeprefix(SOURCE_PREFIX)
    statement = declaration_statement(uscc, event.data.day, event.revision or 0, bytes(attributes["data"]))
    signature = signature_header(signer.verifier.key_id, signer.sign_bytes(statement)).decode()
    return msgspec.json.encode({**attributes, "signature": signature})
