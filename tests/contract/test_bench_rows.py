"""What `python -m benchmarks --json` promises of its rows, and that the rows of the table can be asked for by name."""

import pytest

from benchmarks.suite import MEASUREMENTS, SHORT, UnknownRowError, choose
from benchmarks.table import Row, as_text, from_runs


@pytest.mark.parametrize(
    ("value", "target", "is_at_most", "holds"),
    [(0.6, 0.6, False, True), (0.59, 0.6, False, False), (250.0, 250.0, True, True), (250.1, 250.0, True, False)],
)
def test_a_target_itself_holds(value: float, target: float, is_at_most: bool, holds: bool) -> None:
    reported = Row("name", "what", "x", value, target, is_at_most).as_json()
    assert (reported["name"], reported["value"], reported["target"], reported["holds"]) == (
        "name",
        value,
        target,
        holds,
    )


def test_the_median_of_the_runs_is_told_with_their_spread_and_what_that_run_found() -> None:
    runs = [{"ratio": ratio, "run": place} for place, ratio in enumerate((0.9, 0.2, 0.5, 0.7, 0.4))]
    row = from_runs("name", "what", "x", runs, "ratio", 0.6)
    assert (row.value, row.spread, row.runs, row.measured["run"], row.holds) == (0.5, (0.2, 0.9), 5, 2, False)
    assert "0.5 x (0.2 to 0.9)" in as_text([row])


def test_a_row_is_measured_by_name_and_an_unknown_name_is_refused() -> None:
    names = [name for measurement in MEASUREMENTS for name in measurement.rows]
    assert len(names) == len(set(names))
    assert [measurement.rows for measurement in choose(MEASUREMENTS, ["day_mix"])] == [("day_mix",)]
    assert choose(MEASUREMENTS, []) == list(MEASUREMENTS)
    with pytest.raises(UnknownRowError, match="growht"):
        choose(MEASUREMENTS, ["day_mix", "growht"])


def test_the_short_form_measures_rows_of_the_table() -> None:
    assert {name for measurement in SHORT for name in measurement.rows} <= {
        name for measurement in MEASUREMENTS for name in measurement.rows
    }
