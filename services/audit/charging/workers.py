"""Collect the charged workers by the closed day that counts them: distinct, first-time, employees, hours."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date

Where = tuple[date, str, str]
"""Insured day, enterprise, province."""
Distinct = dict[date, dict[tuple[date, str | None, str], int]]
"""Workers by the day that counts them, then by insured day, enterprise (None: all) and province."""


@dataclass(slots=True)
class Workers:
    """By the closed day that counts them: a charge counts on its own day, or on the first whose cut reached it.

    A worker may be met on several days; what counts him is the first. Who that is, is worked out of `met` at the end.
    """

    met: dict[tuple[date, Where], set[bytes]] = field(default_factory=lambda: defaultdict(set))
    employees: Counter[tuple[date, str, str, str, str]] = field(default_factory=Counter)
    hours: dict[date, dict[Where, list[int]]] = field(default_factory=lambda: defaultdict(dict))
    """Acceptances by hour."""

    def hours_of(self, counted_on: date, where: Where) -> list[int]:
        """Return the 24 hourly counters of a day and place."""
        return self.hours[counted_on].setdefault(where, [0] * 24)

    def join(self, other: "Workers") -> None:
        """Add the workers of another deployment, which has other enterprises but may have these workers."""
        for key, workers in other.met.items():
            self.met[key] |= workers
        self.employees += other.employees
        for day, hours in other.hours.items():
            self.hours[day] |= hours

    def distinct(self) -> Distinct:
        """Count the workers of each day, each worker once an enterprise and once a province."""
        counts: Distinct = defaultdict(Counter)
        for (day, province), enterprises_of in self._by_province().items():
            known: dict[str | None, set[bytes]] = defaultdict(set)
            for counted_on, uscc in sorted(enterprises_of):
                workers = self.met[counted_on, (day, uscc, province)]
                for enterprise in (uscc, None):
                    if new := len(workers - known[enterprise]):
                        counts[counted_on][day, enterprise, province] += new
                    known[enterprise] |= workers
        return counts

    def first_time(self) -> dict[tuple[date, str], set[bytes]]:
        """Return by counting day and province the workers who were never charged there before."""
        new_workers: dict[tuple[date, str], set[bytes]] = defaultdict(set)
        known: dict[str, set[bytes]] = defaultdict(set)
        for counted_on, where in sorted(self.met):
            province = where[-1]
            if new := self.met[counted_on, where] - known[province]:
                new_workers[counted_on, province] |= new
                known[province] |= new
        return new_workers

    def _by_province(self) -> dict[tuple[date, str], list[tuple[date, str]]]:
        """Return by insured day and province the counting days and enterprises."""
        by_province: dict[tuple[date, str], list[tuple[date, str]]] = defaultdict(list)
        for counted_on, (day, uscc, province) in self.met:
            by_province[day, province].append((counted_on, uscc))
        return by_province
