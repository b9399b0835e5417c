"""Rating by the instant of acceptance, against a second model that decides each question again for each order."""

import itertools
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.calendar import SHANGHAI, day_start, since_epoch_us
from shared.domain.errors import Refused
from shared.domain.money import Amount
from shared.domain.scheme.cancellation import CancellationMode, CancellationRule
from shared.domain.scheme.enrolment import Enrolment, ProvinceJoining
from shared.domain.scheme.enterprise import Enterprise
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import (
    BEFORE_EVERYTHING,
    Charged,
    Excluded,
    ExclusionReason,
    Outcome,
    Scheme,
    Uncovered,
)
from shared.domain.scheme.tariff import TariffLine, end_open_lines, succession_faults

ONE, TWO = "91000000FAKE00001F", "91000000FAKE00002J"
ENTERPRISES = [Enterprise(ONE, "一"), Enterprise(TWO, "二")]
DELIVERY = Industry.INSTANT_DELIVERY
RULE = CancellationRule(
    day_start(date(2022, 7, 1)), CancellationMode.CHARGE_ALL_ACCEPTED, 0, "a test", is_assumption=True
)
NOT_JOINED = Excluded(ExclusionReason.PROVINCE_NOT_IN_PILOT)
NOT_ENROLLED = Excluded(ExclusionReason.ENTERPRISE_NOT_ENROLLED)
EMPLOYEE = Excluded(ExclusionReason.INSURED_AS_EMPLOYEE)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def tariff_line(
    number: int, start: str, end: str | None, amount: int, enterprise: str | None = None, province: str = "31"
) -> TariffLine:
    valid_to = at(end) if end else None
    return TariffLine(number, province, DELIVERY, enterprise, at(start), valid_to, Amount(amount), "a test")


GENERAL = tariff_line(1, "2025-07-01", "2026-10-15T12:00", 700)
CHANGED = tariff_line(2, "2026-10-15T12:00", "2027-01-01", 900)
OWN = tariff_line(3, "2026-01-01", "2026-10-10", 2_500, TWO)


def scheme() -> Scheme:
    return Scheme(
        lines=[GENERAL, CHANGED, OWN],
        provinces=[ProvinceJoining("31", date(2022, 7, 1)), ProvinceJoining("22", date(2026, 7, 1))],
        enterprises=ENTERPRISES,
        enrolments=[
            Enrolment(ONE, "31", DELIVERY, at("2025-07-01")),
            Enrolment(TWO, None, DELIVERY, at("2025-07-01"), at("2026-11-01")),
        ],
        cancellation_rules=[RULE],
    )


@pytest.mark.parametrize(
    ("uscc", "province", "accepted_at", "outcome"),
    [
        (ONE, "31", "2022-06-30T23:59:59.999999", NOT_JOINED),
        (ONE, "31", "2022-07-01T00:00", NOT_ENROLLED),
        (ONE, "31", "2025-06-30T23:59:59.999999", NOT_ENROLLED),
        (ONE, "31", "2025-07-01T00:00", Charged(GENERAL)),
        (ONE, "31", "2026-10-15T11:59:59.999999", Charged(GENERAL)),
        (ONE, "31", "2026-10-15T12:00", Charged(CHANGED)),  # a tariff that changes in the middle of a day
        (ONE, "31", "2027-01-01T00:00", Uncovered()),
        (TWO, "31", "2025-12-31T23:59:59", Charged(GENERAL)),
        (TWO, "31", "2026-01-01T00:00", Charged(OWN)),  # an enterprise's own line goes before the general one
        (TWO, "31", "2026-10-10T00:00", Charged(GENERAL)),
        (TWO, "31", "2026-11-01T00:00", NOT_ENROLLED),
        (TWO, "22", "2026-06-30T23:59:59", NOT_JOINED),  # enrolled everywhere: where a province has joined
        (TWO, "22", "2026-07-01T00:00", Uncovered()),
        (ONE, "22", "2026-07-01T00:00", NOT_ENROLLED),
        (ONE, "99", "2026-07-01T00:00", NOT_JOINED),
    ],
)
def test_the_outcome_goes_by_the_acceptance(uscc: str, province: str, accepted_at: str, outcome: Outcome) -> None:
    assert scheme().rate(uscc, province, DELIVERY, at(accepted_at), is_employee=False) == outcome


@pytest.mark.parametrize(
    ("uscc", "accepted_at", "outcome"),
    [
        (ONE, "2022-01-01", NOT_JOINED),  # the province is checked first, then the enrolment, then the worker
        (ONE, "2023-01-01", NOT_ENROLLED),
        (ONE, "2026-01-01", EMPLOYEE),
        (ONE, "2027-06-01", EMPLOYEE),  # nothing is due, so no tariff line is missed
    ],
)
def test_an_employee_is_not_charged(uscc: str, accepted_at: str, outcome: Outcome) -> None:
    assert scheme().rate(uscc, "31", DELIVERY, at(accepted_at), is_employee=True) == outcome


def test_another_industry_is_another_enrolment() -> None:
    rated = scheme().rate(ONE, "31", Industry.RIDE_HAILING, at("2026-10-01"), is_employee=False)
    assert rated == NOT_ENROLLED


def test_the_offset_of_the_acceptance_does_not_matter() -> None:
    same_instant = at("2026-10-15T12:00").astimezone(UTC)
    assert scheme().rate(ONE, "31", DELIVERY, same_instant, is_employee=False) == Charged(CHANGED)


def test_a_timeline_names_every_change_once() -> None:
    starts, outcomes = scheme().timeline(TWO, "31", DELIVERY)
    changes = ["2022-07-01", "2025-07-01", "2026-01-01", "2026-10-10", "2026-10-15T12:00", "2026-11-01"]
    assert starts == [BEFORE_EVERYTHING, *(since_epoch_us(at(change)) for change in changes)]
    assert outcomes == [
        NOT_JOINED,
        NOT_ENROLLED,
        Charged(GENERAL),
        Charged(OWN),
        Charged(GENERAL),
        Charged(CHANGED),
        NOT_ENROLLED,
    ]


def test_what_the_scheme_tells_of_itself() -> None:
    reported = scheme()
    assert reported.line(3) is OWN
    assert dict(reported.lines) == {1: GENERAL, 2: CHANGED, 3: OWN}
    assert reported.names == {ONE: "一", TWO: "二"}
    assert list(reported.enterprises.values()) == ENTERPRISES
    assert reported.joined_at["22"] == at("2026-07-01")
    assert ONE in reported.enterprises
    assert "91000000FAKE00003M" not in reported.enterprises
    assert reported.warnings == ()
    with pytest.raises(KeyError):
        reported.line(4)


def test_the_rule_in_force_at_acceptance_decides() -> None:
    later = CancellationRule(
        at("2026-10-02T08:00"), CancellationMode.REVERSE_ALL_CANCELLED, 0, "a test", is_assumption=True
    )
    both = Scheme([GENERAL], [], [], [], [later, RULE])
    assert both.cancellation_rule(at("2026-10-02T07:59:59")) == RULE
    assert both.cancellation_rule(at("2026-10-02T08:00")) == later
    assert both.cancellation_rule(at("2020-01-01")) == RULE


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([GENERAL, tariff_line(1, "2027-01-01", None, 700)], "number 1 is given twice"),
        ([GENERAL, tariff_line(9, "2026-10-01", None, 700)], "line 9 overlaps line 1"),
        ([GENERAL, tariff_line(9, "2026-10-16", None, 700)], "line 9 leaves a gap after line 1"),
        ([tariff_line(8, "2026-10-16", None, 700), tariff_line(9, "2026-10-16", None, 700)], "overlaps"),
    ],
)
def test_a_scheme_refuses_lines_that_do_not_follow_on_each_other(lines: list[TariffLine], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        Scheme(lines, [], [], [], [RULE])


def test_a_scheme_needs_a_cancellation_rule_from_the_first_day() -> None:
    with pytest.raises(Refused, match="at least one"):
        Scheme([GENERAL], [], [], [], [])
    with pytest.raises(Refused, match="province 31 joined before"):
        Scheme([GENERAL], [ProvinceJoining("31", date(2022, 6, 30))], [], [], [RULE])


def test_an_open_line_is_ended_by_the_next_one_of_its_kind_only() -> None:
    first = tariff_line(1, "2025-07-01", None, 700)
    own = tariff_line(2, "2026-01-01", None, 2_500, ONE)
    elsewhere = tariff_line(3, "2026-01-01", None, 700, province="32")
    after = tariff_line(4, "2027-01-01", None, 800)
    ended = {line.number: line.valid_to for line in end_open_lines([after, own, elsewhere, first])}
    assert ended == {1: at("2027-01-01"), 2: None, 3: None, 4: None}


HOURS = st.integers(0, 40)
ORIGIN = at("2026-10-01")


def hour(number: int) -> datetime:
    return ORIGIN + timedelta(hours=number)


@st.composite
def successions(draw: st.DrawFn) -> list[TariffLine]:
    """Lines for two provinces, for any enterprise and for the second one, that follow on each other."""
    lines: list[TariffLine] = []
    for province in ("31", "32"):
        for enterprise in (None, TWO):
            bounds = sorted(draw(st.sets(HOURS, max_size=5)))
            for start, end in itertools.pairwise(bounds):
                number = len(lines) + 1
                lines.append(
                    TariffLine(number, province, DELIVERY, enterprise, hour(start), hour(end), Amount(number), "n")
                )
    return lines


enrolments = st.lists(
    st.tuples(st.sampled_from((ONE, TWO)), st.sampled_from((None, "31", "32")), HOURS, HOURS | st.none()),
    max_size=6,
).map(
    lambda drawn: [
        Enrolment(uscc, province, DELIVERY, hour(start), None if end is None else hour(end))
        for uscc, province, start, end in drawn
        if end is None or start < end
    ]
)
joinings = st.dictionaries(st.sampled_from(("31", "32")), st.sampled_from((date(2026, 10, 1), date(2026, 10, 2))))


def model(
    place: tuple[str, str],
    instant: datetime,
    lines: list[TariffLine],
    enrolled: list[Enrolment],
    joined: dict[str, date],
) -> Outcome:
    """The four questions in their order, each answered by a scan of everything."""
    uscc, province = place
    if province not in joined or instant.astimezone(SHANGHAI).date() < joined[province]:
        return NOT_JOINED
    if not any(
        enrolment.uscc == uscc
        and enrolment.province in (None, province)
        and enrolment.enrolled_from <= instant
        and (enrolment.enrolled_to is None or instant < enrolment.enrolled_to)
        for enrolment in enrolled
    ):
        return NOT_ENROLLED
    for wanted in (uscc, None):
        for line in lines:
            end = line.valid_to or datetime.max.replace(tzinfo=UTC)
            if (line.province, line.enterprise) == (province, wanted) and line.valid_from <= instant < end:
                return Charged(line)
    return Uncovered()


@given(successions(), enrolments, joinings, st.integers(-60, 60 * 48))
def test_rate_and_timeline_agree_with_the_model(
    lines: list[TariffLine], enrolled: list[Enrolment], joined: dict[str, date], minute: int
) -> None:
    provinces = [ProvinceJoining(code, day) for code, day in joined.items()]
    built = Scheme(lines, provinces, ENTERPRISES, enrolled, [RULE])
    instant = ORIGIN + timedelta(minutes=minute)
    for uscc in (ONE, TWO):
        for province in ("31", "32"):
            expected = model((uscc, province), instant, lines, enrolled, joined)
            starts, outcomes = built.timeline(uscc, province, DELIVERY)
            assert built.rate(uscc, province, DELIVERY, instant, is_employee=False) == expected
            assert outcomes[bisect_right(starts, since_epoch_us(instant)) - 1] == expected
            assert starts == sorted(set(starts))


@given(successions(), st.randoms(use_true_random=False))
def test_successions_have_no_fault_in_whatever_order_they_are_read(lines: list[TariffLine], shuffler: object) -> None:
    shuffler.shuffle(lines)  # type: ignore[attr-defined]
    assert list(succession_faults(lines)) == []
    assert sorted(end_open_lines(lines), key=lambda line: line.number) == sorted(lines, key=lambda line: line.number)
