"""Names and shapes of the topics. Nobody else spells one."""

import re
from typing import Final

from shared.domain.evidence.authors import Role
from shared.domain.scheme.enterprise import USCC_FORM

ORDERS_PREFIX: Final = "orders.v1."
ORDERS_PATTERN: Final = rf"^orders\.v1\.{USCC_FORM}$"
"""What charging subscribes to; a topic with another name is not read."""
MANIFESTS: Final = "premiums.charged.v1"
DAYS_CLOSING: Final = "days.closing.v1"
DAYS_COUNTED: Final = "days.counted.v1"
DAYS_CLOSED: Final = "days.closed.v1"
STATEMENTS: Final = "statements.issued.v1"
REMITTANCES: Final = "remittances.v1"
INJURIES: Final = "injuries.noticed.v1"
TOTALS: Final = "totals.reported.v1"

INTERNAL: Final = (MANIFESTS, DAYS_CLOSING, DAYS_COUNTED, DAYS_CLOSED, STATEMENTS, REMITTANCES, INJURIES, TOTALS)
"""Topics with one partition each: their volume is batches and days, and their order helps a reader."""

SIGNATURE_HEADER: Final = "danbao-signature"
"""Record header with `key id:base64`, Ed25519 over topic and SHA-256 of the value (shared.domain.evidence.authors)."""
SPEAKERS: Final = {
    MANIFESTS: Role.CHARGING,
    DAYS_COUNTED: Role.CHARGING,
    DAYS_CLOSING: Role.LEDGER,
    DAYS_CLOSED: Role.LEDGER,
    STATEMENTS: Role.LEDGER,
    REMITTANCES: Role.REMITTANCES,
    INJURIES: Role.INJURIES,
    TOTALS: Role.TOTALS,
}
"""Whose signature a message of a topic needs. Reporting writes no topic: it signs reports with a separate key."""

_ORDERS = re.compile(rf"orders\.v1\.({USCC_FORM})\Z")


def orders_topic(uscc: str) -> str:
    """The topic that the enterprise with this code, and nobody else, writes to (docs/decisions/0004)."""
    return ORDERS_PREFIX + uscc


def enterprise_of(topic: str) -> str | None:
    """The code in the name of an orders topic; None for a name that is not one."""
    match = _ORDERS.match(topic)
    return match.group(1) if match else None
