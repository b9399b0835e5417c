"""The rows of a batch as COPY takes them, and the key that makes an event counted once (design D3).

An order row is a tuple in the order of `ENTRY_COLUMNS`; its first five columns are the key, so a plain sort of rows is
a sort by key, and `leaf_index` behind them keeps two rows of one key in the order they were received.
"""

from operator import itemgetter
from typing import Final, NamedTuple

from shared.contracts.manifests import Outcome

ENTRY_COLUMNS: Final = (
    "accepted_at", "enterprise", "order_id", "worker_key", "kind", "leaf_index", "batch", "ended_at", "sequence",
    "premium", "region", "tariff_line", "token_key", "industry", "reason", "departed", "worker_rest", "received",
    "series", "agency_uscc", "employer_insurance_no",
)  # fmt: skip
KEY_COLUMNS: Final = ENTRY_COLUMNS[:5]
LEAF_INDEX: Final = 5
BATCH: Final = 6
CONTENT_COLUMNS: Final = tuple(
    name for name in ENTRY_COLUMNS[7:] if name not in {"sequence", "series", "received", "premium", "tariff_line"}
)
"""What makes two events of one key the same content: `data` without series and sequence (design D10)."""

Row = tuple[object, ...]
key_of: Final = itemgetter(0, 1, 2, 3, 4)

CANCEL_REASONS: Final = ("", "customer", "worker", "enterprise", "other")
"""Position is the code in `reason` of a cancellation."""
EXCLUSION_REASONS: Final = ("", "province_not_in_pilot", "enterprise_not_enrolled", "insured_as_employee")
"""Position is the code in `reason` of an acceptance; 0 is charged."""
REVERSAL_REASONS: Final = ("", "cancelled", "resent")
"""Position is the code in `reason` of a reversal."""


class TotalKey(NamedTuple):
    """What is counted together; `insured_on` as a day number since 1970-01-01 (Shanghai), -1 for none."""

    insured_on: int
    enterprise: str
    province: str | None
    industry: str | None
    outcome: Outcome
    reason: str | None
    tariff_line: int | None
    base_amount: int
