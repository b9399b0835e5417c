"""Rows that charging writes of its own: reversals, and charges of orders that were rated anew. Pure.

Such a row repeats what the charge before it says of the order; a cancellation adds when it ended.
"""

from typing import Any

from services.charging.batch import SHANGHAI_EPOCH, Batch, since_epoch_us
from services.charging.forms import Form, in_stream, texts
from services.charging.rows import TotalKey, told_outcome, told_reason
from services.charging.store import Run
from shared.domain.industry import Industry


def add_row(batch: Batch, run: Run, row: Any, kind: int, premium: int, tariff_line: int, reason: int) -> None:
    """Row, leaf and total of one; `row` is the charge that it follows on, `premium` is 0.0001 yuan, signed."""
    day, accepted_us, ended = (
        (row["accepted_at"] - SHANGHAI_EPOCH).days,
        since_epoch_us(row["accepted_at"]),
        row["ended_at"],
    )
    province, industry = f"{row['region'] // 10_000:02}", Industry.of_code(row["industry"]).value
    outcome, why = told_outcome(kind, reason), told_reason(kind, reason)
    total = TotalKey(day, row["uscc"], province, industry, outcome, why, tariff_line or None, premium)
    form = Form(
        row["enterprise"], kind, row["token_key"], row["industry"], reason, row["departed"], premium, total,
        accepted_us, accepted_us + 1,
    )  # fmt: skip
    laid, leaf = form.lay(
        len(batch.rows), in_stream(run.next_batch()), accepted_us,
        None if ended is None else since_epoch_us(ended), None,
        row["region"], (row["worker_key"], row["worker_rest"]), row["received"], row["order_id"],
        texts(None, row["agency_uscc"], row["employer_insurance_no"]),
    )  # fmt: skip
    batch.rows.append(laid)
    batch.leaves.append(leaf)
    batch.totals.append(total)
    batch.days.add(day)
