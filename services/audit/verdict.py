"""Collect an audit's verdict: one line a check, and the rows that do not agree."""

import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypedDict, TypeVar

import msgspec

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
MOST_FINDINGS: Final = 200
"""Findings kept of one check; their total number is always reported."""
SHOWN: Final = 5


class CheckResult(TypedDict):
    """One check for JSON."""

    invariant: str
    what: str
    passed: bool
    findings: list[str]
    finding_count: int
    notes: list[str]


class AuditResult(TypedDict):
    """The verdict for JSON."""

    audit: str
    checks: list[CheckResult]


@dataclass(slots=True)
class Check:
    """One thing that must hold. `invariant` is the design's name for it."""

    invariant: str
    what: str
    findings: list[str] = field(default_factory=list)
    count: int = 0
    notes: list[str] = field(default_factory=list)

    def note(self, note: str) -> None:
        """Add a remark that is no fault of the books and does not fail the audit."""
        if len(self.notes) < MOST_FINDINGS:
            self.notes.append(note)

    def find(self, finding: str) -> None:
        """Add a finding for a row that does not agree."""
        self.count += 1
        if self.count <= MOST_FINDINGS:
            self.findings.append(finding)

    def compare(self, name: str, stored: object, worked_out: object) -> None:
        """Add a finding for `name` when the stored value differs from the computed one."""
        if stored != worked_out:
            self.find(f"{name}: stored {stored}, worked out {worked_out}")

    def read(self, name: str, payload: bytes | str, kind: type[T], empty: T) -> T:
        """Decode the message in `payload`; return `empty` and add a finding where it does not decode."""
        try:
            return msgspec.json.decode(payload, type=kind)
        except (msgspec.MsgspecError, ValueError) as error:
            self.find(f"{name} does not read: {error}")
            return empty

    def compare_all(self, name: str, stored: Mapping[K, V], worked_out: Mapping[K, V]) -> None:
        """Compare two mappings key by key; `name` says what a key names."""
        for key in sorted(stored.keys() | worked_out.keys(), key=repr):
            self.compare(f"{name} {shown(key)}", stored.get(key), worked_out.get(key))

    @property
    def has_passed(self) -> bool:
        return self.count == 0


def shown(key: object) -> str:
    """Format a key for a person."""
    return "/".join("-" if part is None else str(part) for part in key) if isinstance(key, tuple) else str(key)


class Verdict:
    """All checks of one audit, in order."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def check(self, invariant: str, what: str) -> Check:
        """Return the check of these words, which passes until it has a finding; all deployments share it."""
        known = next((check for check in self.checks if (check.invariant, check.what) == (invariant, what)), None)
        if known is None:
            known = Check(invariant, what)
            self.checks.append(known)
        return known

    @asynccontextmanager
    async def part(self, name: str) -> AsyncIterator[None]:
        """Run a part of the audit; rows too wrong to continue are a finding, and the other parts continue."""
        try:
            yield
        except (LookupError, ValueError, TypeError, OverflowError, struct.error, msgspec.MsgspecError) as error:
            self.check("I4", f"{name} could be worked out").find(f"{type(error).__name__}: {error}")

    @property
    def has_passed(self) -> bool:
        return bool(self.checks) and all(check.has_passed for check in self.checks)

    def lines(self) -> Iterable[str]:
        """Format for a person: one line a check, with its first findings."""
        for check in self.checks:
            yield f"{check.invariant:<4} {'passed' if check.has_passed else 'FAILED'}  {check.what}"
            yield from (f"       {finding}" for finding in check.findings[:SHOWN])
            if check.count > SHOWN:
                yield f"       and {check.count - SHOWN:,} more"
            yield from (f"       note: {note}" for note in check.notes)
        yield f"audit {'passed' if self.has_passed else 'FAILED'}"

    def as_json(self) -> AuditResult:
        """`{"audit": "passed"|"failed", "checks": [...]}`"""
        return {"audit": "passed" if self.has_passed else "failed", "checks": [as_dict(check) for check in self.checks]}


def as_dict(check: Check) -> CheckResult:
    """One check for JSON."""
    return {
        "invariant": check.invariant,
        "what": check.what,
        "passed": check.has_passed,
        "findings": list(check.findings),
        "finding_count": check.count,
        "notes": list(check.notes),
    }
