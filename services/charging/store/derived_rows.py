"""Rows that charging writes of its own: reversals, and charges of orders that were rated anew.

Such a row repeats what the charge before it says of the order; a cancellation adds when it ended.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from services.charging.rows.batch import SHANGHAI_EPOCH, Batch, since_epoch_us
from services.charging.rows.row_encoding import Orders, lay_out
from services.charging.rows.row_kinds import REVERSAL_REASONS, TotalKey, told_outcome, told_reason
from services.charging.rows.row_template import Form, texts
from services.charging.store.batch_writer import Run, copy_rows, write_manifest
from shared.adapters.postgres.pool import Connection
from shared.contracts.manifests import ManifestKind, PremiumsCharged
from shared.domain.evidence.leaf import reversal_of
from shared.domain.scheme.industry import Industry

SETTLE_LOCK: Final = 0x736574746C65
"""Advisory lock: one worker settles, counts a day or corrects at a time."""


@dataclass(frozen=True, slots=True)
class OwnRow:
    """One to be written: `charge` is the row that it follows on, `premium` is 0.0001 yuan, signed."""

    charge: Any
    kind: int
    premium: int
    tariff_line: int
    reason: int


def add_rows(batch: Batch, run: Run, own: Iterable[OwnRow]) -> None:
    """Row, leaf and total of each, behind what the batch has."""
    orders = Orders()
    for index, each in enumerate(own, len(batch.rows)):
        row, form = each.charge, _form(each)
        ended_us = None if row["ended_at"] is None else since_epoch_us(row["ended_at"])
        orders.append(
            index, form, form.begin_us, ended_us, None, row["region"],
            row["worker_key"].to_bytes(8, signed=True) + row["worker_rest"], row["order_id"],
            texts(None, row["agency_uscc"], row["employer_insurance_no"]),
        )  # fmt: skip
        orders.received.append(row["received"])
        batch.totals.append(form.total)
        batch.days.add(form.total.insured_on)
    rows, leaves = lay_out(orders, run.next_batch())
    batch.rows += rows
    batch.leaves += leaves


def _form(own: OwnRow) -> Form:
    row, kind, reason = own.charge, own.kind, own.reason
    day, accepted_us = (row["accepted_at"] - SHANGHAI_EPOCH).days, since_epoch_us(row["accepted_at"])
    province, industry = f"{row['region'] // 10_000:02}", Industry.of_code(row["industry"]).value
    outcome, why = told_outcome(kind, reason), told_reason(kind, reason)
    total = TotalKey(day, row["uscc"], province, industry, outcome, why, own.tariff_line or None, own.premium)
    return Form(
        row["enterprise"], kind, row["token_key"], row["industry"], reason, row["departed"], own.premium, total,
        accepted_us, accepted_us + 1,
    )  # fmt: skip


def reversal(row: Any, reason: str) -> OwnRow:
    """Reverse a charge: exactly what it charged is taken back."""
    return OwnRow(row, reversal_of(row["kind"]), -row["premium"], row["tariff_line"], REVERSAL_REASONS.index(reason))


async def write_derived(
    connection: Connection, run: Run, batch: Batch, kind: ManifestKind, topic: str | None
) -> PremiumsCharged:
    """Write the rows and the manifest of a settlement or a correction in the caller's transaction."""
    await copy_rows(connection, sorted(batch.rows))
    return await write_manifest(connection, run, batch, kind, topic)
