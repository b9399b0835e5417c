"""The auditor's charging: where each event ends, what is reversed, what a close counts. Money is yuan as Fraction.

Batches are given in the order of their commit; the caller names the run.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.model.declarations import signed_revision
from tests.model.events import Fault, read_event
from tests.model.identity import is_credit_code, names_a_person
from tests.model.numbers import Heard, Numbers
from tests.model.resends import LONGEST, first_searched, judged
from tests.model.rows import Closing, Count, Manifest, Received, Row, Total, hours_of, reaches
from tests.model.scheme import SHANGHAI, ModelScheme, day_of, midnight

SKEW = timedelta(seconds=300)
OLDEST = timedelta(days=30)
ONE = timedelta(days=1)
FIRST_MS, LAST_MS = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1000 for year in (2022, 2100))


@dataclass
class ModelCharging:
    """Charging as the rules have it."""

    scheme: ModelScheme
    registered: set[str]
    regions: frozenset[str]
    rows: list[Row] = field(default_factory=list)
    by_key: dict[tuple[Any, ...], Row] = field(default_factory=dict)
    declarations: dict[tuple[str, str], tuple[str, int | None]] = field(default_factory=dict)
    revisions: dict[tuple[str, bytes], int | None] = field(default_factory=dict)
    """Of manifests of a day, by enterprise and bytes."""
    received: int = 0
    manifests: dict[tuple[str, int], Manifest] = field(default_factory=dict)
    resent: dict[tuple[str, str, str, datetime], date] = field(default_factory=dict)
    reinstated: set[tuple[str, str, str, datetime]] = field(default_factory=set)
    """Of those, what a later cancellation showed to be no re-send."""
    participants: dict[tuple[str, str], date] = field(default_factory=dict)
    closing: Closing | None = None
    heard: list[Heard] = field(default_factory=list)
    """What no close has reached yet, of acceptances, kept events and manifests of a day."""
    numbers: Numbers = field(default_factory=Numbers)
    gap_days: int = 7

    # Charging

    def take(self, run: str, records: list[Received]) -> list[Total]:
        """One batch, committed; the end of each event in the order of the records."""
        number = self._next(run)
        ends = []
        for record in sorted(records, key=lambda each: (each.topic, each.partition, each.offset)):
            end = self._end(record, run, number)
            ends.append(end)
            self.received += 1
            if end.outcome != "repeat" and (end.outcome != "recorded" or end.reason == "declaration"):
                place = (end.insured_on, end.province, end.industry, end.outcome, end.line, end.base)
                revision = self.revisions.get((end.enterprise, record.value or b""))
                self.heard.append(Heard(run, number, end.enterprise, record.value, *place, revision, record.timestamp))
        self.manifests[run, number] = Manifest(run, number, "orders", Counter(ends))
        return ends

    def settle(self, run: str) -> Counter[Total]:
        """The settling step over everything that waits; empty where nothing was reversed, and then no manifest."""
        number = self._next(run)
        made = self._settle_cancellations(run, number, None)
        if made:
            self.manifests[run, number] = Manifest(run, number, "settlement", made)
        return made

    def count(self) -> Count:
        """The answer to the close that is under way; a second call makes no further reversals."""
        closing = self.closing
        assert closing is not None
        if closing.count is None:
            run = f"close {closing.day}"
            made = self._settle_cancellations(run, 1, closing.cut)
            made += self._settle_resends(run, closing.day, closing.cut)
            if made:
                closing.settlement = self.manifests[run, 1] = Manifest(run, 1, "settlement", made)
            self._assess(closing)
            closing.count = self._count(closing)
        return closing.count

    def _assess(self, closing: Closing) -> None:
        """What is missing is charged where the rule says so: a manifest that is booked like any other, so later."""
        day, cut = closing.day, closing.cut
        now: list[Heard] = []
        later: list[Heard] = []
        for heard in self.heard:
            is_due = heard.outcome not in {"charged", "excluded"} or (heard.insured_on or day) <= day
            (now if is_due and heard.number <= cut.get(heard.run, 0) else later).append(heard)
        self.heard = later
        assessed, back = self.numbers.close(day, self.gap_days, now, self.scheme.assesses)
        made: Counter[Total] = Counter()
        for one, outcome, sign in [(e, "charged", 1) for e in assessed] + [(e, "reversed", -1) for e in back]:
            place = (one.insured_on, one.enterprise, one.province, one.industry)
            made[Total(*place, outcome, f"assessed:{one.series}", one.line, sign * one.base)] += 1
        if made:
            run = f"assess {day}"
            self.manifests[run, 1] = Manifest(run, 1, "assessment", made)

    def _next(self, run: str) -> int:
        return 1 + sum(1 for other, _ in self.manifests if other == run)

    def _end(self, record: Received, run: str, number: int) -> Total:
        uscc, province = record.topic.removeprefix("orders.v1."), ""
        try:
            kind, source, said = read_event(record.value)
            province = self._province_of(said) or ""
            return self._take_event(record, uscc, kind, source, said, run, number)
        except Fault as fault:
            return Total(None, uscc, province, "", "parked", str(fault))

    def _province_of(self, said: dict[str, Any]) -> str | None:
        """Province of the place of acceptance: the first two digits, where some region begins with them."""
        province = str(said.get("acceptance_region", ""))[:2]
        return province if any(region.startswith(province) for region in self.regions) and province else None

    def _take_event(
        self, record: Received, uscc: str, kind: str, source: str, said: dict[str, Any], run: str, number: int
    ) -> Total:
        if source != f"urn:uscc:{uscc}":
            raise Fault("other_enterprise")
        if uscc not in self.registered:
            raise Fault("unknown_enterprise")
        if not FIRST_MS <= record.timestamp < LAST_MS:
            raise Fault("impossible_time")
        revision = None
        if kind == "declared":
            revision = signed_revision(self.scheme.keys, uscc, said, record.value or b"")
        _check_names(said)
        now = datetime.fromtimestamp(record.timestamp // 1000, SHANGHAI)
        now += timedelta(milliseconds=record.timestamp % 1000)
        if kind == "declared":
            self.revisions[uscc, record.value or b""] = revision
            return self._declare(uscc, said, revision)
        total = self._rate(uscc, kind, said, now)
        key = (uscc, said["order_id"], said["worker_id"][:16], said["accepted_at"])
        content = {name: value for name, value in said.items() if name not in {"series", "sequence"}}
        known = self.by_key.get((kind, *key))
        if known is not None:
            return Total(*total[:4], "repeat" if known.said == content else "conflict")
        code = {"accepted": 1, "completed": 2, "cancelled": 3}[kind]
        row = Row(kind, key, content, total, run, number, self.received, code=code)
        self.by_key[(kind, *key)] = row
        self.rows.append(row)
        return total

    def _rate(self, uscc: str, kind: str, said: dict[str, Any], now: datetime) -> Total:
        at, province, industry = said["accepted_at"], said["acceptance_region"][:2], said["industry"]
        self._check(kind, said, now)
        place = (day_of(at), uscc, province, industry)
        if kind != "accepted":
            return Total(*place, "recorded", {"completed": "completion", "cancelled": "cancellation"}[kind])
        is_employee = said["employer_insurance_no"] is not None
        outcome, reason, line = self.scheme.rate(uscc, province, industry, at, is_employee)
        if outcome == "uncovered":
            raise Fault("no_tariff_line")
        return Total(*place, outcome, reason, line, self.scheme.base(line) if line else Fraction(0))

    def _check(self, kind: str, said: dict[str, Any], now: datetime) -> None:
        at = said["accepted_at"]
        ended_at = said.get("completed_at") or said.get("cancelled_at") or at
        faults = {
            "in_future": at > now + SKEW,
            "too_old": at < now - OLDEST,
            "unknown_industry": said["industry"] == "food_delivery" and day_of(at) >= date(2025, 7, 1),
            "unknown_region": self._province_of(said) is None,
            "completion_before_acceptance": kind == "completed" and ended_at < at,
            "cancellation_before_acceptance": kind == "cancelled" and ended_at < at,
        }
        for reason, is_so in faults.items():
            if is_so:
                raise Fault(reason)
        if ended_at > now + SKEW:
            raise Fault("in_future")

    def _declare(self, uscc: str, said: dict[str, Any], revision: int | None) -> Total:
        name, content = (uscc, said["declaration_id"]), (said["said"], revision)
        if name in self.declarations:
            return Total(None, uscc, "", "", "repeat" if self.declarations[name] == content else "conflict")
        self.declarations[name] = content
        return Total(None, uscc, "", "", "recorded", "declaration")

    # Settling

    def _settle_cancellations(self, run: str, number: int, cut: dict[str, int] | None) -> Counter[Total]:
        made: Counter[Total] = Counter()
        for row in [row for row in self.rows if row.kind == "cancelled" and not row.is_settled]:
            accepted = self._acceptance(row)
            if accepted is None or not (reaches(cut, row) and reaches(cut, accepted.charge)):
                continue
            row.is_settled = True
            if self.scheme.takes_back(row.key[3], row.said["cancelled_at"], row.said["departed"]):
                made += self._reverse(accepted, "cancelled", run, number)
        return made

    def _acceptance(self, row: Row) -> Row | None:
        """What a cancellation calls off: the acceptance of the same key and the whole same token."""
        acceptance = self.by_key.get(("accepted", *row.key))
        return acceptance if acceptance is not None and acceptance.said["worker_id"] == row.said["worker_id"] else None

    def _reverse(self, accepted: Row, reason: str, run: str, number: int) -> Counter[Total]:
        """Take back what was charged last, once."""
        charge = accepted.charge
        if charge.total.outcome != "charged" or charge.reversed_by:
            return Counter()
        charge.reversed_by = reason
        was = charge.total
        total = was._replace(outcome="reversed", reason=reason, base=-was.base)
        code = 4 if charge.code == 1 else charge.code + 1
        self.rows.append(Row("reversed", accepted.key, {}, total, run, number, -1, code=code))
        return Counter([total])

    def _settle_resends(self, run: str, day: date, cut: dict[str, int]) -> Counter[Total]:
        """Reverse what was sent again, and charge again what turned out not to be."""
        first = first_searched(day)
        near = [row for row in self.rows if first <= day_of(row.key[3]) <= day + ONE and reaches(cut, row)]
        made: Counter[Total] = Counter()
        for row, is_resend in judged(near):
            if is_resend and row.key not in self.resent:
                self.resent[row.key] = day
                made += self._reverse(row, "resent", run, 1)
            # Only from here on all was searched that a row may repeat.
            elif not is_resend and day_of(row.key[3]) >= first + LONGEST:
                made += self._reinstate(row, run)
        return made

    def _reinstate(self, row: Row, run: str) -> Counter[Total]:
        if row.key not in self.resent.keys() - self.reinstated:
            return Counter()
        self.reinstated.add(row.key)
        if row.charge.reversed_by != "resent":
            return Counter()
        self._unsettle(row)
        return self._rate_anew(row, row.charge.total._replace(reason=""), run, 1)

    # Re-rating

    def find_differences(self, first: date, last: date, enterprise: str, province: str) -> list[tuple[Row, Total]]:
        """Orders insured in the window that the scheme rates otherwise now, with what it says; "" for any place."""
        differing = []
        for row in [row for row in self.rows if row.kind == "accepted"]:
            insured_on, uscc, place, industry = row.total[:4]
            is_here = enterprise in {"", uscc} and province in {"", place}
            assert insured_on is not None
            if not (first <= insured_on <= last and is_here) or row.charge.reversed_by:
                continue
            if row.key in self.resent.keys() - self.reinstated:
                continue
            is_employee = row.said["employer_insurance_no"] is not None
            outcome, reason, line = self.scheme.rate(uscc, place, industry, row.key[3], is_employee)
            base = self.scheme.base(line) if line else Fraction(0)
            total = Total(insured_on, uscc, place, industry, outcome, reason, line, base)
            was = row.charge.total
            if total != (was._replace(reason="") if was.outcome == "charged" else was):
                differing.append((row, total))
        return differing

    def rerate(self, run: str, found: list[tuple[Row, Total]]) -> int:
        """Reverse what differs and charge it as it is now: a manifest for each day; 0 where a line is missing."""
        if any(total.outcome == "uncovered" for _, total in found):
            return 0
        days = sorted({total.insured_on for _, total in found if total.insured_on})
        for number, day in enumerate(days, 1):
            made: Counter[Total] = Counter()
            for row, total in found:
                if total.insured_on == day:
                    made += self._rate_anew(row, total, run, number)
            self.manifests[run, number] = Manifest(run, number, "correction", made)
        return len(found)

    def _rate_anew(self, accepted: Row, total: Total, run: str, number: int) -> Counter[Total]:
        charge = accepted.charge
        made = self._reverse(accepted, "rerated", run, number)
        is_charged = total.outcome == "charged"
        reported = total._replace(reason="rerated") if is_charged else total
        row = Row("rerated", accepted.key, accepted.said, reported, run, number, -1, code=max(8, charge.code + 2))
        self.rows.append(row)
        accepted.latest = row
        if is_charged and charge.total.outcome != "charged":  # a cancellation that reversed nothing may do so now
            self._unsettle(row)
        return made + Counter([reported])

    def _unsettle(self, accepted: Row) -> None:
        for row in self.rows:
            if row.kind == "cancelled" and row.key == accepted.key:
                row.is_settled &= row.said["worker_id"] != accepted.said["worker_id"]

    # Counting

    def _count(self, closing: Closing) -> Count:
        day, cut, before = closing.day, dict(closing.cut), closing.previous
        if closing.settlement:
            cut[closing.settlement.run] = 1
        totals: Counter[Total] = Counter()
        seen: dict[date, list[tuple[Row, bool]]] = {}
        count = Count(day, Counter(), totals, Counter(), {}, Counter(), 0, 0, Counter())
        for row in (row for row in self.rows if row.kind in {"accepted", "rerated", "reversed"} and reaches(cut, row)):
            insured_on, is_new = row.total.insured_on, not reaches(before, row)
            assert insured_on is not None
            if insured_on == day or (insured_on < day and is_new):
                totals[row.total] += 1
                count.hours.update(hours_of(row))
            if row.total.outcome == "charged" and insured_on <= day:
                seen.setdefault(insured_on, []).append((row, is_new))
            if row.total.reason == "insured_as_employee" and insured_on == day:
                who = (row.said["worker_id"], row.said["employer_insurance_no"])
                count.employees[(row.total.enterprise, row.total.province, *who)] += 1
        self._count_assessed(totals, closing)
        for insured_on, participants in seen.items():
            self._count_workers(count, insured_on, participants)
        for province in {province for (province, _), first_on in self.participants.items() if first_on == day}:
            known = [worker for (place, worker), on in self.participants.items() if (place, on) == (province, day)]
            count.first_time[province] = set(known)
        count.settlement = closing.settlement.totals if closing.settlement else Counter()
        count.resends = sum(1 for found_on in self.resent.values() if found_on == day)
        count.unmatched = self._unmatched(closing)
        return count

    def _count_assessed(self, totals: Counter[Total], closing: Closing) -> None:
        for (run, number), manifest in self.manifests.items():
            is_reached = closing.previous.get(run, 0) < number <= closing.cut.get(run, 0)
            totals.update(manifest.totals if manifest.kind == "assessment" and is_reached else {})

    def _unmatched(self, closing: Closing) -> int:
        """Cancellations in the cut, of orders accepted by the end of the day, that nothing accepted."""
        waiting = [row for row in self.rows if row.kind == "cancelled" and not row.is_settled]
        waiting = [row for row in waiting if row.key[3] < midnight(closing.day + ONE) and reaches(closing.cut, row)]
        return sum(1 for row in waiting if self._acceptance(row) is None)

    def _count_workers(self, count: Count, insured_on: date, found: list[tuple[Row, bool]]) -> None:
        """Distinct workers with a charged acceptance; of an earlier day those that were not counted on it before."""
        counted: set[tuple[str, str, str]] = set()
        new: set[tuple[str, str, str]] = set()
        for row, is_new in found:
            worker = row.said["worker_id"]
            for enterprise in (row.total.enterprise, ""):
                (new if is_new or insured_on == count.day else counted).add((enterprise, row.total.province, worker))
            if is_new or insured_on == count.day:
                self.participants.setdefault((row.total.province, worker), count.day)
        for enterprise, province, _ in new - counted:
            count.workers[insured_on, enterprise, province] += 1


def _check_names(said: dict[str, Any]) -> None:
    """What an enterprise fills as it likes names nobody; an agency's code is one."""
    names = [said.get(name) for name in ("agency_uscc", "employer_insurance_no", "declaration_id")]
    series = said.get("series")
    names += [item["series"] for item in series] if isinstance(series, list) else [series]
    if any(map(names_a_person, names)):
        raise Fault("identity_in_clear")
    if said.get("agency_uscc") is not None and not is_credit_code(said["agency_uscc"]):
        raise Fault("bad_value")
