"""Rating (计费): what an accepted order costs, or why it costs nothing.

The checks, in this order: has the province joined? is the enterprise enrolled there, in that industry, at
that instant? is the worker insured as an employee? which tariff line holds? Everything goes by the instant of
acceptance, never by the time of processing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from shared.domain.calendar import day_start, since_epoch_us
from shared.domain.errors import Refused
from shared.domain.evidence.declaration_keys import EnterpriseKey
from shared.domain.scheme.cancellation import CancellationRule
from shared.domain.scheme.enrolment import Enrolment, ProvinceJoining
from shared.domain.scheme.enterprise import Enterprise
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.order_span import OrderSpan, OrderSpans
from shared.domain.scheme.presumption import PresumptionRule, is_assessed
from shared.domain.scheme.tariff import TariffLine, succession_faults


class ExclusionReason(StrEnum):
    """Why an order is insured elsewhere or not at all, and has no premium."""

    PROVINCE_NOT_IN_PILOT = "province_not_in_pilot"
    ENTERPRISE_NOT_ENROLLED = "enterprise_not_enrolled"
    INSURED_AS_EMPLOYEE = "insured_as_employee"


@dataclass(frozen=True, slots=True)
class Charged:
    """The order costs the base amount of this line."""

    line: TariffLine


@dataclass(frozen=True, slots=True)
class Excluded:
    """The order costs nothing, for this reason."""

    reason: ExclusionReason


@dataclass(frozen=True, slots=True)
class Uncovered:
    """The enterprise is enrolled and no tariff line holds: the tariff is incomplete, the order is parked."""


Outcome = Charged | Excluded | Uncovered

BEFORE_EVERYTHING = -(2**63)
"""First start of every timeline, so that a bisection always finds a stretch."""


class Scheme:
    """Tariff, provinces, enterprises, enrolments and cancellation rules, as in the data files.

    Refuses (`Refused`) lines of one key that overlap or leave a gap, line numbers given out twice, and a
    province that joined before the first cancellation rule. Immutable: one is shared by a whole process.
    """

    def __init__(
        self,
        lines: Iterable[TariffLine],
        provinces: Iterable[ProvinceJoining],
        enterprises: Iterable[Enterprise],
        enrolments: Iterable[Enrolment],
        cancellation_rules: Iterable[CancellationRule],
        warnings: Sequence[str] = (),
        presumption_rules: Iterable[PresumptionRule] = (),
        enterprise_keys: Iterable[EnterpriseKey] = (),
        order_spans: Iterable[OrderSpan] = (),
    ) -> None:
        self._lines = _numbered(lines)
        self._joined_at = {province.province: day_start(province.joined_on) for province in provinces}
        self._enterprises = {enterprise.uscc: enterprise for enterprise in enterprises}
        self._names = {uscc: enterprise.name for uscc, enterprise in self._enterprises.items()}
        self._rules = sorted(cancellation_rules, key=lambda rule: rule.valid_from)
        self.presumption_rules = tuple(presumption_rules)
        """Whether missing numbers are charged; without one they are not."""
        self.enterprise_keys = tuple(enterprise_keys)
        """Keys with which enterprises sign their manifests of a day."""
        self.order_spans = OrderSpans(order_spans)
        """How long orders may last."""
        self._enrolments: dict[tuple[str, Industry], list[Enrolment]] = {}
        for enrolment in enrolments:
            self._enrolments.setdefault((enrolment.uscc, enrolment.industry), []).append(enrolment)
        self._by_place: dict[tuple[str, Industry], list[TariffLine]] = {}
        for line in self._lines.values():
            self._by_place.setdefault((line.province, line.industry), []).append(line)
        self._check_rules()
        self.warnings = tuple(warnings)
        """What the loader found odd but did not refuse; one line each, naming file and line."""

    @property
    def enterprises(self) -> Mapping[str, Enterprise]:
        """Every enterprise by its USCC."""
        return MappingProxyType(self._enterprises)

    @property
    def names(self) -> Mapping[str, str]:
        """The name of every enterprise by its USCC."""
        return MappingProxyType(self._names)

    @property
    def joined_at(self) -> Mapping[str, datetime]:
        """First insured instant of every province that has joined, by its two-digit code."""
        return MappingProxyType(self._joined_at)

    @property
    def lines(self) -> Mapping[int, TariffLine]:
        """Every tariff line by its number."""
        return MappingProxyType(self._lines)

    def line(self, number: int) -> TariffLine:
        """The tariff line of a number found in a row; raises `KeyError` where there is none."""
        return self._lines[number]

    def rate(self, uscc: str, province: str, industry: Industry, accepted_at: datetime, is_employee: bool) -> Outcome:
        """The outcome for one order; `province` has two digits, `accepted_at` is aware.

        An industry that is closed on that day has neither enrolment nor line here; whether the event is to be
        parked for it is decided before, by `industry.FOOD_DELIVERY_CLOSED_ON`.
        """
        joined_at = self._joined_at.get(province)
        if joined_at is None or accepted_at < joined_at:
            return Excluded(ExclusionReason.PROVINCE_NOT_IN_PILOT)
        if not any(enrolment.holds(province, accepted_at) for enrolment in self._enrolments.get((uscc, industry), ())):
            return Excluded(ExclusionReason.ENTERPRISE_NOT_ENROLLED)
        if is_employee:
            return Excluded(ExclusionReason.INSURED_AS_EMPLOYEE)
        line = self._line_at(uscc, province, industry, accepted_at)
        return Uncovered() if line is None else Charged(line)

    def timeline(self, uscc: str, province: str, industry: Industry) -> tuple[list[int], list[Outcome]]:
        """`rate` for a worker who is not an employee, over all time, for the hot path.

        Two lists of one length: starts in microseconds since 1970-01-01T00:00Z, ascending, the first before
        everything; and the outcome from each start until the next: `outcomes[bisect_right(starts, t) - 1]`.
        For an employee an outcome other than `Excluded` becomes `Excluded(INSURED_AS_EMPLOYEE)`.
        """
        starts: list[int] = [BEFORE_EVERYTHING]
        outcomes: list[Outcome] = [Excluded(ExclusionReason.PROVINCE_NOT_IN_PILOT)]
        for instant in self._changes(uscc, province, industry):
            outcome = self.rate(uscc, province, industry, instant, is_employee=False)
            if outcome != outcomes[-1]:
                starts.append(since_epoch_us(instant))
                outcomes.append(outcome)
        return starts, outcomes

    def cancellation_rule(self, accepted_at: datetime) -> CancellationRule:
        """The rule in force when an order was accepted; the first one where none was (nothing is charged)."""
        held = [rule for rule in self._rules if rule.valid_from <= accepted_at]
        return held[-1] if held else self._rules[0]

    def is_assessed(self, province: str, day_begins_at: datetime) -> bool:
        """Whether numbers without an acceptance are charged as presumed orders of that day in the province."""
        return is_assessed(self.presumption_rules, province, day_begins_at)

    def _line_at(self, uscc: str, province: str, industry: Industry, instant: datetime) -> TariffLine | None:
        held = [line for line in self._by_place.get((province, industry), ()) if line.holds_at(instant)]
        own = [line for line in held if line.enterprise == uscc]
        general = [line for line in held if line.enterprise is None]
        return next(iter(own + general), None)

    def _changes(self, uscc: str, province: str, industry: Industry) -> list[datetime]:
        """Every instant at which the outcome may change, ascending."""
        joined_at = self._joined_at.get(province)
        instants = set() if joined_at is None else {joined_at}
        for enrolment in self._enrolments.get((uscc, industry), ()):
            instants |= {enrolment.enrolled_from, enrolment.enrolled_to or enrolment.enrolled_from}
        for line in self._by_place.get((province, industry), ()):
            instants |= {line.valid_from, line.valid_to or line.valid_from}
        return sorted(instants)

    def _check_rules(self) -> None:
        if not self._rules:
            raise Refused("a scheme needs at least one cancellation rule")
        early = [code for code, joined_at in self._joined_at.items() if joined_at < self._rules[0].valid_from]
        if early:
            raise Refused(f"province {early[0]} joined before the first cancellation rule begins")


def _numbered(lines: Iterable[TariffLine]) -> dict[int, TariffLine]:
    """The lines by number; raises `Refused` for a number given twice, an overlap or a gap."""
    numbered: dict[int, TariffLine] = {}
    for line in lines:
        if line.number in numbered:
            raise Refused(f"tariff line number {line.number} is given twice")
        numbered[line.number] = line
    for fault in succession_faults(numbered.values()):
        raise Refused(f"tariff {fault}")
    return numbered
