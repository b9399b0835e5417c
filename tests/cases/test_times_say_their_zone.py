"""Kind: a time that a person reads is in Asia/Shanghai and says so; UTC among them is read as another day."""

import io
import json
import logging
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from services.cli.operations.decisions import print_decisions
from services.cli.operations.parked_events import print_parked
from services.cli.operations.portal_accounts import print_accounts, print_keys
from services.reporting.register.injuries import order_after_finding
from services.reporting.rendering.texts import shanghai_time
from services.reporting.service_clients import Cover
from shared.contracts.notices import InjuryNoticed
from shared.domain.times import exact_time, read_local_time, shown_time
from shared.runtime.observability import configure_logging
from tests.tidy.source import sources

HOUSE: Final = Path(__file__).parents[2]
UTC_TIME: Final = "2026-11-15T16:10:00.123456Z"
NIGHT: Final = datetime(2026, 11, 15, 16, 10, 0, 123_456, tzinfo=UTC)
IN_SHANGHAI: Final = "2026-11-16 00:10:00+08:00"


@given(st.datetimes(datetime(1901, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - bounds of aware times
def test_a_time_for_people_is_read_back_to_the_second(instant: datetime) -> None:
    assert shown_time(instant).endswith("+08:00")
    assert read_local_time(shown_time(instant)) == instant.replace(microsecond=0)
    assert datetime.fromisoformat(exact_time(instant)) == instant


def test_pages_say_their_zone() -> None:
    """Case 18: the day of a time near midnight is that of Shanghai, on pages as in files."""
    assert shanghai_time(NIGHT) == shanghai_time(UTC_TIME) == IN_SHANGHAI
    assert shanghai_time(None) == shanghai_time("") == ""


def printed(show: Callable[[], None]) -> str:
    """What a command prints."""
    out = io.StringIO()
    with redirect_stdout(out):
        show()
    return out.getvalue()


def test_answers_of_commands_say_their_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    account = {"role": "national", "scope": None, "is_disabled": False, "must_change": True, "last_sign_in_at": None}
    key = {"key_id": 1, "role": "national", "scope": None, "made_by": "a", "revoked_at": None, "last_used_at": None}
    parked = {
        "cursor": "1.0", "topic": "t", "partition": 0, "offset": 1, "reason": "empty", "detail": "",
        "was_resent": False, "record_time_ms": int(NIGHT.timestamp() * 1000),
    }  # fmt: skip
    decision = {"decision_id": 1, "decided_at": UTC_TIME, "person": "a", "request": "POST /x", "content": None}
    for show in (
        lambda: print_accounts([{"name": "a", "made_at": UTC_TIME, **account}]),  # type: ignore[typeddict-item]
        lambda: print_keys([{"name": "a", "ends_at": UTC_TIME, **key}]),  # type: ignore[typeddict-item]
        lambda: print_parked([parked]),  # type: ignore[list-item]
        lambda: print_decisions([decision]),  # type: ignore[list-item]
    ):
        assert IN_SHANGHAI in printed(show)


def test_a_finding_says_its_zone() -> None:
    notice = InjuryNoticed(
        notice_id="n-1",
        worker_id="5d" * 32,
        injured_at=NIGHT - timedelta(hours=1),
        noticed_at=NIGHT - timedelta(minutes=5),
    )
    cover = Cover(enterprise="91000000FAKE00001F", order_id="T-1", accepted_at=NIGHT, province="44", recorded_at=NIGHT)
    finding = order_after_finding(notice, [cover])
    assert finding.detail.endswith(f"at {IN_SHANGHAI}")
    assert finding.evidence["recorded_at"] == "2026-11-16T00:10:00.123456+08:00"


def test_lines_of_a_log_say_their_zone() -> None:
    before = structlog.get_config()
    err = io.StringIO()
    try:
        with redirect_stderr(err):
            configure_logging("one test", "info")
            structlog.get_logger("one test").info("a line")
    finally:
        structlog.configure(**before)
        structlog.contextvars.clear_contextvars()
        logging.getLogger().handlers.clear()
    assert json.loads(err.getvalue())["timestamp"].endswith("+08:00")


@pytest.mark.parametrize("form", ["fromisoformat", "strptime"])
def test_one_module_reads_times(form: str) -> None:
    """Case 19 has its cause in `datetime.fromisoformat`: nothing but the strict reader calls it."""
    places = {source.path for source in sources("services", "shared", "deploy", "tools") if form in source.text}
    assert places <= {"shared/domain/times.py"}
