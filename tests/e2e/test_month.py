"""A month from events to receipts: its sums, its statements, its audit."""

from collections import Counter

import pytest

from services.cli.operations.rebuild_read_model import rebuild_read_model
from services.demo.demo import OCTOBER
from services.demo.driver import closes_at
from services.demo.generator.month import Wanted, generate
from shared.contracts.parking import ParkReason
from shared.domain.calendar import since_epoch_ms
from shared.domain.money import parse_yuan
from tests.e2e.conftest import ORDERS, SEED, Month
from tests.integration.portal.read_model_harness import misplaced_findings, read_tables

pytestmark = pytest.mark.slow
ALWAYS_FOUND = {
    "unconfirmed_exclusion",  # employees whom the roster does not know
    "not_enrolled",
    "other_content",
    "several_acceptance_times",
    "late_acceptances",  # of the month before, and some of each day
    "parked_events",  # each kind of bad input
}
FOUND_OF_LATE_EVENTS = {
    "sequence_gap",
    "presumed_orders",
    "declared_differently",
    "completion_without_acceptance",
    "cancellation_without_acceptance",
}
"""An acceptance that comes days after its completion, its manifest and the numbers around it."""
NEVER_GENERATED = {
    ParkReason.NO_TARIFF_LINE,
    ParkReason.UNKNOWN_ENTERPRISE,
    ParkReason.CANCELLATION_BEFORE_ACCEPTANCE,
    ParkReason.BAD_VALUE,
    ParkReason.IDENTITY_IN_CLEAR,
    ParkReason.UNKNOWN_VERSION,
    ParkReason.UNSIGNED,  # no enterprise of the demo has a key
    ParkReason.WRONG_AUTHOR,
    ParkReason.UNSTORABLE,  # ours to mend, not an enterprise's
}


def test_every_event_that_was_sent_is_counted_once(month: Month) -> None:
    reported = month.summary.as_json()
    outcomes = ("charged", "excluded", "recorded", "parked", "repeats", "conflicts")
    assert reported["events"] == sum(reported[name] for name in outcomes)
    assert all(reported[name] > 0 for name in outcomes)
    last = since_epoch_ms(closes_at(OCTOBER.last_day, month.system.settings.close_after_hours))
    sent = sum(event.time_ms <= last for event in generate(month.system.scheme, Wanted(ORDERS, SEED, OCTOBER)))
    assert reported["events"] == sent


def test_statements_bill_what_was_charged_and_not_reversed(month: Month) -> None:
    reported = month.summary.as_json()
    assert (
        sum(statement["orders"] for statement in reported["statements"]) == reported["charged"] - reported["reversed"]
    )
    exact = sum(parse_yuan(statement["exact_yuan"]) for statement in month.summary.statements)
    assert parse_yuan(reported["premium_yuan"]) == exact
    keys = [
        (statement["enterprise"], statement["province"], statement["period"]) for statement in reported["statements"]
    ]
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys)) > 20


def test_late_orders_of_the_month_before_are_adjustments_that_name_it(month: Month) -> None:
    lines = [line for statement in month.summary.statements for line in statement["lines"]]
    assert Counter((line["kind"], line["insured_month"]) for line in lines).keys() == {
        ("line", "2026-10"),
        ("adjustment", "2026-09"),
    }


def test_every_report_has_its_receipt(month: Month) -> None:
    reported = month.summary.as_json()
    assert reported["reports_sent"] == reported["receipts"] > 31 * 5
    assert all(place.receipt for place in month.summary.places if place.amount_yuan is not None)


def test_the_register_names_what_the_generator_does_on_purpose_and_nothing_else(month: Month) -> None:
    assert month.summary.differences == []
    kinds = {discrepancy["kind"] for discrepancy in month.summary.discrepancies}
    assert kinds >= ALWAYS_FOUND
    assert kinds <= ALWAYS_FOUND | FOUND_OF_LATE_EVENTS


def test_each_kind_of_bad_input_has_its_reason(month: Month) -> None:
    assert NEVER_GENERATED.isdisjoint({ParkReason(reason) for reason in month.summary.parked_by_reason})
    assert set(month.summary.parked_by_reason) | NEVER_GENERATED >= set(ParkReason)


def test_orders_are_excluded_with_a_reason(month: Month) -> None:
    assert set(month.summary.excluded_by_reason) == {"enterprise_not_enrolled", "insured_as_employee"}


def test_the_audit_passes(month: Month) -> None:
    assert [check for check in month.summary.audit if not check["passed"]] == []
    assert month.summary.has_passed


async def test_the_portal_made_anew_is_what_it_became_day_by_day(month: Month) -> None:
    """With the late days, reversals and findings of the month in it; as `danbao portal rebuild` reports it."""
    url = month.system.variables["DANBAO_DATABASE"]
    before = await read_tables(url)
    assert all(before.values())
    sums = [row.strip("()").split(",") for row in before["daily_sum"]]
    assert [row for row in sums if row[0] != row[4]], "reported by a later close"
    assert [row for row in sums if int(row[6])], "reversed"
    reported = await rebuild_read_model(month.system.settings)
    assert (
        reported == f"{len(before['day_projected'])} days and {len(before['statement_sum'])} statements are projected"
    )
    assert await read_tables(url) == before
    assert await misplaced_findings(url) == []
