"""Rows that charging writes of its own: reversals, and charges of orders that were rated anew. Pure.

Such a row repeats what the charge before it says of the order; a cancellation adds when it ended.
"""

from datetime import datetime
from typing import Any

from services.charging.batch import SHANGHAI_EPOCH, Batch, since_epoch_us
from services.charging.rows import TotalKey, told_outcome, told_reason
from services.charging.store import Run
from shared.domain.industry import Industry
from shared.domain.leaf import NO_INT64, order_leaf
from shared.domain.merkle import leaf_hash


def add_row(batch: Batch, run: Run, row: Any, kind: int, premium: int, tariff_line: int, reason: int) -> None:
    """Row, leaf and total of one; `row` is the charge that it follows on, `premium` is 0.0001 yuan, signed."""
    since = row["accepted_at"] - SHANGHAI_EPOCH
    batch.rows.append((
        row["accepted_at"], row["enterprise"], row["order_id"], row["worker_key"], kind, len(batch.rows),
        run.next_batch(), row["ended_at"], None, premium, row["region"], tariff_line, row["token_key"],
        row["industry"], reason, row["departed"], row["worker_rest"], row["received"], None, row["agency_uscc"],
        row["employer_insurance_no"],
    ))  # fmt: skip
    batch.leaves.append(leaf_hash(_leaf(row, kind, premium, tariff_line, reason)))
    batch.days.add(since.days)
    province, industry = f"{row['region'] // 10_000:02}", Industry.of_code(row["industry"]).value
    outcome, why = told_outcome(kind, reason), told_reason(kind, reason)
    line = tariff_line or None
    batch.totals.append(TotalKey(since.days, row["uscc"], province, industry, outcome, why, line, premium))


def _leaf(row: Any, kind: int, premium: int, tariff_line: int, reason: int) -> bytes:
    ended: datetime | None = row["ended_at"]
    worker = row["worker_key"].to_bytes(8, signed=True) + row["worker_rest"]
    return order_leaf(
        kind, row["uscc"].encode(), since_epoch_us(row["accepted_at"]),
        NO_INT64 if ended is None else since_epoch_us(ended), NO_INT64, premium, row["region"], tariff_line,
        row["token_key"], row["industry"], reason, -1 if row["departed"] is None else row["departed"], worker,
        row["received"], row["order_id"].encode(), None, _encoded(row["agency_uscc"]),
        _encoded(row["employer_insurance_no"]),
    )  # fmt: skip


def _encoded(value: str | None) -> bytes | None:
    return None if value is None else value.encode()
