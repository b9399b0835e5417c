"""The scheme as data files: provinces, tariff, enterprises, enrolments, cancellation rules.

A directory holds any of the files of `FILES` (`deploy/tariffs/README.md` explains their columns); what later
directories hold is added to what earlier ones hold. Everything is checked before anything is used, and the
first fault ends the loading with a message of one line that begins with `file:line`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from shared.adapters.files.csv import Record, read_records
from shared.adapters.files.spreadsheets import changed_by_spreadsheet
from shared.domain.calendar import SHANGHAI, day_start
from shared.domain.errors import Refused, RefusedLine
from shared.domain.evidence.declaration_keys import EnterpriseKey
from shared.domain.evidence.signed_note import ED25519, VerifierKey
from shared.domain.scheme.cancellation import CancellationMode, CancellationRule
from shared.domain.scheme.enrolment import Enrolment, ProvinceJoining
from shared.domain.scheme.enterprise import Enterprise, is_uscc_shaped, is_valid_uscc
from shared.domain.scheme.industry import FOOD_DELIVERY_CLOSED_ON, Industry
from shared.domain.scheme.order_span import OrderSpan
from shared.domain.scheme.presumption import PresumptionMode, PresumptionRule
from shared.domain.scheme.province import PROVINCES
from shared.domain.scheme.rating import Scheme, Uncovered
from shared.domain.scheme.tariff import (
    LARGEST_BASE_AMOUNT,
    LARGEST_LINE_NUMBER,
    TariffLine,
    end_open_lines,
    succession_faults,
)

EVERY_PROVINCE: Final = "*"
GRADES: Final = ("A", "B", "C", "D", "M", "")
LONGEST_ELAPSED_SECONDS: Final = 86_400
LONGEST_SPAN_DAYS: Final = 31
"""A question about a worker reads the rows of as many days."""


@dataclass(frozen=True, slots=True)
class Columns:
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


FILES: Final[Mapping[str, Columns]] = {
    "provinces.csv": Columns(("code", "joined_on", "notice"), ("grade", "is_assumption", "note")),
    "enterprises.csv": Columns(("uscc", "name"), ("known_platform", "note")),
    "tariff-*.csv": Columns(
        ("number", "province", "industry", "enterprise", "valid_from", "valid_to", "base_yuan", "notice"),
        ("grade", "is_assumption", "note"),
    ),
    "enrolment*.csv": Columns(("uscc", "industry", "province", "enrolled_from", "enrolled_to", "notice"), ("note",)),
    "enterprise-keys*.csv": Columns(("uscc", "vkey", "valid_from"), ("valid_to", "notice", "note")),
    "cancellation.csv": Columns(("valid_from", "mode", "elapsed_seconds", "source"), ("is_assumption", "note")),
    "presumption.csv": Columns(("valid_from", "province", "mode", "source"), ("is_assumption", "note")),
    "order_spans.csv": Columns(
        ("industry", "longest_days", "valid_from", "notice"), ("grade", "is_assumption", "note")
    ),
}
"""The files that are read, in this order; any other table in a directory is refused: it may be a slip."""
TABLE: Final = re.compile(r".*\.(csv|tsv|xlsx?|et|ods)(\.gz|\.zip)?")
"""Names of tables in small letters: `TARIFF-2027.CSV` is read, `tariff-2027.xlsx` and `tariff-2027.tsv` are refused."""


def load_scheme(directories: Sequence[Path]) -> Scheme:
    """The scheme of all directories together; `scheme.warnings` holds what is odd but no reason to refuse.

    Raises `Refused` (nearly always `RefusedLine`) for: a directory or file that cannot be read, an unknown
    file name, wrong columns; an unknown province or industry; a bad date, amount, number or flag; a period
    that ends before it begins; a line number, province, enterprise or rule given twice; lines of one
    province, industry and enterprise that overlap or leave a gap; enrolments that overlap; food delivery
    after 2025-06-30; a broken USCC (a warning where only the check digit of a known platform is wrong); a
    tariff line or an enrolment of an enterprise that is not listed; a province that joined before the first
    cancellation rule; a key of an enterprise that is none, is given twice, or ends before it begins. An enrolment that
    no tariff line covers is a warning, and a key that ends without a next one.
    """
    paths = [path for directory in directories for path in _csv_files(directory)]
    reading = _Reading()
    for pattern, columns in FILES.items():
        for path in (path for path in paths if fnmatchcase(path.name.lower(), pattern)):
            for record in read_records(path, columns.required, columns.optional):
                reading.take(pattern, record)
    return reading.scheme(", ".join(str(directory) for directory in directories))


def _csv_files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise Refused(f"{directory}: no such directory of scheme files")
    paths = sorted(path for path in directory.iterdir() if TABLE.fullmatch(path.name.lower()))
    for path in paths:
        if not any(fnmatchcase(path.name.lower(), pattern) for pattern in FILES):
            raise RefusedLine(str(path), 0, f"no file of this name is read; known: {', '.join(FILES)}")
    return paths


@dataclass(slots=True)
class _Reading:
    """What has been read so far, each thing with its record, so that a later clash can name both places."""

    provinces: dict[str, tuple[Record, ProvinceJoining]] = field(default_factory=dict)
    enterprises: dict[str, tuple[Record, Enterprise]] = field(default_factory=dict)
    lines: dict[int, tuple[Record, TariffLine]] = field(default_factory=dict)
    enrolments: list[tuple[Record, Enrolment]] = field(default_factory=list)
    keys: dict[bytes, tuple[Record, EnterpriseKey]] = field(default_factory=dict)
    rules: dict[datetime, tuple[Record, CancellationRule]] = field(default_factory=dict)
    presumptions: dict[tuple[datetime, str], tuple[Record, PresumptionRule]] = field(default_factory=dict)
    spans: dict[tuple[Industry, datetime], tuple[Record, OrderSpan]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def take(self, pattern: str, record: Record) -> None:
        {
            "provinces.csv": self._take_province,
            "enterprises.csv": self._take_enterprise,
            "tariff-*.csv": self._take_line,
            "enrolment*.csv": self._take_enrolment,
            "enterprise-keys*.csv": self._take_key,
            "cancellation.csv": self._take_rule,
            "presumption.csv": self._take_presumption,
            "order_spans.csv": self._take_span,
        }[pattern](record)

    def scheme(self, place: str) -> Scheme:
        """Everything that was read, checked as a whole."""
        for name, what in {
            "province": self.provinces,
            "tariff": self.lines,
            "cancellation": self.rules,
        }.items():
            if not what:
                raise Refused(f"{place}: no {name} line in any file")
        self._check_rules()
        lines = self._succeeding_lines()
        scheme = self._scheme(lines, ())
        return self._scheme(lines, (*self.warnings, *self._uncovered(scheme), *self._without_key()))

    def _scheme(self, lines: list[TariffLine], warnings: Sequence[str]) -> Scheme:
        return Scheme(
            lines=lines,
            provinces=[joining for _, joining in self.provinces.values()],
            enterprises=[enterprise for _, enterprise in self.enterprises.values()],
            enrolments=[enrolment for _, enrolment in self.enrolments],
            cancellation_rules=[rule for _, rule in self.rules.values()],
            warnings=warnings,
            presumption_rules=[rule for _, rule in self.presumptions.values()],
            enterprise_keys=[key for _, key in self.keys.values()],
            order_spans=[span for _, span in self.spans.values()],
        )

    def _take_province(self, record: Record) -> None:
        code = _province(record, "code")
        if code in self.provinces:
            record.refuse(f"province {code} is given twice, first in {self.provinces[code][0].place}")
        joined_at = record.instant("joined_on")
        if joined_at != day_start(joined_at.astimezone(SHANGHAI).date()):
            record.refuse("a province joins at 00:00 of a day")
        joining = ProvinceJoining(code, joined_at.astimezone(SHANGHAI).date(), _notice(record))
        self.provinces[code] = record, joining

    def _take_enterprise(self, record: Record) -> None:
        uscc, is_known = record.text("uscc"), record.flag("known_platform")
        if uscc in self.enterprises:
            record.refuse(f"enterprise {uscc} is given twice, first in {self.enterprises[uscc][0].place}")
        if not is_uscc_shaped(uscc):
            record.refuse(changed_by_spreadsheet(uscc) or f"not a USCC of 18 signs: {uscc!r}")
        if not is_valid_uscc(uscc):
            if not is_known:
                record.refuse(f"the check digit of USCC {uscc} is wrong")
            self.warnings.append(f"{record.place}: the check digit of USCC {uscc} is wrong (known platform)")
        self.enterprises[uscc] = record, Enterprise(uscc, record.text("name"), is_known)

    def _take_line(self, record: Record) -> None:
        number = record.number("number", 1, LARGEST_LINE_NUMBER)
        if number in self.lines:
            record.refuse(f"line number {number} is given twice, first in {self.lines[number][0].place}")
        enterprise = record.optional_text("enterprise") or None
        if enterprise is not None:
            self._check_listed(record, enterprise)
        industry = record.choice("industry", Industry)
        valid_from, valid_to = _period(record, "valid_from", "valid_to", industry)
        line = TariffLine(
            number=number,
            province=_province(record, "province"),
            industry=industry,
            enterprise=enterprise,
            valid_from=valid_from,
            valid_to=valid_to,
            base_amount=record.amount("base_yuan"),
            notice=_notice(record),
            is_assumption=record.flag("is_assumption"),
            note=record.optional_text("note"),
            grade=record.optional_text("grade"),
        )
        if not 0 < line.base_amount < LARGEST_BASE_AMOUNT:
            record.refuse("base_yuan is yuan an order, above 0 and below 1")
        if line.grade not in GRADES:
            record.refuse(f"unknown grade {line.grade!r}; known: A, B, C, D, M")
        self.lines[number] = record, line

    def _take_enrolment(self, record: Record) -> None:
        uscc, province = record.text("uscc"), record.text("province")
        self._check_listed(record, uscc)
        industry = record.choice("industry", Industry)
        enrolled_from, enrolled_to = _period(record, "enrolled_from", "enrolled_to", industry)
        enrolment = Enrolment(
            uscc=uscc,
            province=None if province == EVERY_PROVINCE else _province(record, "province"),
            industry=industry,
            enrolled_from=enrolled_from,
            enrolled_to=enrolled_to,
            notice=_notice(record),
        )
        for earlier, other in self.enrolments:
            if _overlap(other, enrolment):
                record.refuse(f"overlaps the enrolment in {earlier.place}")
        self.enrolments.append((record, enrolment))

    def _take_key(self, record: Record) -> None:
        uscc = record.text("uscc")
        self._check_listed(record, uscc)
        try:
            key = VerifierKey.parse(record.text("vkey"))
        except Refused as error:
            record.refuse(str(error))
        if key.kind != ED25519:
            record.refuse(f"{key} is not a key for Ed25519 signatures")
        if key.public in self.keys:
            record.refuse(f"this key is given twice, first in {self.keys[key.public][0].place}")
        valid_from, valid_to = _day(record, "valid_from"), None
        if record.optional_text("valid_to"):
            valid_to = _day(record, "valid_to")
            if valid_to <= valid_from:
                record.refuse("valid_to is not after valid_from")
        self.keys[key.public] = record, EnterpriseKey(uscc, key, valid_from, valid_to)

    def _take_rule(self, record: Record) -> None:
        valid_from = record.instant("valid_from")
        if valid_from in self.rules:
            record.refuse(f"two rules begin at that instant, the first in {self.rules[valid_from][0].place}")
        rule = CancellationRule(
            valid_from=valid_from,
            mode=record.choice("mode", CancellationMode),
            elapsed_seconds=record.number("elapsed_seconds", 0, LONGEST_ELAPSED_SECONDS),
            source=record.text("source"),
            is_assumption=record.flag("is_assumption"),
        )
        self.rules[valid_from] = record, rule

    def _take_presumption(self, record: Record) -> None:
        valid_from, province = record.instant("valid_from"), record.text("province")
        key = (valid_from, province)
        if key in self.presumptions:
            record.refuse(f"two rules begin at that instant, the first in {self.presumptions[key][0].place}")
        rule = PresumptionRule(
            valid_from=valid_from,
            province=None if province == EVERY_PROVINCE else _province(record, "province"),
            mode=record.choice("mode", PresumptionMode),
            source=record.text("source"),
            is_assumption=record.flag("is_assumption"),
        )
        self.presumptions[key] = record, rule

    def _take_span(self, record: Record) -> None:
        industry, valid_from = record.choice("industry", Industry), record.instant("valid_from")
        if (industry, valid_from) in self.spans:
            first = self.spans[industry, valid_from][0].place
            record.refuse(f"two spans of {industry.value} begin at that instant, the first in {first}")
        grade = record.optional_text("grade")
        if grade not in GRADES:
            record.refuse(f"unknown grade {grade!r}; known: A, B, C, D, M")
        days = record.number("longest_days", 1, LONGEST_SPAN_DAYS)
        span = OrderSpan(industry, days, valid_from, _notice(record), grade, record.flag("is_assumption"))
        self.spans[industry, valid_from] = record, span

    def _check_listed(self, record: Record, uscc: str) -> None:
        if uscc not in self.enterprises:
            record.refuse(f"enterprise {uscc} is in no enterprises.csv")

    def _check_rules(self) -> None:
        first = min(self.rules)
        for record, joining in self.provinces.values():
            if day_start(joining.joined_on) < first:
                record.refuse(f"province {joining.province} joined before the first cancellation rule begins")

    def _succeeding_lines(self) -> list[TariffLine]:
        lines = list(end_open_lines(line for _, line in self.lines.values()))
        for fault in succession_faults(lines):
            record, earlier = self.lines[fault.later.number][0], self.lines[fault.earlier.number][0]
            record.refuse(f"{fault} ({earlier.place})")
        return lines

    def _uncovered(self, scheme: Scheme) -> Iterator[str]:
        """A warning for each enrolment and province with a stretch of time that no tariff line covers."""
        for record, enrolment in self.enrolments:
            for province in [enrolment.province] if enrolment.province else list(self.provinces):
                _, outcomes = scheme.timeline(enrolment.uscc, province, enrolment.industry)
                if Uncovered() in outcomes:
                    yield f"{record.place}: enrolled in {province} for a time that no tariff line covers"

    def _without_key(self) -> Iterator[str]:
        """A warning for each key that ends while no other key of its enterprise holds."""
        keys = [key for _, key in self.keys.values()]
        for record, ended in self.keys.values():
            end = ended.valid_to
            if end is not None and not any(key.uscc == ended.uscc and key.holds_on(end) for key in keys):
                yield f"{record.place}: {ended.uscc} has no key on {end}: its manifests of that day will be parked"


def _day(record: Record, column: str) -> date:
    instant = record.instant(column)
    day = instant.astimezone(SHANGHAI).date()
    if instant != day_start(day):
        record.refuse(f"{column} is a day: a key holds for whole days")
    return day


def _province(record: Record, column: str) -> str:
    code = record.text(column)
    if code not in PROVINCES:
        record.refuse(f"unknown province {code!r}: the first two digits of GB/T 2260, or 66")
    return code


def _notice(record: Record) -> str:
    notice = record.text("notice")
    if "://" in notice or "www." in notice:
        record.refuse("a notice is named by its number and date, not by an address")
    return notice


def _period(record: Record, start: str, end: str, industry: Industry) -> tuple[datetime, datetime | None]:
    """Begin and end of a record that belongs to an industry; the end is the first instant after it."""
    valid_from, valid_to = record.instant(start), record.optional_instant(end)
    if valid_to is not None and valid_to <= valid_from:
        record.refuse(f"{end} is not after {start}")
    closed_at = day_start(FOOD_DELIVERY_CLOSED_ON)
    if industry is Industry.FOOD_DELIVERY and (valid_to is None or valid_to > closed_at):
        record.refuse(f"{industry} was merged into instant_delivery: {end} is {FOOD_DELIVERY_CLOSED_ON} or before")
    return valid_from, valid_to


def _overlap(one: Enrolment, other: Enrolment) -> bool:
    """Whether two enrolments of one enterprise, industry and province (or every one) share an instant."""
    if (one.uscc, one.industry, one.province) != (other.uscc, other.industry, other.province):
        return False
    starts_before = one.enrolled_to is None or other.enrolled_from < one.enrolled_to
    return starts_before and (other.enrolled_to is None or one.enrolled_from < other.enrolled_to)
