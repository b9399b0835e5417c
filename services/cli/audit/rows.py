"""Every row of charging, read once: rated again, hashed again, counted again.

Rows come as they lie in the table, which is nearly in the order of batches: a batch's leaves are held until it has as
many as its manifest says, and then only their root. So memory holds the leaves of a few batches, whatever there is.

Nothing here is shared with the code that wrote the rows but the encoding of a leaf (shared.domain.leaf), the tree and
the scheme. What is worked out per batch is held against the manifest by `manifests.py`.
"""

import struct
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from services.cli.audit.archived import archived_rows
from services.cli.audit.facts import Facts
from services.cli.audit.verdict import Check
from shared.adapters.postgres import Connection
from shared.contracts.topics import enterprise_of
from shared.domain.calendar import epoch_microseconds
from shared.domain.enterprise import is_uscc_shaped
from shared.domain.industry import Industry
from shared.domain.leaf import (
    NO_INT64,
    RowKind,
    assessed_leaf,
    declaration_leaf,
    is_charge,
    is_reversal,
    kept_leaf,
    order_leaf,
)
from shared.domain.merkle import leaf_hash
from shared.domain.merkle import root as merkle_root
from shared.domain.rating import Charged, Excluded, ExclusionReason
from shared.domain.tariff import TariffLine

EXCLUSIONS: Final = ("", "province_not_in_pilot", "enterprise_not_enrolled", "insured_as_employee")
RERATED: Final = "rerated"
REVERSALS: Final = ("", "cancelled", "resent", RERATED)
ASSESSMENTS: Final = ("presumed", "declared_unused", "arrived")
"""What the codes in `reason` mean; services/charging/migrations/versions/0001_charging.py describes the columns."""
FETCH_ROWS: Final = 5_000
ARCHIVE: Final = Path("archive")
"""Where archived days are, unless somebody says where."""
_EPOCH_DAY: Final = date(1970, 1, 1)
_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000
_SHANGHAI_US: Final = 8 * _HOUR_US

ENTRY: Final = """
    batch, leaf_index, kind, enterprise, order_id, worker_key, worker_rest, sequence, premium, region, tariff_line,
    token_key, industry, reason, departed, received, series, agency_uscc, employer_insurance_no,
    (extract(epoch from accepted_at) * 1000000)::bigint as accepted,
    (extract(epoch from ended_at) * 1000000)::bigint as ended"""
"""The columns of a row that its leaf is made of."""
_ENTRIES: Final = f"""
    with own as (
        select accepted_at, enterprise, order_id, worker_key, max(kind) as last
        from charging.entry where kind >= 4 group by 1, 2, 3, 4)
    select {ENTRY}, coalesce(own.last > kind, false) or resend.found_on is not null as is_history
    from charging.entry
    left join own using (accepted_at, enterprise, order_id, worker_key)
    left join charging.resend using (accepted_at, enterprise, order_id, worker_key)"""
_KEPT: Final = """
    select batch, leaf_index, topic, partition, record_offset, record_time_ms, value, 5 as kind, reason
    from charging.parked
    union all
    select batch, leaf_index, topic, partition, record_offset, record_time_ms, value, 6, 'conflict'
    from charging.conflict order by batch, leaf_index"""

TotalKey = tuple[date | None, str, str | None, str | None, str, str | None, int | None]
"""Insured day, enterprise, province, industry, outcome, reason, tariff line."""


@dataclass(slots=True)
class Found:
    """What the rows of one batch come to."""

    expected: int
    """Leaves that its manifest says it has."""
    orders: Counter[TotalKey] = field(default_factory=Counter)
    premium: Counter[TotalKey] = field(default_factory=Counter)
    days: set[date] = field(default_factory=set)
    count: int = 0
    _leaves: list[tuple[int, bytes]] = field(default_factory=list)
    _root: bytes | None = None

    def take_leaf(self, index: int, leaf: bytes) -> None:
        """One more leaf, in any order; what comes after the last expected one makes `count` another."""
        self.count += 1
        if self._root is None:
            self._leaves.append((index, leaf))
            if self.count == self.expected:
                self._root = self.root()
                self._leaves = []

    def root(self) -> bytes:
        """The root over the leaves, in the order of their indexes."""
        return merkle_root([leaf for _, leaf in sorted(self._leaves)]) if self._root is None else self._root


@dataclass(slots=True)
class Workers:
    """Who was charged when: for each key the first day that counts it, as an index of closed days."""

    by_enterprise: dict[tuple[date, str, str, bytes], date] = field(default_factory=dict)
    by_province: dict[tuple[date, str, bytes], date] = field(default_factory=dict)
    first_time: dict[tuple[str, bytes], date] = field(default_factory=dict)
    employees: Counter[tuple[date, str, str, str, str]] = field(default_factory=Counter)
    hours: dict[date, dict[tuple[date, str, str], list[int]]] = field(default_factory=lambda: defaultdict(dict))
    """By the day that counts them: acceptances of a day, enterprise and province, by hour."""


class RowReader:
    """Reads all rows; `found` is what the batches come to, `workers` who was covered."""

    def __init__(self, facts: Facts, rates: Check) -> None:
        self._facts, self._rates = facts, rates
        self._timelines: dict[tuple[str, str, Industry], tuple[list[int], list[Any]]] = {}
        self._places: dict[tuple[int, ...], tuple[TotalKey, str, str, Industry, date]] = {}
        self.found: dict[int, Found] = {}
        self.workers = Workers()
        self.kept: Counter[tuple[str, int, int]] = Counter()

    async def read(self, connection: Connection, archive: Path = ARCHIVE) -> None:
        """Read all, archived days too, in a transaction; entries come last."""
        # A join that does not fit gives its rows in another order, and leaves would wait for each other.
        await connection.execute("set local work_mem = '256MB'")
        async for row in connection.cursor(_KEPT, prefetch=FETCH_ROWS):
            self._take_kept(row)
        for row in await connection.fetch("select * from charging.declaration"):
            self._take_declaration(row)
        async for row in connection.cursor("select * from charging.assessment", prefetch=FETCH_ROWS):
            self._take_assessment(row)
        async for row in connection.cursor(_ENTRIES, prefetch=FETCH_ROWS):
            self._try_entry(row)
        for archived in await archived_rows(connection, archive, self._facts.archived):
            self._try_entry(archived)

    def _of_batch(self, batch: int) -> Found:
        found = self.found.get(batch)
        if found is None:
            manifest = self._facts.manifests.get(batch)
            found = self.found[batch] = Found(manifest.leaves if manifest else 0)
        return found

    def _place_of(self, row: Any) -> tuple[TotalKey, str, str, Industry, date]:
        """What a row counts as; the same for all rows of one day and kind in one place."""
        like = (
            (row["accepted"] + _SHANGHAI_US) // _DAY_US, row["enterprise"], row["region"] // 10_000, row["industry"],
            row["kind"], row["reason"], row["tariff_line"],
        )  # fmt: skip
        known = self._places.get(like)
        if known is None:
            day, uscc = insured_on(row["accepted"]), self._facts.enterprises.get(row["enterprise"], "")
            province, industry = f"{row['region'] // 10_000:02}", Industry.of_code(row["industry"])
            key = (day, uscc, province, industry.value, *_outcome(row), row["tariff_line"] or None)
            known = self._places[like] = (key, uscc, province, industry, day)
        return known

    def _try_entry(self, row: Any) -> None:
        try:
            self._take_entry(row)
        except (LookupError, ValueError, OverflowError, struct.error) as error:
            order = f"order {row['order_id']} of batch {row['batch']}, kind {row['kind']}"
            self._rates.find(f"charging.entry {order}: {type(error).__name__}: {error}")

    def _take_entry(self, row: Any) -> None:
        found = self._of_batch(row["batch"])
        leaf = entry_leaf(row, self._facts.enterprises.get(row["enterprise"], ""))
        found.take_leaf(row["leaf_index"], leaf_hash(leaf))
        key, uscc, province, industry, day = self._place_of(row)
        found.orders[key] += 1
        found.premium[key] += row["premium"]
        found.days.add(day)
        if is_charge(row["kind"]):
            (self._check_history if row["is_history"] else self._check_rate)(row, uscc, province, industry)
            self._note_worker(row, uscc, province, day)

    def _take_kept(self, row: Any) -> None:
        found = self._of_batch(row["batch"])
        received = sha256(row["value"] or b"").digest()
        leaf = kept_leaf(
            row["kind"], row["topic"], row["partition"], row["record_offset"], row["record_time_ms"], row["reason"],
            received,
        )  # fmt: skip
        found.take_leaf(row["leaf_index"], leaf_hash(leaf))
        outcome, reason = ("parked", row["reason"]) if row["kind"] == RowKind.PARKED else ("conflict", None)
        found.orders[None, enterprise_of(row["topic"]) or "", None, None, outcome, reason, None] += 1
        self.kept[row["topic"], row["partition"], row["record_offset"]] += 1

    def _take_declaration(self, row: Any) -> None:
        uscc = self._facts.enterprises.get(row["enterprise"], "")
        found = self._of_batch(row["batch"])
        leaf = declaration_leaf(
            uscc.encode(), row["declaration_id"], row["declared_day"].toordinal(), row["received"],
            sha256(row["body"]).digest(),
        )  # fmt: skip
        found.take_leaf(row["leaf_index"], leaf_hash(leaf))
        found.orders[None, uscc, None, None, "recorded", "declaration", None] += 1

    def _take_assessment(self, row: Any) -> None:
        uscc, why = self._facts.enterprises.get(row["enterprise"], ""), ASSESSMENTS.index(row["why"])
        found = self._of_batch(row["batch"])
        leaf = assessed_leaf(
            uscc.encode(), row["insured_on"].toordinal(), row["first"], row["last"], row["base_amount"],
            row["province"], row["industry"], row["tariff_line"], why, row["series"],
        )  # fmt: skip
        found.take_leaf(row["leaf_index"], leaf_hash(leaf))
        place = (row["insured_on"], uscc, f"{row['province']:02}", Industry.of_code(row["industry"]).value)
        numbers, sign = row["last"] - row["first"] + 1, -1 if why else 1
        key: TotalKey = (*place, "reversed" if why else "charged", f"assessed:{row['series']}", row["tariff_line"])
        found.orders[key] += numbers
        found.premium[key] += sign * numbers * row["base_amount"]

    def _check_history(self, row: Any, uscc: str, province: str, industry: Industry) -> None:
        """A charge that was taken back or rated anew was right by the scheme of its time: its line still says so."""
        line = self._facts.scheme.lines.get(row["tariff_line"])
        if row["reason"] or (line is not None and _fits(line, row, uscc, province, industry)):
            return
        self._rates.find(
            f"{name_of(row, uscc)}: names line {row['tariff_line']}, and {row['premium']} is not what"
            f" line {row['tariff_line']} says of that place"
        )

    def _check_rate(self, row: Any, uscc: str, province: str, industry: Industry) -> None:
        """Rate the acceptance from the scheme files and compare premium, tariff line and reason."""
        place = (uscc, province, industry)
        timeline = self._timelines.get(place)
        if timeline is None:
            timeline = self._timelines[place] = self._facts.scheme.timeline(*place)
        outcome = timeline[1][bisect_right(timeline[0], row["accepted"]) - 1]
        if row["employer_insurance_no"] is not None and not isinstance(outcome, Excluded):
            outcome = Excluded(ExclusionReason.INSURED_AS_EMPLOYEE)
        stored = (row["premium"], row["tariff_line"], EXCLUSIONS[row["reason"]])
        match outcome:
            case Charged(line):
                worked_out = (int(line.base_amount), line.number, "")
            case Excluded(reason):
                worked_out = (0, 0, reason.value)
            case _:
                worked_out = (0, 0, "no_tariff_line")
        if stored != worked_out:
            self._rates.compare(name_of(row, uscc), stored, worked_out)

    def _note_worker(self, row: Any, uscc: str, province: str, day: date) -> None:
        """Note on which closed day this charge was counted: its own, or the first whose cut reached it."""
        index = self._facts.closing_of(row["batch"])
        if index is None:
            return
        counted_on = max(day, self._facts.closed[index].day)
        if row["kind"] == RowKind.ACCEPTANCE:
            counts = self.workers.hours[counted_on].setdefault((day, uscc, province), [0] * 24)
            counts[(row["accepted"] + _SHANGHAI_US) // _HOUR_US % 24] += 1
        worker = token_of(row)
        if row["reason"] == 0:
            workers = self.workers
            _keep_first(workers.by_enterprise, (day, uscc, province, worker), counted_on)
            _keep_first(workers.by_province, (day, province, worker), counted_on)
            _keep_first(workers.first_time, (province, worker), counted_on)
        elif EXCLUSIONS[row["reason"]] == "insured_as_employee" and counted_on == day:
            self.workers.employees[day, province, uscc, worker.hex(), row["employer_insurance_no"] or ""] += 1


def _keep_first(known: dict[Any, date], key: object, day: date) -> None:
    if key not in known or day < known[key]:
        known[key] = day


def _outcome(row: Any) -> tuple[str, str | None]:
    kind, reason = row["kind"], row["reason"]
    if is_reversal(kind):
        return "reversed", REVERSALS[reason]
    if not is_charge(kind):
        return "recorded", RowKind(kind).name.lower()
    if reason:
        return "excluded", EXCLUSIONS[reason]
    return "charged", None if kind == RowKind.ACCEPTANCE else RERATED


def _fits(line: TariffLine, row: Any, uscc: str, province: str, industry: Industry) -> bool:
    place = (line.province, line.industry, int(line.base_amount))
    is_for = line.enterprise is None or line.enterprise == uscc
    began = epoch_microseconds(line.valid_from) <= row["accepted"]
    return is_for and began and place == (province, industry, row["premium"])


def insured_on(accepted: int) -> date:
    """The day in Asia/Shanghai of microseconds since 1970."""
    return _EPOCH_DAY + timedelta(days=(accepted + _SHANGHAI_US) // _DAY_US)


def token_of(row: Any) -> bytes:
    """The worker's 32 bytes."""
    first: bytes = row["worker_key"].to_bytes(8, signed=True)
    return first + bytes(row["worker_rest"])


def name_of(row: Any, uscc: str) -> str:
    """How findings call a row."""
    number = row["kind"]
    kind = RowKind(number).name.lower() if number < RowKind.RERATED else f"{RERATED} {number}"
    return f"charging.entry {kind} of order {row['order_id']} ({uscc}, insured {insured_on(row['accepted'])})"


def entry_leaf(row: Any, uscc: str) -> bytes:
    """The leaf's content, from the stored columns only."""
    return order_leaf(
        row["kind"], uscc.encode() if is_uscc_shaped(uscc) else b"", row["accepted"],
        NO_INT64 if row["ended"] is None else row["ended"], NO_INT64 if row["sequence"] is None else row["sequence"],
        row["premium"], row["region"], row["tariff_line"], row["token_key"], row["industry"], row["reason"],
        -1 if row["departed"] is None else int(row["departed"]), token_of(row), row["received"],
        row["order_id"].encode(), _encoded(row["series"]), _encoded(row["agency_uscc"]),
        _encoded(row["employer_insurance_no"]),
    )  # fmt: skip


def _encoded(value: str | None) -> bytes | None:
    return None if value is None else value.encode()
