"""Check the free-text fields of an event: one that names a person is parked. Pure."""

from typing import Final

from msgspec import Struct

from shared.contracts.events import Declaration
from shared.contracts.parking import ParkReason
from shared.domain.privacy.identity import reads_as_identity
from shared.domain.scheme.enterprise import is_valid_uscc
from shared.intake.strict_decoder import Parked

KNOWN_LIMIT: Final = 65_536
"""Values remembered as valid; the memory is cleared when it is full."""
_SEND_INSTEAD: Final = {
    "agency_uscc": "send the agency's unified social credit code",
    "employer_insurance_no": "send the number of the enterprise's insurance account or a number of your own",
    "series": "send a name of your own for the series, such as main",
    "declaration_id": "send an id of your own for the manifest, such as its day",
}


class FreeFields:
    """Checks agency codes and insurance numbers; remembers the valid ones."""

    def __init__(self) -> None:
        self._known: set[tuple[str | None, str | None]] = {(None, None)}

    def are_right(self, agency_uscc: str | None, insurance_no: str | None) -> bool:
        """Whether both may be taken."""
        pair = (agency_uscc, insurance_no)
        if pair in self._known:
            return True
        if find_fault(agency_uscc, insurance_no, None) is not None:
            return False
        if len(self._known) >= KNOWN_LIMIT:
            self._known = {(None, None)}
        self._known.add(pair)
        return True


def find_identity(message: Struct) -> str | None:
    """The name of the first text of a message that reads as an identity; None where none does.

    A worker is a token, whose digits mean nothing; an enterprise is one where its code is right.
    """
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if not isinstance(value, str) or name == "worker_id" or (name == "enterprise" and is_valid_uscc(value)):
            continue
        if reads_as_identity(value):
            return name
    return None


def find_fault(agency_uscc: str | None, insurance_no: str | None, series: str | None) -> Parked | None:
    """Why an order with these fields is parked. The value itself is not repeated: the reason is shown to many."""
    values = {"agency_uscc": agency_uscc, "employer_insurance_no": insurance_no, "series": series}
    for name, value in values.items():
        if value is not None and reads_as_identity(value):
            return _identity(name)
    if agency_uscc is not None and not is_valid_uscc(agency_uscc):
        return Parked(ParkReason.BAD_VALUE, "agency_uscc: the check digit of GB 32100 is wrong")
    return None


def find_declaration_fault(declaration: Declaration) -> Parked | None:
    """Why a day's manifest is parked: its id or one of its series reads as an identity."""
    if reads_as_identity(declaration.declaration_id):
        return _identity("declaration_id")
    if any(reads_as_identity(item.series) for item in declaration.series):
        return _identity("series")
    return None


def _identity(name: str) -> Parked:
    detail = f"{name} reads as a citizen's number or a mobile number; {_SEND_INSTEAD[name]}"
    return Parked(ParkReason.IDENTITY_IN_CLEAR, detail)
