"""What `python -m benchmarks --json` promises of its rows, and that the rows of the table can be requested by name."""

import pytest

from benchmarks import growth
from benchmarks.suite import MEASUREMENTS, SHORT, UnknownRowError, choose
from benchmarks.table import Row, as_text, from_rounds, from_runs
from benchmarks.workers import Stretch, UsageSample, cpu_an_event


@pytest.mark.parametrize(
    ("value", "target", "is_at_most", "holds"),
    [(0.6, 0.6, False, True), (0.59, 0.6, False, False), (250.0, 250.0, True, True), (250.1, 250.0, True, False)],
)
def test_a_target_itself_holds(value: float, target: float, is_at_most: bool, holds: bool) -> None:
    row = Row("name", "what", "x", value, target, is_at_most).as_json()
    assert (row["name"], row["value"], row["target"], row["holds"]) == ("name", value, target, holds)


def test_a_row_of_several_runs_shows_their_median_and_spread() -> None:
    runs = [{"ratio": ratio, "run": place} for place, ratio in enumerate((0.9, 0.2, 0.5, 0.7, 0.4))]
    row = from_runs("name", "what", "x", runs, "ratio", 0.6)
    assert (row.value, row.spread, row.runs, row.measured["run"], row.holds) == (0.5, (0.2, 0.9), 5, 2, False)
    assert [cell.strip() for cell in as_text([row]).splitlines()[1].split("  ") if cell] == [
        "name", "0.5 x", "0.2 to 0.9 of 5", ">= 0.6 x", "NO", "what",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spread", "reason"),
    [
        ((0.79, 0.83), ""),
        ((0.79, 0.85), "the spread of 0.06 is not under a quarter of the distance of 0.2 from the target; the disk"),
        (None, "measured once, so its spread is unknown (--rounds 3 measures it); the disk"),
    ],
)
def test_a_row_whose_spread_is_too_wide_for_its_distance_from_the_target_says_why(
    spread: tuple[float, float] | None, reason: str
) -> None:
    row = Row("name", "what", "x", 0.8, 0.6, runs=3, spread=spread, noise="the disk")
    assert (row.unsteady_because, row.is_steady) == (reason, not reason)
    assert row.as_json()["unsteady_because"] == reason
    assert as_text([row]).splitlines()[2:] == ([f"name may change: {reason}"] if reason else [])


def test_rounds_of_a_row_give_their_median_and_the_spread_of_the_values_that_each_round_shows() -> None:
    rounds = [Row("name", "what", "x", value, 0.6, runs=5, spread=(0.1, 2.0)) for value in (0.9, 0.7, 0.8)]
    row = from_rounds(rounds)
    assert (row.value, row.spread, row.runs, len(row.measured["rounds"])) == (0.8, (0.7, 0.9), 3, 3)
    assert from_rounds(rounds[:1]) == rounds[0]


def test_growth_compares_the_windows_between_checkpoints_and_leaves_out_all_others() -> None:
    steady = [(float(at), 100, 1.0) for at in range(300)]
    slow = [(at, rows, 10.0 if at < 50 or 100 <= at < 120 or 200 <= at < 220 else taken) for at, rows, taken in steady]
    thirds = growth.divide(slow, [(30.5, 49.5), (99.5, 119.5), (199.5, 219.5)])
    compared = growth.compare_thirds(thirds, 30_000, [growth.Progress(0.0, 0, {})])
    assert (compared["ratio"], compared["ratio_least"], compared["ratio_most"]) == (1.0, 1.0, 1.0)
    assert compared["thirds_rows"] == [5_000, 8_000, 8_000]


def test_growth_refuses_thirds_that_are_too_short_for_a_spread() -> None:
    with pytest.raises(growth.TooFewRowsError, match="thirds of 1, 1, 1 windows"):
        growth.compare_thirds([[(0.0, 100, 1.0)]] * 3, 300, [growth.Progress(0.0, 0, {})])


def test_cpu_of_a_stretch_is_read_between_the_looks_around_its_ends() -> None:
    samples = [UsageSample(float(at), at * 100, {"worker": at * 0.5}) for at in range(5)]
    assert cpu_an_event(samples, Stretch(0.5, 3.5, 300)) == {"worker": 5_000.0}
    assert cpu_an_event([UsageSample(0.0, 0, {}), UsageSample(4.0, 400, {})], Stretch(0.5, 3.5, 300)) == {}


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
