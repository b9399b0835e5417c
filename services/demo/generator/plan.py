"""Plan who works where in a generated month, from the scheme, so that any scheme directory can be played."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final

from shared.adapters.files.regions import known_regions
from shared.contracts.topics import orders_topic
from shared.domain.calendar import Month, day_start
from shared.domain.errors import Refused
from shared.domain.scheme.enterprise import check_digit
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import Charged, Excluded, ExclusionReason, Scheme
from shared.domain.scheme.worker import worker_token

DEMO_KEY: Final = b"danbao: a key for made-up workers"
"""Not a secret: the workers are invented. A real scheme key is issued by the national platform."""

PROVINCES_OF_AN_ENTERPRISE: Final = 4
ORDERS_OF_A_WORKER: Final = 60
REGIONS_OF_A_PROVINCE: Final = 12
PREFERRED: Final = ("44", "31", "51", "11", "33", "32", "50", "42", "37", "46", "22", "66")
"""Where the demo's enterprises work when they may work everywhere: large provinces, old and new in the scheme."""

SHARE: Final[Mapping[Industry, float]] = {
    Industry.RIDE_HAILING: 0.30,
    Industry.FOOD_DELIVERY: 0.60,
    Industry.INSTANT_DELIVERY: 0.60,
    Industry.INTRACITY_FREIGHT: 0.10,
}
OUTSIDE_SHARE: Final = 0.006
"""Share of orders that an enterprise takes where it is not enrolled: they are excluded."""

EMPLOYED_EACH: Final = 25
UNCONFIRMED_EACH: Final = 3
AGENCY_EACH: Final = 3


@dataclass(frozen=True, slots=True)
class Worker:
    """A token, and the optional fields of this worker's orders as JSON text."""

    token: str
    tail: str


@dataclass(frozen=True, slots=True)
class Employee:
    """A worker said to be insured as an employee; the national platform's roster confirms it or not."""

    uscc: str
    token: str
    insurance_no: str
    is_on_roster: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """An enterprise in one industry and province; `weight` is its share of all orders."""

    uscc: str
    topic: str
    province: str
    industry: Industry
    regions: Sequence[str]
    workers: Sequence[Worker]
    weight: float


@dataclass(frozen=True, slots=True)
class Plan:
    operations: Sequence[Operation]
    employees: Sequence[Employee]


def make_plan(scheme: Scheme, month: Month, orders: int, seed: int) -> Plan:
    """Plan the operations of a month; raises Refused when the scheme covers no enterprise in it."""
    covered = list(_places(scheme, month))
    if not covered:
        raise Refused(f"no enterprise of the scheme directories is enrolled in {month}")
    weights = _weights(covered) + _outside_weights(outside := list(_outside(scheme, month, covered)))
    employees: list[Employee] = []
    operations = []
    for place, weight in zip(covered + outside, weights, strict=True):
        workers = _workers(place, max(3, round(orders * weight / ORDERS_OF_A_WORKER)), seed, employees)
        uscc, province, industry = place
        operations.append(
            Operation(uscc, orders_topic(uscc), province, industry, regions_of(province), workers, weight)
        )
    return Plan(operations, employees)


@cache
def regions_of(province: str) -> tuple[str, ...]:
    """Return some county and district codes of a province, equal in every run."""
    known = sorted(code for code in known_regions() if code[:2] == province and not code.endswith("00"))
    step = max(1, len(known) // REGIONS_OF_A_PROVINCE)
    return tuple(known[::step][:REGIONS_OF_A_PROVINCE]) or (f"{province}0000",)


def agency_of(number: int) -> str:
    """Return an invented agency code with a valid check digit."""
    first = f"91000000FAKE9{number:04d}"
    return first + check_digit(first)


Place = tuple[str, str, Industry]


def _places(scheme: Scheme, month: Month) -> Iterator[Place]:
    """Yield places where each enterprise is covered at some time of the month, a few provinces of each industry."""
    for uscc, industry in product(sorted(scheme.enterprises), Industry):
        covered = [code for code in _by_preference(scheme) if _is_charged(scheme, month, (uscc, code, industry))]
        shift = int(hashlib.sha256(uscc.encode()).hexdigest(), 16) % max(
            1, len(covered) - PROVINCES_OF_AN_ENTERPRISE + 1
        )
        start = min(shift, 3)
        for code in covered[start : start + PROVINCES_OF_AN_ENTERPRISE]:
            yield uscc, code, industry


def _outside(scheme: Scheme, month: Month, covered: Sequence[Place]) -> Iterator[Place]:
    """Yield for each enterprise one place, if any, in which it is not enrolled."""
    for uscc in dict.fromkeys(place[0] for place in covered):
        industry = next(place[2] for place in covered if place[0] == uscc)
        not_yet = Excluded(ExclusionReason.ENTERPRISE_NOT_ENROLLED)
        places = [(uscc, code, industry) for code in _by_preference(scheme)]
        excluded = [
            place for place in places if scheme.rate(*place, day_start(month.last_day), is_employee=False) == not_yet
        ]
        # Where it is about to be enrolled comes first: there it works already.
        yield from sorted(excluded, key=lambda place: not _is_charged(scheme, month.next(), place))[:1]


def _by_preference(scheme: Scheme) -> list[str]:
    joined = sorted(scheme.joined_at)
    return [code for code in PREFERRED if code in scheme.joined_at] + [c for c in joined if c not in PREFERRED]


def _is_charged(scheme: Scheme, month: Month, place: Place) -> bool:
    uscc, province, industry = place
    days = (month.first_day, month.last_day)
    return any(isinstance(scheme.rate(uscc, province, industry, day_start(d), False), Charged) for d in days)


def _weights(places: Sequence[Place]) -> list[float]:
    """Return each place's share of orders, by industry and falling; they sum to 1 minus OUTSIDE_SHARE."""
    raw = []
    for number, (_, _, industry) in enumerate(places):
        raw.append(SHARE[industry] / sum(place[2] is industry for place in places) * (1.0 + 0.15 * (number % 4)))
    return [weight / sum(raw) * (1 - OUTSIDE_SHARE) for weight in raw]


def _outside_weights(places: Sequence[Place]) -> list[float]:
    return [OUTSIDE_SHARE / len(places)] * len(places)


def _workers(place: Place, count: int, seed: int, employees: list[Employee]) -> list[Worker]:
    """Invent workers; every tenth also works for the next enterprise, and a few are insured as employees."""
    uscc, province, industry = place
    workers = []
    for number in range(count):
        owner = "shared" if number % 10 == 9 else uscc
        token = worker_token(DEMO_KEY, "DEMO", f"{seed}-{owner}-{province}-{industry.code}-{number}")
        tail = f',"agency_uscc":"{agency_of(number % 7)}"' if number % AGENCY_EACH == 0 else ""
        is_employed = number % EMPLOYED_EACH == EMPLOYED_EACH - 1 or (number == count - 1 and province == PREFERRED[0])
        if is_employed and industry is not Industry.RIDE_HAILING:
            insurance_no = f"GS{province}-{industry.code}{number:06d}"
            tail += f',"employer_insurance_no":"{insurance_no}"'
            is_on_roster = len(employees) % UNCONFIRMED_EACH != 1
            employees.append(Employee(uscc, token, insurance_no, is_on_roster))
        workers.append(Worker(token, tail))
    return workers
