"""Check remittances that were taken back: each one whole, once, by an entry that names it (docs/decisions/0027)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date

from msgspec import Struct

from services.audit.books.bookings import JournalRow
from services.audit.verdict import Check


class RemittanceRow(Struct, frozen=True):
    """A row of `ledger.remittance`."""

    remittance_id: str
    enterprise: str
    province: str
    amount: int
    received_on: date
    reverses: str | None


def check_reversals(
    check: Check,
    rows: Sequence[RemittanceRow],
    entries: Mapping[str, list[JournalRow]],
    settled: Counter[tuple[str, str]],
) -> None:
    """Check kind and corrected entry of every remittance; `settled` has the principal by remittance and statement."""
    by_id = {row.remittance_id: row for row in rows}
    for row in rows:
        mine, name = entries.get(row.remittance_id, []), f"ledger.remittance {row.remittance_id}"
        kind = "remittance" if row.reverses is None else "remittance_reversal"
        check.compare(f"{name}, kind of its entry", {entry.kind for entry in mine}, {kind})
        if row.reverses is None:
            continue
        original = by_id.get(row.reverses)
        if original is None or original.reverses is not None:
            check.find(f"{name}: it takes back {row.reverses}, which is no remittance")
            continue
        stored = (row.enterprise, row.province, row.amount, row.received_on)
        repeated = (original.enterprise, original.province, -original.amount, original.received_on)
        check.compare(f"{name}, what it takes back", stored, repeated)
        corrected = {entry.entry_id for entry in entries.get(row.reverses, [])}
        check.compare(f"{name}, entry that it names", {entry.corrects for entry in mine}, corrected)
        pair = (row.reverses, row.remittance_id)
        for statement in sorted({statement for remittance, statement in settled if remittance in pair}):
            left = sum(settled[remittance, statement] for remittance in pair)
            check.compare(f"{name}, what {row.reverses} still settles of {statement}", left, 0)
    twice = Counter(row.reverses for row in rows if row.reverses is not None)
    for reversed_id, times in twice.items():
        if times > 1:
            check.find(f"ledger.remittance {reversed_id}: taken back {times} times")
