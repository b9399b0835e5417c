"""Kinds of row, their reason codes, and rows as COPY takes them. Pure.

A row begins with the five columns of its key (`order_columns.KEY_COLUMNS`), so a plain sort of rows is a sort by key,
and `leaf_index` behind them keeps two rows of one key in the order they were received. What COPY takes comes last
(`row_encoding`).
"""

from typing import Final

from shared.contracts.manifests import Outcome
from shared.domain.books.billing import OUTSIDE_DECLARATION
from shared.domain.evidence.leaf import RowKind, is_reversal

Row = tuple[int, int, str, int, int, int, tuple[bytes, ...]]
"""accepted_at in microseconds since 1970, enterprise, order id, worker key, kind; leaf index; the columns for COPY, in
pieces that follow one another."""
KIND: Final = 4
LEAF_INDEX: Final = 5
COPIED: Final = 6

CANCEL_REASONS: Final = ("", "customer", "worker", "enterprise", "other")
"""Position is the code in `reason` of a cancellation."""
EXCLUSION_REASONS: Final = ("", "province_not_in_pilot", "enterprise_not_enrolled", "insured_as_employee")
"""Position is the code in `reason` of an acceptance; 0 is charged."""
CANCELLED: Final = "cancelled"
RESENT: Final = "resent"
"""Why an order is reversed that was received before under another acceptance time."""
RERATED: Final = "rerated"
"""Why a re-rated order is reversed and charged once more."""
REVERSAL_REASONS: Final = ("", CANCELLED, RESENT, RERATED, OUTSIDE_DECLARATION)
"""Position is the code in `reason` of a reversal."""


def outcome_of(kind: int, reason: int) -> Outcome:
    """The outcome that a charge or reversal counts as."""
    if is_reversal(kind):
        return Outcome.REVERSED
    return Outcome.EXCLUDED if reason else Outcome.CHARGED


def kind_word(kind: int) -> str:
    """The name of a row's kind for a reader."""
    if kind >= RowKind.RERATED:
        return "reversal" if is_reversal(kind) else "re-rated charge"
    return RowKind(kind).name.lower()


def reason_word(kind: int, reason: int) -> str | None:
    """Why, for a reader: who cancelled, why an order costs nothing, why a charge was taken back."""
    if kind in (RowKind.COMPLETION, RowKind.CANCELLATION):
        return CANCEL_REASONS[reason] or None
    return reason_of(kind, reason)


def reason_of(kind: int, reason: int) -> str | None:
    """Why a charge or reversal counts as it does, in the words of manifests."""
    if is_reversal(kind):
        return REVERSAL_REASONS[reason]
    if reason:
        return EXCLUSION_REASONS[reason]
    return RERATED if kind >= RowKind.RERATED else None
