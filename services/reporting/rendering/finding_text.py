"""Write a finding in the reader's language: one sentence of its kind, and its evidence, declared next to received.

The register keeps a sentence in English, made where the finding was made; here a sentence is built from its figures. A
kind that has no sentence here, or whose figures are incomplete, is shown as the register has it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from services.reporting.register.discrepancies import EvidenceValue
from services.reporting.register.register_queries import FindingValue
from services.reporting.rendering.texts import Translator, grouped, shanghai_time
from shared.domain.books.delays import BUCKETS

SIDES: Final = (
    ("declared", ("declared", "declared_orders", "declared_yuan", "declared_used", "declared_unused", "expected",
                  "least", "most", "usual_share", "most_share", "noticed_at", "injured_at")),
    ("reported", ("reported", "received_orders", "received_yuan", "received", "not_declared", "numbers", "excluded",
                  "recorded_at")),
)  # fmt: skip
"""Which evidence is shown on which side; the rest is shown below."""
_SHARES: Final = frozenset({"usual_share", "most_share"})
_TIMES: Final = frozenset({"noticed_at", "injured_at", "recorded_at"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of a finding: (heading, facts) of two sides or of none, the rest, and orders by delay."""

    sides: list[tuple[str, list[tuple[str, str]]]]
    rest: list[tuple[str, str]]
    delays: list[int]


def describe_finding(t: Translator, finding: Mapping[str, FindingValue]) -> str | None:
    """One sentence; None where the register's own has to do."""
    known = {name: _said(t, name, value) for name, value in _facts(finding).items()}
    count = finding["count"]
    if isinstance(count, int):
        known["count"] = grouped(count)
    known["day"] = str(finding["day"] or finding["period"] or "")
    for key in (f"told.{finding['kind']}", f"told.{finding['kind']}_otherwise"):
        said = t.maybe(key, known)
        if said is not None:
            return said
    return None


def show_evidence(t: Translator, finding: Mapping[str, FindingValue]) -> Evidence:
    """The evidence of a finding in the reader's language."""
    facts = _facts(finding)
    delays = _delays(facts.pop("delays", None))

    def chosen(names: Callable[[str], bool]) -> list[tuple[str, str]]:
        return [(t.word("fact", name), _said(t, name, value)) for name, value in facts.items() if names(name)]

    sides = [(t(f"finding.{side}"), chosen(names.__contains__)) for side, names in SIDES]
    if all(side for _, side in sides):
        sided = {name for _, names in SIDES for name in names}
        return Evidence(sides, chosen(lambda name: name not in sided), delays)
    return Evidence([], chosen(lambda _: True), delays)


def _facts(finding: Mapping[str, FindingValue]) -> dict[str, EvidenceValue]:
    facts: dict[str, EvidenceValue] = {
        name: value for name in ("declared", "reported") if isinstance(value := finding[name], str)
    }
    evidence = finding["evidence"]
    return facts | evidence if isinstance(evidence, dict) else facts


def _said(t: Translator, name: str, value: EvidenceValue) -> str:
    """A fact's value as text."""
    if isinstance(value, list) and name == "reasons":
        return t("finding.and").join(_reason(t, line) for line in value)
    if isinstance(value, list):
        return t("finding.and").join(map(str, value))
    if name == "fault":
        return t.word("fault", str(value))
    if name == "industry":
        return t.industry(str(value))
    if name in _SHARES:
        return f"{float(value):.2%}"
    if name in _TIMES:
        return shanghai_time(str(value))
    return grouped(value) if isinstance(value, int) else str(value)


def _reason(t: Translator, line: str) -> str:
    """A reason to park an event and how often, out of "bad_value: 2"."""
    reason, _, count = line.partition(": ")
    return f"{t.word('park', reason)} {count}"


def _delays(lines: EvidenceValue | None) -> list[int]:
    """Orders by bucket, out of "under 60 s: 31"; none where it has another form."""
    if not isinstance(lines, list) or len(lines) != BUCKETS:
        return []
    counts = [str(line).rpartition(": ")[2] for line in lines]
    return [int(count) for count in counts] if all(count.isdecimal() for count in counts) else []
