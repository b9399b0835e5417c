"""The roster of workers insured as employees (工伤保险), which exclusions are checked against.

CSV, UTF-8, with the columns `worker_id,employer_insurance_no,valid_from,valid_to`; days, both included, an empty
`valid_to` means no end is known.
"""

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

from shared.adapters.files.csv import Record, read_intact_table
from shared.contracts.reports import CoverageReport, EmployeeExclusion
from shared.domain.errors import Refused
from shared.domain.times import read_day

COLUMNS: Final = ("worker_id", "employer_insurance_no", "valid_from", "valid_to")
_TOKEN: Final = re.compile(r"[0-9a-f]{64}")
Stretch = tuple[date, date]


class Roster:
    """Who is insured under which number, and when."""

    def __init__(self, stretches: Mapping[tuple[str, str], list[Stretch]]) -> None:
        self._stretches = stretches

    @classmethod
    def load(cls, path: Path | None) -> "Roster":
        """Read the file; raises `RefusedLine` naming file and line. Without a file nobody is on the roster."""
        if path is None:
            return cls({})
        stretches: dict[tuple[str, str], list[Stretch]] = {}
        for record in read_intact_table(path, COLUMNS, ("employer_insurance_no",)):
            person = _worker(record), record.text("employer_insurance_no")
            stretches.setdefault(person, []).append(_stretch(record))
        return cls(stretches)

    def is_insured(self, worker_id: str, employer_insurance_no: str, day: date) -> bool:
        """True when the roster holds this worker under this number on the day."""
        stretches = self._stretches.get((worker_id, employer_insurance_no), ())
        return any(first <= day <= last for first, last in stretches)

    def unconfirmed(self, report: CoverageReport) -> list[EmployeeExclusion]:
        """The exclusions of a report that the roster does not confirm."""
        return [
            exclusion
            for exclusion in report.employee_exclusions
            if not self.is_insured(exclusion.worker_id, exclusion.employer_insurance_no, report.day)
        ]


def _stretch(record: Record) -> Stretch:
    first, last = record.text("valid_from"), record.optional_text("valid_to")
    try:
        stretch = read_day(first), read_day(last) if last else date.max
    except Refused as error:
        record.refuse(str(error))
    if stretch[1] < stretch[0]:
        record.refuse("valid_to is before valid_from")
    return stretch


def _worker(record: Record) -> str:
    worker = record.text("worker_id")
    if not _TOKEN.fullmatch(worker):
        record.refuse(f"worker_id is not a token of 64 hex digits: {worker[:80]!r}")
    return worker
