"""The portal's sentences of findings and its charts of days, from texts and figures alone."""

from datetime import date
from typing import Any

import pytest

from services.reporting.read_model.responses import DayPart, Delays, Participation, Period, Sheet, Where
from services.reporting.rendering.finding_text import describe_finding, show_evidence
from services.reporting.rendering.sheet_charts import draw_days
from services.reporting.rendering.texts import LANGUAGES, Language, Translator, read_texts
from shared.contracts.findings import FindingKind
from shared.contracts.parking import ParkReason

UNTOLD = {FindingKind.UNBUILDABLE, FindingKind.DIFFERENT_CONTENT, FindingKind.UNREADABLE_MESSAGE}
"""Faults of ours for an operator: what the register says of them is what a machine said."""
DELAYS = [f"under {bound}: {count}" for bound, count in zip("abcdefgh", (31, 0, 0, 0, 1, 0, 0, 0), strict=True)]


def translator(language: Language) -> Translator:
    return Translator(language, read_texts(), {})


def found(kind: FindingKind, evidence: dict[str, Any], **more: Any) -> dict[str, Any]:
    known = {"count": 1, "day": date(2026, 10, 1), "period": None, "declared": None, "reported": None}
    return known | {"kind": kind, "evidence": evidence} | more


@pytest.mark.parametrize("kind", sorted(set(FindingKind) - UNTOLD))
def test_every_kind_has_a_sentence_in_both_languages(kind: FindingKind) -> None:
    assert len(read_texts()[f"told.{kind}"]) == len(LANGUAGES)


@pytest.mark.parametrize("reason", sorted(ParkReason))
def test_every_park_reason_has_words_in_both_languages(reason: ParkReason) -> None:
    assert len(read_texts()[f"park.{reason}"]) == len(LANGUAGES)


def test_a_sentence_holds_the_figures() -> None:
    evidence = {
        "declaration_id": "d", "received_sha256": "ab", "industry": "ride_hailing", "declared_orders": 1_024,
        "received_orders": 23, "declared_yuan": "10.24", "received_yuan": "0.23",
    }  # fmt: skip
    differing = found(FindingKind.DECLARED_DIFFERENTLY, evidence)
    assert describe_finding(translator("zh"), differing) == "出行：日清单申报 1,024 单、10.24 元，实收 23 单、0.23 元。"
    shown = show_evidence(translator("en"), differing)
    assert [heading for heading, _ in shown.sides] == ["As declared", "As received or reported"]
    assert sorted(shown.sides[0][1], reverse=True) == [("Orders", "1,024"), ("Amount, yuan", "10.24")]
    assert ("Industry", "Ride hailing") in shown.rest


def test_the_other_form_of_a_kind_is_told_too() -> None:
    numbers = found(FindingKind.DECLARED_DIFFERENTLY, {"series": "s1", "not_declared": ["3-5"], "declared_unused": []})
    assert "s1" in (describe_finding(translator("en"), numbers) or "")


def test_what_lacks_its_figures_is_left_to_the_register() -> None:
    assert describe_finding(translator("zh"), found(FindingKind.SEQUENCE_GAP, {"series": "s1"})) is None
    assert describe_finding(translator("zh"), found(FindingKind.UNREADABLE_MESSAGE, {})) is None


def test_a_sentence_is_no_place_for_formats() -> None:
    evil = {"series": "{count.__class__}", "numbers": ["{0}"], "declared_used": 0}
    assert "{count.__class__}" in (describe_finding(translator("en"), found(FindingKind.SEQUENCE_GAP, evil)) or "")


def test_delays_are_shown_by_bucket() -> None:
    late = found(FindingKind.LATE_ACCEPTANCES, {"close": "2026-10-03", "delays": DELAYS})
    shown = show_evidence(translator("zh"), late)
    assert shown.delays == [31, 0, 0, 0, 1, 0, 0, 0]
    assert shown.sides == []
    assert show_evidence(translator("zh"), found(FindingKind.LATE_ACCEPTANCES, {"delays": ["?"]})).delays == []


def test_days_that_nothing_is_known_of_keep_their_place() -> None:
    days = tuple(DayPart(day=date(2026, 10, day), charged=orders) for day, orders in ((1, 0), (2, 5), (4, 7), (5, 0)))
    period = Period(first=days[0].day, last=days[-1].day)
    sheet = Sheet(
        where=Where(), figures=period, before=period, days=days, provinces=(), enterprises=(), industries=(),
        reasons=(), delays=Delays(), hours=None, participation=Participation(), amendments=(),
        amendment_count=0,
    )  # fmt: skip
    drawn = str(draw_days(sheet, translator("en"), lambda day: f"/days/{day}"))
    assert "/days/2026-10-01" not in drawn
    assert [drawn.count(f"/days/2026-10-0{day}") for day in (2, 3, 4, 5)] == [1, 1, 1, 1]
    assert 'points="0.00,5 33.33,0 66.67,7 100.00,0"' in drawn
