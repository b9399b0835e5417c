"""The database accepts every value that a contract type accepts, up to the ends of its bounds.

A reader may refuse such a message as one that nobody can have meant; that the database refuses it (`unstorable`), or
that its handling fails (`unprocessable`), would be a bound that is missing. The seed is in the name of the test.
"""

import json
from collections.abc import Iterable
from datetime import date
from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import replace
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from services.charging.close.take_closing import ClosingRules
from services.national_platform.reports import report_store
from services.national_platform.reports.report_store import Delivery
from services.national_platform.tables import COVERAGE_LINE
from services.reporting.message_intake import Intake
from services.reporting.register.discrepancies import Discrepancy, record
from services.reporting.tables import DAY_FIGURE, DISCREPANCY
from shared.adapters.postgres.engine import open_engine
from shared.contracts.events import Declaration
from shared.contracts.findings import DayFindings, Finding
from shared.contracts.manifests import (
    DayClosed,
    DayClosing,
    DayCounted,
    Outcome,
    PremiumsCharged,
    RemittanceReceived,
    StatementIssued,
    Total,
)
from shared.contracts.notices import InjuryNoticed, TotalReported
from shared.contracts.quarantine import QuarantineReason
from shared.contracts.reports import REPORT
from shared.contracts.topics import (
    DAYS_CLOSED,
    DAYS_CLOSING,
    DAYS_COUNTED,
    INJURIES,
    MANIFESTS,
    REMITTANCES,
    STATEMENTS,
    TOTALS,
)
from tests.attacks.messages import poison_readers
from tests.attacks.messages.poison_messages import DAY, sound
from tests.attacks.messages.poison_readers import Readers, charging_readers
from tests.generators.contract_values import draw
from tests.integration.charging.charging_harness import NOON, RIDES, House, Sent, declared
from tests.integration.ledger.ledger_harness import OPENED_ON, signed
from tests.integration.reporting.reporting_harness import (
    coverage,
    declaration,
    encode,
    migrate_platform,
    migrate_reporting,
    premium_line,
)
from tests.support.authors import METER

pytestmark = pytest.mark.exhaustive

SEEDS: Final = (1,)
NO_REVERSAL = {"reverses": None, "reason": None, "authority": None}
"""A reversal has all three, and names a remittance that is booked."""
EXAMPLES: Final = 20
"""Of one type with one seed: more of them cost less than another database."""
NOT_KEPT: Final = {QuarantineReason.UNDECODABLE, QuarantineReason.UNSTORABLE, QuarantineReason.UNPROCESSABLE}
"""What no message that its type takes may end as."""


ledger, reporting = poison_readers.ledger, poison_readers.reporting


async def read(readers: Readers, topic: str, message: msgspec.Struct) -> bool:
    """Hand it in; whether it was taken."""
    fault = await readers.read(topic, message)
    assert fault is None or fault.reason not in NOT_KEPT, (msgspec.json.encode(message)[:2_000], fault)
    return fault is None


async def read_all(readers: Readers, topic: str, messages: Iterable[msgspec.Struct]) -> int:
    """Hand in each; how many were taken."""
    return sum([await read(readers, topic, message) for message in messages])


def meant(total: Total, kind: str) -> Total:
    """The total with the bounds of its fields kept, made into one that such a manifest may hold."""
    outcome = Outcome.REVERSED if kind == "settlement" else Outcome.CHARGED
    base = abs(total.premium) // total.orders
    sign = -1 if outcome is Outcome.REVERSED else 1
    return replace(
        total,
        insured_on=total.insured_on or date(2199, 12, 31),
        province=total.province or "99",
        industry=total.industry or "food_delivery",
        tariff_line=2**31 - 1 if total.tariff_line is None else total.tariff_line,
        outcome=outcome,
        premium=sign * base * total.orders,
    )


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_ledger_books_every_manifest(ledger: Readers, seed: int) -> None:
    drawn = draw(PremiumsCharged, EXAMPLES, seed, deployment="charging")
    await read_all(ledger, MANIFESTS, (signed(message) for message in drawn))
    sound = [replace(message, totals=[meant(total, message.kind) for total in message.totals]) for message in drawn]
    runs = [replace(message, run=f"{number:032x}", number=1) for number, message in enumerate(sound)]
    waiting = [replace(message, run=f"{number:031x}f") for number, message in enumerate(sound)]
    assert await read_all(ledger, MANIFESTS, map(signed, runs)) == len(runs)
    await read_all(ledger, MANIFESTS, map(signed, waiting))
    assert ledger.ledger is not None
    assert await ledger.ledger.value("select count(*) from ledger.manifest_booked") >= len(runs)


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_ledger_books_every_remittance(ledger: Readers, seed: int) -> None:
    drawn = draw(RemittanceReceived, EXAMPLES, seed, **NO_REVERSAL)
    assert await read_all(ledger, REMITTANCES, drawn) > 0


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_ledger_keeps_every_count(ledger: Readers, seed: int) -> None:
    books = ledger.ledger
    assert books is not None
    drawn = draw(DayCounted, EXAMPLES, seed, deployment="charging", settlement=None)
    await read_all(ledger, DAYS_COUNTED, drawn)
    await books.begin_close(OPENED_ON)
    closing = await books.last_closing()
    place = {"day": closing.day, "attempt": closing.attempt, "cut": closing.cut, "question": msgspec.UNSET}
    nothing: dict[str, list[Any]] = {"totals": [], "workers": [], "first_time": [], "hours": []}
    answers = [replace(message, **place) for message in drawn]
    differing = [answer for answer in answers if any(total.insured_on == closing.day for total in answer.totals)]
    await read_all(ledger, DAYS_COUNTED, differing[:1])
    await books.begin_close(OPENED_ON)
    again = await books.last_closing()
    right = replace(answers[-1], attempt=again.attempt, **nothing)
    assert await read(ledger, DAYS_COUNTED, right)
    assert await books.value("select resends from ledger.day_closed") == right.resends


@pytest.mark.parametrize("seed", SEEDS)
async def test_reporting_keeps_what_it_hears(reporting: Readers, seed: int) -> None:
    heard: dict[str, list[Any]] = {
        MANIFESTS: [signed(message) for message in draw(PremiumsCharged, EXAMPLES, seed, deployment="charging")],
        DAYS_CLOSED: draw(DayClosed, EXAMPLES, seed),
        STATEMENTS: draw(StatementIssued, EXAMPLES, seed),
        REMITTANCES: draw(RemittanceReceived, EXAMPLES, seed, **NO_REVERSAL),
        INJURIES: draw(InjuryNoticed, EXAMPLES, seed),
        TOTALS: draw(TotalReported, EXAMPLES, seed, source=METER),
    }
    for topic, messages in heard.items():
        assert await read_all(reporting, topic, messages) > 0, topic


@pytest.mark.parametrize("seed", SEEDS)
async def test_charging_answers_or_refuses_every_question(house: House, seed: int) -> None:
    readers = charging_readers(house, ClosingRules(by_clock=False))
    drawn = draw(DayClosing, EXAMPLES, seed)
    await read_all(readers, DAYS_CLOSING, drawn)
    assert await read_all(readers, DAYS_CLOSING, (replace(message, cut={}, previous_cut={}) for message in drawn)) > 0


@pytest.mark.parametrize("seed", SEEDS)
async def test_charging_keeps_and_closes_over_every_declaration(house: House, seed: int) -> None:
    worker = await house.worker()
    drawn = draw(Declaration, EXAMPLES, seed)
    today = [
        replace(declaration, day=NOON.date(), declaration_id=f"d{number}") for number, declaration in enumerate(drawn)
    ]
    await worker.charge(*map(_sent, [*drawn, *today]))
    assert await house.value("select count(*) from charging.declaration") >= len(drawn)
    await house.close(f"{NOON:%Y-%m-%d}")


def _sent(declaration: Declaration) -> Sent:
    body = {"specversion": "1.0", "id": "x", "source": f"urn:uscc:{RIDES}", "type": "day.declared.v1"}
    return Sent(msgspec.json.encode(body | {"data": declaration}))


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_register_keeps_every_finding(database: str, seed: int) -> None:
    engine_url = await migrate_reporting(database)
    answers = draw(DayFindings, EXAMPLES // 2, seed)  # each has several of both
    async with open_engine(engine_url) as engine:
        await Intake(engine, lambda: None).take_day_closed(msgspec.json.encode(sound(DAYS_CLOSED)))
        for number, answer in enumerate(answers):
            async with engine.begin() as connection:
                for finding in answer.findings:
                    await record(connection, Discrepancy.of(replace(finding, key=f"{number}.{finding.key}"[:256])))
                    await record(connection, Discrepancy.of(finding))
                for delays in answer.delays:
                    sums = {"delays": delays.orders, "received": sum(delays.orders), "employees": 0}
                    place = {name: getattr(delays, name) for name in ("insured_on", "enterprise", "province")}
                    await connection.execute(
                        insert(DAY_FIGURE).values(day=DAY, **place, **sums).on_conflict_do_nothing()
                    )
        async with engine.connect() as connection:
            assert await connection.scalar(select(func.count()).select_from(DISCREPANCY))
            assert await connection.scalar(select(func.count()).select_from(DAY_FIGURE))


LARGEST: Final[dict[str, Any]] = {"orders": 10**12, "premium_yuan": "-99999999999999.9999", "insured_on": "2199-12-31"}


async def test_the_national_platform_keeps_the_largest_figures(platform_database: str) -> None:
    line = premium_line(**LARGEST, charged=10**12, reversed=-(10**12), tariff_line=2**31 - 1)
    documents = [
        coverage(
            report_id="c" * 128, day="2099-12-31", orders=-(10**12), premium_yuan="99999999999999.99", lines=[line]
        ),
        declaration(report_id="d" * 128, orders=10**12, exact_yuan="-99999999999999.9999", amount_yuan="0.00"),
    ]
    async with open_engine(await migrate_platform(platform_database)) as engine, engine.begin() as connection:
        for document in documents:
            body = encode(document)
            reported = Delivery(reporter="r", idempotency_key="k", signature="s", body=body, provinces=None)
            await report_store.keep_taken(connection, reported, REPORT.validate_json(body, strict=True), [])
        assert await connection.scalar(select(func.sum(COVERAGE_LINE.c.orders))) == 10**12


BEYOND: Final[dict[str, dict[str, Any]]] = {
    "orders": coverage(orders=10**12 + 1),
    "orders below": coverage(orders=-(10**12) - 1),
    "yuan beyond a bigint": coverage(premium_yuan="999999999999999.9999"),
    "a day": coverage(day="2100-01-01"),
    "a day before": coverage(day="2021-12-31"),
    "an insured day": coverage(lines=[premium_line(insured_on="2200-01-01")]),
    "a tariff line": coverage(lines=[premium_line(tariff_line=2**31)]),
    "an industry": coverage(lines=[premium_line(industry="a\0")]),
    "workers": coverage(province_workers=10**12 + 1),
    "a month": declaration(period="2026-13"),
    "a statement": declaration(statement_id="s" * 65),
    "due on": declaration(due_on="9999-12-31"),
}


@pytest.mark.parametrize("what", BEYOND)
def test_a_report_beyond_its_bounds_is_not_decoded(what: str) -> None:
    with pytest.raises(ValidationError):
        REPORT.validate_json(json.dumps(BEYOND[what]), strict=True)


FINDING: Final[dict[str, Any]] = {
    "kind": "late_acceptances", "key": "k", "enterprise": "9" * 18, "insured_on": "2026-10-01", "count": 1,
    "detail": "late", "evidence": {}, "orders": [],
}  # fmt: skip
ORDER: Final[dict[str, Any]] = {"order_id": "o", "accepted_at": None, "worker_id": None}
BEYOND_FINDING: Final[dict[str, dict[str, Any]]] = {
    "a count beyond int8": {"count": 2**63},
    "a key with a zero byte": {"key": "a\0"},
    "a detail with a zero byte": {"detail": "a\0"},
    "a detail of a megabyte": {"detail": "a" * 1_000_000},
    "an enterprise": {"enterprise": "x"},
    "a day": {"insured_on": "9999-12-31"},
    "a province": {"province": "zz"},
    "evidence beyond int8": {"evidence": {"a": 2**70}},
    "evidence with a zero byte": {"evidence": {"a": ["\0"]}},
    "the name of evidence": {"evidence": {"\0": 1}},
    "an order": {"orders": [ORDER | {"order_id": "\0"}]},
    "an order of the year 1": {"orders": [ORDER | {"accepted_at": "0001-01-01T00:00:00+14:00"}]},
    "an order without an offset": {"orders": [ORDER | {"accepted_at": "2026-10-01T00:00:00"}]},
    "a worker in clear": {"orders": [ORDER | {"worker_id": "11010519491231002X"}]},
}


def test_the_finding_that_is_changed_is_right() -> None:
    msgspec.convert(FINDING | {"orders": [ORDER]}, Finding)


@pytest.mark.parametrize("what", BEYOND_FINDING)
def test_a_finding_beyond_its_bounds_is_not_decoded(what: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(FINDING | BEYOND_FINDING[what], Finding)


@pytest.mark.parametrize("day", ["0001-01-01", "1899-12-31", "2200-01-01", "9999-12-31"])
async def test_a_declaration_of_no_possible_day_is_parked(house: House, day: str) -> None:
    worker = await house.worker()
    await worker.charge(declared("d1", day), declared("d2"))
    assert await house.fetch("select reason from charging.parked") == [("bad_value",)]
    assert await house.value("select count(*) from charging.declaration") == 1
