"""What a cancellation does to a charge, by the rule in force at acceptance."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.scheme.cancellation import CancellationMode, CancellationRule, reverses

ACCEPTED_AT = datetime(2026, 10, 1, 12, tzinfo=UTC)


def rule(mode: CancellationMode, elapsed_seconds: int = 60) -> CancellationRule:
    return CancellationRule(datetime(2022, 7, 1, tzinfo=UTC), mode, elapsed_seconds, "a test", is_assumption=True)


DEFAULT = rule(CancellationMode.CHARGE_IF_DEPARTED_OR_ELAPSED)
ALL = rule(CancellationMode.CHARGE_ALL_ACCEPTED)
NONE = rule(CancellationMode.REVERSE_ALL_CANCELLED)


@pytest.mark.parametrize(
    ("given_rule", "seconds", "departed", "is_reversed"),
    [
        (DEFAULT, 0, False, True),
        (DEFAULT, 59.999999, False, True),
        (DEFAULT, 60, False, False),
        (DEFAULT, 3_600, False, False),
        (DEFAULT, 0, True, False),
        (DEFAULT, 60, True, False),
        (DEFAULT, -5, False, True),  # a clock that ran behind: no time has passed
        (rule(CancellationMode.CHARGE_IF_DEPARTED_OR_ELAPSED, 0), 0, False, False),
        (ALL, 0, False, False),
        (ALL, 3_600, True, False),
        (NONE, 0, False, True),
        (NONE, 3_600, True, True),
    ],
)
def test_reversal(given_rule: CancellationRule, seconds: float, departed: bool, is_reversed: bool) -> None:
    cancelled_at = ACCEPTED_AT + timedelta(seconds=seconds)
    assert reverses(given_rule, ACCEPTED_AT, cancelled_at, departed) is is_reversed


def test_every_mode_has_a_case_above() -> None:
    assert {DEFAULT.mode, ALL.mode, NONE.mode} == set(CancellationMode)
