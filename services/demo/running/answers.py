"""Shapes of the services' answers that the command and the demo read; an answer may have more fields."""

from typing import NotRequired, TypedDict

from pydantic import JsonValue

JsonObject = dict[str, JsonValue]
"""An answer, or a part of one, that is only shown."""


class Line(TypedDict):
    """A line of a statement."""

    kind: str
    series: str | None
    insured_on: str | None
    insured_month: str
    industry: str
    orders: int
    exact_yuan: str
    amount_yuan: str


class Statement(TypedDict):
    """A month's statement of an enterprise in a province."""

    statement_id: str
    enterprise: str
    province: str
    period: str
    due_on: str
    due_on_is_provisional: bool
    orders: int
    exact_yuan: str
    amount_yuan: str
    lines: list[Line]


class Statements(TypedDict):
    """`GET /v1/statements` of the ledger."""

    statements: list[Statement]


class OrderWithReceipt(TypedDict):
    """An order with its receipt, or with why it has none."""

    order_id: str
    enterprise: str
    worker_id: str
    state: str
    link: str | None
    receipt: str | None


class Receipts(TypedDict):
    """`GET /v1/order-receipts` of reporting."""

    orders: list[OrderWithReceipt]


class ParkedEvent(TypedDict):
    """A row of charging's list of parked events."""

    cursor: str
    topic: str
    partition: int
    offset: int
    record_time_ms: int
    reason: str
    detail: str
    was_resent: bool


class ParkedPage(TypedDict):
    """`GET /v1/parked` of charging."""

    parked: list[ParkedEvent]
    next: str | None


class Account(TypedDict):
    """A person's account at reporting."""

    name: str
    role: str
    scope: str | None
    is_disabled: bool
    must_change: bool
    made_at: str
    last_sign_in_at: str | None


class ApiKey(TypedDict):
    """A program's key at reporting."""

    key_id: int
    name: str
    role: str
    scope: str | None
    made_by: str
    ends_at: str
    revoked_at: str | None
    last_used_at: str | None


class Accounts(TypedDict):
    """`GET /v1/accounts` of reporting."""

    accounts: list[Account]


class ApiKeys(TypedDict):
    """`GET /v1/api-keys` of reporting."""

    api_keys: list[ApiKey]


class RatedDifference(TypedDict):
    """Orders of a day and place whose rate is not what the scheme says now."""

    insured_on: str
    enterprise: str
    province: str
    industry: str
    old_tariff_line: int
    old_reason: str | None
    new_tariff_line: int
    new_reason: str | None
    orders: int
    old_premium_yuan: str
    new_premium_yuan: str
    difference_yuan: str


class Rerating(TypedDict):
    """`POST /v1/rerate` of charging, of one day or of several together."""

    differences: list[RatedDifference]
    booked: int
    manifests: int


class LostRange(TypedDict):
    """Offsets of a partition that cannot be read any more."""

    partition: int
    from_offset: int
    to_offset: int
    reason: str


class Adjustment(TypedDict):
    """A proposal about orders outside a signed declaration."""

    id: int
    enterprise: str
    insured_on: str
    orders: int
    premium_yuan: str
    proposed_by: str
    reason: str
    consented_by: str | None
    reversed: NotRequired[int]
    """Of an answer to a consent."""
    manifests: NotRequired[int]


class Adjustments(TypedDict):
    """`GET /v1/adjustments` of charging."""

    adjustments: list[Adjustment]


class Decision(TypedDict):
    """A stored decision of a person."""

    decision_id: int
    decided_at: str
    person: str
    request: str
    content: JsonValue


class DecisionPage(TypedDict):
    """`GET /v1/decisions` of charging and the ledger."""

    decisions: list[Decision]
    next: int | None


class Total(TypedDict):
    """What the ledger booked of an enterprise, province, outcome and reason."""

    enterprise: str
    province: str | None
    outcome: str
    reason: str
    is_correction: bool
    orders: int
    premium_yuan: str


class SentReceipt(TypedDict):
    """A receipt of the national platform for a report."""

    kind: str
    enterprise: str
    province: str | None
    receipt_id: str


class ChargingStatus(TypedDict):
    """`GET /v1/status` of charging, as far as it is read."""

    paused: dict[str, str]


class DayState(TypedDict):
    """`GET /v1/days/{day}` of the ledger."""

    state: str
    closed_as_of: str
    differences: list[JsonValue]


class LogState(TypedDict):
    """How far the evidence log is, in entries."""

    entries: int
    signed: int | None
    cosigned: int | None
    witness: str | None
