"""The signature of a `day.declared.v1`: checked over the bytes of `data` as they were sent. Pure."""

from typing import Final

import msgspec

from shared.contracts.events import DayDeclared
from shared.contracts.parking import ParkReason
from shared.domain.evidence.authors import NotAuthorizedError
from shared.domain.evidence.declaration_keys import DeclarationKeys, Signed
from shared.intake.strict_decoder import DETAIL_LENGTH, Parked


class _Sent(msgspec.Struct, frozen=True):
    """The bytes of the value of `data`, from its first bracket to its last; the last value of a repeated key."""

    data: msgspec.Raw


_decode_sent: Final = msgspec.json.Decoder(_Sent).decode


def find_signature(keys: DeclarationKeys, uscc: str, event: DayDeclared, value: bytes) -> Signed | Parked | None:
    """The signature that holds; why the manifest is parked; None where the enterprise does not have to sign.

    `value` are the bytes that `event` was decoded from. A signature that is not needed is not checked: no key may have
    made it.
    """
    day = event.data.day
    if not keys.are_needed(uscc, day):
        return None
    try:
        return keys.check(uscc, day, event.revision or 0, event.signature, bytes(_decode_sent(value).data))
    except NotAuthorizedError as error:
        return Parked(ParkReason(error.fault), str(error)[:DETAIL_LENGTH])
