"""The roster of workers insured as employees (工伤保险), which exclusions are checked against.

CSV, UTF-8, with the header `worker_id,employer_insurance_no,valid_from,valid_to`; days, both included, an empty
`valid_to` means no end is known.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Final

from shared.contracts.reports import CoverageReport, EmployeeExclusion
from shared.domain.errors import RefusedLine

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
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                for worker, number, stretch in _read(str(path), stream):
                    stretches.setdefault((worker, number), []).append(stretch)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise RefusedLine(str(path), 0, f"cannot be read: {error}") from error
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


def _read(file: str, stream: Iterable[str]) -> Iterable[tuple[str, str, Stretch]]:
    reader = csv.reader(stream, strict=True)
    if tuple(next(reader, ())) != COLUMNS:
        raise RefusedLine(file, 1, f"columns must be {','.join(COLUMNS)}")
    for fields in reader:
        if fields:
            yield _record(file, reader.line_num, fields)


def _record(file: str, line: int, fields: list[str]) -> tuple[str, str, Stretch]:
    if len(fields) != len(COLUMNS):
        raise RefusedLine(file, line, f"{len(fields)} fields instead of {len(COLUMNS)}")
    worker, number, first, last = (field.strip() for field in fields)
    if not _TOKEN.fullmatch(worker):
        raise RefusedLine(file, line, f"worker_id is not a token of 64 hex digits: {worker[:80]!r}")
    try:
        stretch = date.fromisoformat(first), date.fromisoformat(last) if last else date.max
    except ValueError as error:
        raise RefusedLine(file, line, f"not a day: {error}") from error
    if not number or stretch[1] < stretch[0]:
        raise RefusedLine(file, line, "no employer_insurance_no, or valid_to before valid_from")
    return worker, number, stretch
