"""Rows derived by charging: reversals, and charges of orders that were rated again.

A derived row repeats what the charge before it says of the order; the event that causes it gives the received hash and,
for a cancellation, the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from services.charging.rows.batch import Batch
from services.charging.rows.row_encoding import OrderArrays, encode_rows
from services.charging.rows.row_kinds import REVERSAL_REASONS, outcome_of, reason_of
from services.charging.rows.row_template import RowTemplate, encode_variable_fields
from services.charging.store.duplicates import copy_rows
from services.charging.store.manifests import Run, write_manifest
from shared.adapters.postgres.pool import Connection
from shared.contracts.manifests import ManifestKind, PremiumsCharged
from shared.domain.calendar import SHANGHAI_EPOCH, since_epoch_us
from shared.domain.evidence.leaf import reversal_of
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.worker import join_token
from shared.intake.rated_events import TotalKey

_SETTLE_LOCK: Final = 0x736574746C65
_OF_CAUSE: Final = ("received", "ended_at", "departed")


class ChargeRow(msgspec.Struct, frozen=True):
    """A charge that a derived row follows; the last three fields are those of the event that causes the derived row.

    `premium` is 0.0001 yuan, `region` the six digits as a number, `uscc` the enterprise's.
    """

    accepted_at: datetime
    enterprise: int
    order_id: str
    worker_key: int
    kind: int
    premium: int
    region: int
    tariff_line: int
    token_key: int
    industry: int
    worker_rest: bytes
    agency_uscc: str | None
    employer_insurance_no: str | None
    uscc: str
    received: bytes
    ended_at: datetime | None
    departed: bool | None


@dataclass(frozen=True, slots=True)
class DerivedRow:
    """A row to be written after `charge`; `premium` is 0.0001 yuan, signed."""

    charge: ChargeRow
    kind: int
    premium: int
    tariff_line: int
    reason: int


async def lock_settling(connection: Connection) -> None:
    """Wait until no other worker settles, counts a day or corrects, and keep others from it until COMMIT."""
    await connection.execute("select pg_advisory_xact_lock($1)", _SETTLE_LOCK)


async def try_lock_settling(connection: Connection) -> bool:
    """Take that lock, or return False where another worker holds it."""
    return bool(await connection.fetchval("select pg_try_advisory_xact_lock($1)", _SETTLE_LOCK))


def reversal_row(charge: ChargeRow, reason: str) -> DerivedRow:
    """Reverse a charge: exactly what it charged is taken back."""
    index = REVERSAL_REASONS.index(reason)
    return DerivedRow(charge, reversal_of(charge.kind), -charge.premium, charge.tariff_line, index)


def add_derived_rows(batch: Batch, run: Run, derived: Iterable[DerivedRow]) -> None:
    """Append row, leaf and total of each derived row to the batch."""
    orders = OrderArrays()
    for index, row in enumerate(derived, len(batch.rows)):
        charge, form = row.charge, _form(row)
        ended_us = None if charge.ended_at is None else since_epoch_us(charge.ended_at)
        orders.append(
            index, form, form.begin_us, ended_us, None, charge.region,
            join_token(charge.worker_key, charge.worker_rest), charge.order_id,
            encode_variable_fields(charge),
        )  # fmt: skip
        orders.received.append(charge.received)
        batch.totals.append(form.total)
        batch.days.add(form.total.insured_on)
    rows, leaves = encode_rows(orders, run.next_batch())
    batch.rows += rows
    batch.leaves += leaves


def _form(row: DerivedRow) -> RowTemplate:
    charge, kind, reason = row.charge, row.kind, row.reason
    day, accepted_us = (charge.accepted_at - SHANGHAI_EPOCH).days, since_epoch_us(charge.accepted_at)
    province, industry = f"{charge.region // 10_000:02}", Industry.of_code(charge.industry).value
    outcome, why = outcome_of(kind, reason), reason_of(kind, reason)
    total = TotalKey(day, charge.uscc, province, industry, outcome, why, row.tariff_line or None, row.premium)
    return RowTemplate(
        charge.enterprise, kind, charge.token_key, charge.industry, reason, charge.departed, row.premium, total,
        accepted_us, accepted_us + 1,
    )  # fmt: skip


async def write_derived_rows(
    connection: Connection, run: Run, batch: Batch, kind: ManifestKind, topic: str | None
) -> PremiumsCharged:
    """Write rows and manifest of a settlement or a correction, in the caller's transaction."""
    await copy_rows(connection, sorted(batch.rows))
    return await write_manifest(connection, run, batch, kind, topic)
