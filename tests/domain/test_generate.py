"""The generated month: the same bytes for a seed, everything in it that a month of real events would hold."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from services.demo.generator.bad_input import BAD_INPUT
from services.demo.generator.month import Wanted, generate
from services.demo.generator.plan import make_plan
from services.demo.generator.records import Record, read_lines, write_line
from shared.adapters.files.scheme import load_scheme
from shared.contracts.events import (
    SOURCE_PREFIX,
    Cancellation,
    DayDeclared,
    Event,
    Order,
    OrderAccepted,
    OrderCancelled,
    OrderCompleted,
)
from shared.contracts.topics import enterprise_of
from shared.domain.calendar import SHANGHAI, Month, instant_of, insured_day
from shared.domain.errors import Refused, RefusedLine
from shared.domain.money import parse_yuan
from shared.domain.scheme.enterprise import is_valid_uscc
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import Charged, Scheme

DEPLOY = Path(__file__).parents[2] / "deploy"
OCTOBER = Month(2026, 10)
ORDERS = 6_000
DECODER = msgspec.json.Decoder(Event)


@pytest.fixture(scope="module")
def scheme() -> Scheme:
    return load_scheme([DEPLOY / "tariffs", DEPLOY / "demo"])


@pytest.fixture(scope="module")
def records(scheme: Scheme) -> Sequence[Record]:
    return list(generate(scheme, Wanted(ORDERS, 7, OCTOBER)))


@pytest.fixture(scope="module")
def events(records: Sequence[Record]) -> list[tuple[Record, Event]]:
    return [(record, event) for record in records if (event := decoded(record)) is not None]


def decoded(record: Record) -> Event | None:
    """The event of a record that is taken, None for one that must be parked for its form."""
    try:
        event: Event = DECODER.decode(record.value)
        return event
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def acceptances(events: list[tuple[Record, Event]]) -> list[tuple[Record, OrderAccepted]]:
    """Good ones only, each once, without what bad input, conflicts and re-sends add."""
    first: dict[tuple[str, str, int], tuple[Record, OrderAccepted]] = {}
    for record, event in events:
        is_own = event.source == SOURCE_PREFIX + (enterprise_of(record.topic) or "")
        if isinstance(event, OrderAccepted) and is_own and not record.key.startswith(b"bad-"):
            first.setdefault((event.source, event.data.series, event.data.sequence), (record, event))
    return list(first.values())


def test_same_seed_gives_the_same_bytes(scheme: Scheme, records: Sequence[Record]) -> None:
    again = list(generate(scheme, Wanted(ORDERS, 7, OCTOBER)))
    assert again == records
    assert list(generate(scheme, Wanted(ORDERS, 8, OCTOBER))) != records


def test_records_come_in_order_of_their_time(records: Sequence[Record]) -> None:
    assert all(earlier.time_ms <= later.time_ms for earlier, later in pairwise(records))


def test_accepted_orders_are_as_many_as_wanted(events: list[tuple[Record, Event]]) -> None:
    orders = {
        (event.source, event.data.order_id) for _, event in acceptances(events)
        if OCTOBER.contains(insured_day(event.data.accepted_at))
    }  # fmt: skip
    assert len(orders) == ORDERS


def test_every_series_is_numbered_without_a_gap(events: list[tuple[Record, Event]]) -> None:
    numbers = defaultdict(list)
    for _, event in sorted(acceptances(events), key=lambda each: each[1].data.accepted_at):
        numbers[event.source, event.data.series].append(event.data.sequence)
    assert len(numbers) > 8
    assert all(used == list(range(1, len(used) + 1)) for used in numbers.values())


def test_three_industries_several_provinces_and_peaks(events: list[tuple[Record, Event]]) -> None:
    made = [event.data for _, event in acceptances(events)]
    assert {order.industry for order in made} == {"ride_hailing", "instant_delivery", "intracity_freight"}
    assert len({order.acceptance_region[:2] for order in made}) >= 6
    hours = {
        industry: Counter(order.accepted_at.astimezone(SHANGHAI).hour for order in made if order.industry == industry)
        for industry in ("ride_hailing", "instant_delivery")
    }
    meals, rides = hours["instant_delivery"], hours["ride_hailing"]
    assert min(meals[12], meals[18]) > 1.5 * max(meals[15], meals[9])
    assert min(rides[8], rides[18]) > 1.3 * max(rides[12], rides[22])


def test_late_early_and_repeated_events(records: Sequence[Record], events: list[tuple[Record, Event]]) -> None:
    late = [
        (record, event)
        for record, event in events
        if not isinstance(event, DayDeclared) and not record.key.startswith(b"bad-")
    ]
    ages = [instant_of(record.time_ms * 1_000) - event.data.accepted_at for record, event in late]
    assert max(ages) < timedelta(days=30)
    assert sum(age > timedelta(days=2) for age in ages) > 10
    assert any(insured_day(event.data.accepted_at).month == 9 for _, event in late)
    assert any(instant_of(record.time_ms * 1_000).month == 11 for record, _ in late)
    values = Counter((record.topic, record.value) for record in records)
    assert sum(count > 1 for count in values.values()) > 50
    assert any(b'"id":"again-' in record.value for record in records)


def test_completions_before_their_acceptances(events: list[tuple[Record, Event]]) -> None:
    accepted = {(e.source, e.data.order_id, e.data.worker_id): r.time_ms for r, e in acceptances(events)}
    early = [
        record for record, event in events
        if isinstance(event, OrderCompleted)
        and record.time_ms < accepted.get((event.source, event.data.order_id, event.data.worker_id), 0)
    ]  # fmt: skip
    assert early


def test_cancellations_of_every_sort_and_reassignments(events: list[tuple[Record, Event]]) -> None:
    made = [event.data for _, event in events if isinstance(event, OrderCancelled)]
    sorts = {(order.departed, _seconds(order) < 60) for order in made}
    assert len(sorts) == 4
    assert {order.reason for order in made} == {"customer", "worker", "enterprise", "other"}
    workers = defaultdict(set)
    for _, event in acceptances(events):
        workers[event.source, event.data.order_id].add(event.data.worker_id)
    assert sum(len(worker) > 1 for worker in workers.values()) > 20


def _seconds(data: Cancellation) -> float:
    return (data.cancelled_at - data.accepted_at).total_seconds()


def test_employees_some_of_them_not_on_the_roster(scheme: Scheme, events: list[tuple[Record, Event]]) -> None:
    plan = make_plan(scheme, OCTOBER, ORDERS, 7)
    assert {employee.is_on_roster for employee in plan.employees} == {True, False}
    named = {event.data.worker_id for _, event in acceptances(events) if event.data.employer_insurance_no}
    assert named <= {employee.token for employee in plan.employees}
    assert named


def test_every_kind_of_bad_input_is_there(records: Sequence[Record]) -> None:
    assert sum(decoded(record) is None for record in records) >= len(BAD_INPUT) // 2
    assert b"" in {record.value for record in records}


def test_declarations_say_what_was_accepted(scheme: Scheme, events: list[tuple[Record, Event]]) -> None:
    counted: Counter[tuple[object, ...]] = Counter()
    for _, event in acceptances(events):
        data, uscc = event.data, event.source.removeprefix(SOURCE_PREFIX)
        province = data.acceptance_region[:2]
        is_employee = data.employer_insurance_no is not None
        if isinstance(scheme.rate(uscc, province, _industry(data), data.accepted_at, is_employee), Charged):
            counted[uscc, insured_day(data.accepted_at), province, data.industry] += 1
    declared = {(event.source, event.data.day): event for _, event in events if isinstance(event, DayDeclared)}
    assert len(declared) == 31 * len({source for source, _ in declared})
    for (source, day), declaration in declared.items():
        for total in declaration.data.totals:
            assert counted[source.removeprefix(SOURCE_PREFIX), day, total.province, total.industry] == total.orders
            assert parse_yuan(total.premium_yuan) % total.orders == 0


def _industry(data: Order) -> Industry:
    return Industry(data.industry)


def test_agencies_and_other_enterprises_have_valid_codes(records: Sequence[Record]) -> None:
    agencies = {
        event.data.agency_uscc for record in records[:2_000] if isinstance(event := decoded(record), OrderAccepted)
    }
    assert all(is_valid_uscc(agency) for agency in agencies if agency)


def test_lines_are_read_back(records: Sequence[Record]) -> None:
    some = [record for record in records if decoded(record) is None] + list(records[:500])
    assert list(read_lines([write_line(record) for record in some], "month.ndjson")) == some


def test_a_bad_line_is_named() -> None:
    with pytest.raises(RefusedLine, match=r"month\.ndjson:2: not a record"):
        list(read_lines([b"\n", b'{"topic":1}\n'], "month.ndjson"))


def test_too_few_orders_are_refused(scheme: Scheme) -> None:
    with pytest.raises(Refused, match="at least 100"):
        next(generate(scheme, Wanted(5, 1, OCTOBER)))
