"""Hash and count every row of an order again, and rate it again where it is a charge.

What all rows of one day and kind in one place have in common is computed once (`_Alike`), and the sums of one batch's
rows are kept in a `Tally` that a row reaches with one lookup: this code runs for every order ever charged.
"""

import struct
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.audit.archived import ArchivedRow
from services.audit.charging.batches import BatchContents, Batches, Tally, TotalKey
from services.audit.charging.workers import Workers
from services.audit.facts import Facts
from services.audit.verdict import Check
from services.charging.rows.order_columns import LEAF_COLUMNS, OrderColumn
from shared.adapters.postgres.pool import Record
from shared.domain.books.billing import OUTSIDE_DECLARATION
from shared.domain.calendar import numbered_day, since_epoch_us
from shared.domain.evidence.leaf import NO_INT64, RowKind, is_charge, is_reversal, order_leaf
from shared.domain.evidence.merkle import leaf_hash
from shared.domain.scheme.enterprise import is_uscc_shaped
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import Charged, Excluded, ExclusionReason, Outcome
from shared.domain.scheme.tariff import TariffLine
from shared.domain.scheme.worker import join_token

EXCLUSIONS: Final = ("", "province_not_in_pilot", "enterprise_not_enrolled", "insured_as_employee")
RERATED: Final = "rerated"
REVERSALS: Final = ("", "cancelled", "resent", RERATED, OUTSIDE_DECLARATION)
"""What the codes in `reason` mean; services/charging/migrations/versions/0001_charging.sql describes the columns."""
_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000
_SHANGHAI_US: Final = 8 * _HOUR_US


def _read_sql(column: OrderColumn) -> str:
    """SQL: a column as the leaf has it: an instant in microseconds since 1970, without the `_at` of its name."""
    if column.sql_type != "timestamptz":
        return column.name
    return f"(extract(epoch from {column.name}) * 1000000)::bigint as {column.name.removesuffix('_at')}"


ENTRY: Final = ", ".join(["batch", "leaf_index", *map(_read_sql, LEAF_COLUMNS)])
"""The columns of a row that are in its leaf."""
ENTRIES: Final = f"""
    with own as (
        select accepted_at, enterprise, order_id, worker_key, max(kind) as last
        from charging.entry where kind >= 4 group by 1, 2, 3, 4)
    select {ENTRY}, coalesce(own.last > kind, false) or (resend.found_on is not null and reinstated.found_on is null)
        as is_history
    from charging.entry
    left join own using (accepted_at, enterprise, order_id, worker_key)
    left join charging.resend using (accepted_at, enterprise, order_id, worker_key)
    left join charging.reinstated using (accepted_at, enterprise, order_id, worker_key)"""

_Rated = tuple[int, int, str]
"""Premium, tariff line and reason of an exclusion, as a charge has to have them."""
_Stretches = tuple[list[int], list[_Rated], list[_Rated]]
"""Starts as in `Scheme.timeline`; what holds from each for a worker, and for one who is insured as an employee."""


OrderRow = Record | ArchivedRow
"""A row of `charging.entry` as ENTRIES names it, from the table or from the archive."""


@dataclass(slots=True, eq=False)
class _Alike:
    """Rows of one insured day, kind and reason in one province, enterprise and industry under one line."""

    key: TotalKey
    day: date
    uscc: str
    province: str
    industry: Industry
    is_charge: bool
    exclusion: str
    stretches: _Stretches | None = None


class EntryReader:
    """Reads rows one by one and adds them to `batches` and `workers`."""

    def __init__(self, facts: Facts, rates: Check, batches: Batches, workers: Workers) -> None:
        self._facts = facts
        self._rates = rates
        self._batches = batches
        self._workers = workers
        self._encoded = {number: encoded_uscc(uscc) for number, uscc in facts.enterprises.items()}
        self._alike: dict[tuple[int, ...], _Alike] = {}
        self._stretches: dict[tuple[str, str, Industry], _Stretches] = {}

    def take(self, row: OrderRow) -> None:
        """Hash, count and rate a row; an impossible row is a finding."""
        try:
            self._take(row)
        except (LookupError, ValueError, OverflowError, struct.error) as error:
            order = f"order {row['order_id']} of batch {row['batch']}, kind {row['kind']}"
            self._rates.find(f"charging.entry {order}: {type(error).__name__}: {error}")

    def _take(self, row: OrderRow) -> None:
        contents, worker = self._batches[row["batch"]], token_of(row)
        leaf = entry_leaf(row, self._encoded.get(row["enterprise"], b""), worker)
        contents.take_leaf(row["leaf_index"], leaf_hash(leaf))
        alike = self._alike_of(row)
        tally = contents.tallies.get(alike) or self._begin(contents, alike, row)
        tally.orders += 1
        tally.premium += row["premium"]
        if alike.is_charge:
            (self._check_history if row["is_history"] else self._check_rate)(row, alike)
            self._note_worker(row, alike, tally, worker)

    def _alike_of(self, row: OrderRow) -> _Alike:
        like = (
            (row["accepted"] + _SHANGHAI_US) // _DAY_US, row["enterprise"], row["region"] // 10_000, row["industry"],
            row["kind"], row["reason"], row["tariff_line"],
        )  # fmt: skip
        alike = self._alike.get(like)
        if alike is None:
            day, uscc = insured_on(row["accepted"]), self._facts.enterprises.get(row["enterprise"], "")
            province, industry = f"{row['region'] // 10_000:02}", Industry.of_code(row["industry"])
            key = (day, uscc, province, industry.value, *_outcome(row), row["tariff_line"] or None)
            charges = is_charge(row["kind"])
            exclusion = EXCLUSIONS[row["reason"]] if charges else ""
            alike = self._alike[like] = _Alike(key, day, uscc, province, industry, charges, exclusion)
        return alike

    def _begin(self, contents: BatchContents, alike: _Alike, row: OrderRow) -> Tally:
        """Begin the tally of a batch's first row of this kind, with the closed day that counts such rows.

        They count on their own day, or on the first day whose cut reached the batch.
        """
        tally = contents.tallies[alike] = Tally(alike.key)
        contents.days.add(alike.day)
        index = self._facts.closing_of(row["batch"])
        if alike.is_charge and index is not None:
            counted_on, where = max(alike.day, self._facts.closed[index].day), (alike.day, alike.uscc, alike.province)
            if row["kind"] == RowKind.ACCEPTANCE:
                tally.hours = self._workers.hours_of(counted_on, where)
            if not alike.exclusion:
                tally.workers = self._workers.met[counted_on, where]
            tally.is_employee = alike.exclusion == ExclusionReason.INSURED_AS_EMPLOYEE and counted_on == alike.day
        return tally

    def _check_history(self, row: OrderRow, alike: _Alike) -> None:
        """Check that a reversed or re-rated charge followed the scheme of its time: its tariff line fits the row."""
        line = self._facts.scheme.lines.get(row["tariff_line"])
        if row["reason"] or (line is not None and _fits(line, row, alike)):
            return
        self._rates.find(
            f"{name_of(row, alike.uscc)}: names line {row['tariff_line']}, and {row['premium']} is not what"
            f" line {row['tariff_line']} says of that place"
        )

    def _check_rate(self, row: OrderRow, alike: _Alike) -> None:
        """Rate the acceptance from the scheme files and compare premium, tariff line and reason."""
        starts, worker, employee = alike.stretches or self._stretches_of(alike)
        rated = worker if row["employer_insurance_no"] is None else employee
        worked_out = rated[bisect_right(starts, row["accepted"]) - 1]
        stored = (row["premium"], row["tariff_line"], alike.exclusion)
        if stored != worked_out:
            self._rates.compare(name_of(row, alike.uscc), stored, worked_out)

    def _stretches_of(self, alike: _Alike) -> _Stretches:
        place = (alike.uscc, alike.province, alike.industry)
        known = self._stretches.get(place)
        if known is None:
            starts, outcomes = self._facts.scheme.timeline(*place)
            known = (
                starts,
                [_rated(outcome) for outcome in outcomes],
                [_rated(_of_employee(outcome)) for outcome in outcomes],
            )
            self._stretches[place] = known
        alike.stretches = known
        return known

    def _note_worker(self, row: OrderRow, alike: _Alike, tally: Tally, worker: bytes) -> None:
        if tally.hours is not None:
            tally.hours[(row["accepted"] + _SHANGHAI_US) // _HOUR_US % 24] += 1
        if tally.workers is not None:
            tally.workers.add(worker)
        elif tally.is_employee:
            number = row["employer_insurance_no"] or ""
            self._workers.employees[alike.day, alike.province, alike.uscc, worker.hex(), number] += 1


def _outcome(row: OrderRow) -> tuple[str, str | None]:
    kind, reason = row["kind"], row["reason"]
    if is_reversal(kind):
        return "reversed", REVERSALS[reason]
    if not is_charge(kind):
        return "recorded", RowKind(kind).name.lower()
    if reason:
        return "excluded", EXCLUSIONS[reason]
    return "charged", None if kind == RowKind.ACCEPTANCE else RERATED


def _of_employee(outcome: Outcome) -> Outcome:
    """Return the outcome for a worker who is insured as an employee."""
    return outcome if isinstance(outcome, Excluded) else Excluded(ExclusionReason.INSURED_AS_EMPLOYEE)


def _rated(outcome: Outcome) -> _Rated:
    match outcome:
        case Charged(line):
            return int(line.base_amount), line.number, ""
        case Excluded(reason):
            return 0, 0, reason.value
        case _:
            return 0, 0, "no_tariff_line"


def _fits(line: TariffLine, row: OrderRow, alike: _Alike) -> bool:
    place = (line.province, line.industry, int(line.base_amount))
    is_for = line.enterprise is None or line.enterprise == alike.uscc
    began = since_epoch_us(line.valid_from) <= row["accepted"]
    return is_for and began and place == (alike.province, alike.industry, row["premium"])


def insured_on(accepted: int) -> date:
    """Convert microseconds since 1970 to the day in Asia/Shanghai."""
    return numbered_day((accepted + _SHANGHAI_US) // _DAY_US)


def token_of(row: OrderRow) -> bytes:
    """Return the worker's token of 32 bytes."""
    return join_token(row["worker_key"], bytes(row["worker_rest"]))


def name_of(row: OrderRow, uscc: str) -> str:
    """Return the name of a row in findings."""
    number = row["kind"]
    kind = RowKind(number).name.lower() if number < RowKind.RERATED else f"{RERATED} {number}"
    return f"charging.entry {kind} of order {row['order_id']} ({uscc}, insured {insured_on(row['accepted'])})"


def encoded_uscc(uscc: str) -> bytes:
    """Return the USCC's bytes in a leaf; empty where it is no valid USCC, so that the leaf differs."""
    return uscc.encode() if is_uscc_shaped(uscc) else b""


def entry_leaf(row: OrderRow, uscc: bytes, worker: bytes) -> bytes:
    """Encode the leaf's content from the stored columns only."""
    return order_leaf(
        row["kind"], uscc, row["accepted"],
        NO_INT64 if row["ended"] is None else row["ended"], NO_INT64 if row["sequence"] is None else row["sequence"],
        row["premium"], row["region"], row["tariff_line"], row["token_key"], row["industry"], row["reason"],
        -1 if row["departed"] is None else int(row["departed"]), worker, row["received"],
        row["order_id"].encode(), _encoded(row["series"]), _encoded(row["agency_uscc"]),
        _encoded(row["employer_insurance_no"]),
    )  # fmt: skip


def _encoded(value: str | None) -> bytes | None:
    return None if value is None else value.encode()
