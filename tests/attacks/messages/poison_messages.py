"""Poison: for every internal topic, a sound message of each, and messages that must not stop, swell or starve a reader.

The names say what was done with such a message when it stopped a service, or what it is made of.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec

from shared.contracts.manifests import (
    DayClosed,
    DayClosing,
    DayCounted,
    FirstTime,
    Outcome,
    PremiumsCharged,
    RemittanceReceived,
    StatementIssued,
    StatementLine,
    Total,
    WorkerCount,
)
from shared.contracts.notices import InjuryNoticed, TotalReported
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
from tests.integration.ledger.ledger_harness import signed
from tests.support.authors import METER

DAY: Final = date(2026, 10, 1)
ENTERPRISE: Final = "91110000TESTTEST1X"
NOON: Final = datetime(2026, 10, 1, 4, tzinfo=UTC)
TYPES: Final[dict[str, type[msgspec.Struct]]] = {
    MANIFESTS: PremiumsCharged, DAYS_CLOSING: DayClosing, DAYS_COUNTED: DayCounted, DAYS_CLOSED: DayClosed,
    STATEMENTS: StatementIssued, REMITTANCES: RemittanceReceived, INJURIES: InjuryNoticed, TOTALS: TotalReported,
}  # fmt: skip
BYTES: Final = {
    "hello": b"hello",
    "nothing": b"",
    "null": b"null",
    "an empty object": b"{}",
    "a list": b"[]",
    "zeros": b"\0" * 64,
    "no text": b"\xff\xfe\x00",
    "half a character": b'{"day":"\xe4\xbd',
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "a number of 5,000 digits": b"9" * 5_000,
    "half a surrogate": rb'{"run":"\ud800"}',
    "not a number": b'{"attempt":NaN}',
}
"""Poison on every topic."""


def sound(topic: str, number: int = 1) -> msgspec.Struct:
    """A message that its readers take; another one for each number."""
    total = Total(
        insured_on=DAY, enterprise=ENTERPRISE, province="44", industry="instant_delivery", outcome=Outcome.CHARGED,
        tariff_line=3, orders=2, premium=1_400,
    )  # fmt: skip
    line = StatementLine(
        number=1, kind="line", insured_month="2026-10", industry="instant_delivery", tariff_line=3, base_amount=700,
        orders=2, exact_amount=1_400, amount=1_400,
    )  # fmt: skip
    day = date.fromordinal(DAY.toordinal() + number - 1)
    run, digest = "a" * 32, "b" * 64
    made: dict[str, msgspec.Struct] = {
        MANIFESTS: signed(
            PremiumsCharged(run=run, number=number, kind="orders", leaves=2, root=digest, totals=[total])
        ),
        DAYS_CLOSING: DayClosing(day=day, attempt=1, cut={}, previous_cut={}),
        DAYS_COUNTED: DayCounted(
            day=day, attempt=1, cut={run: 1}, settlement=None, totals=[total], workers=[], first_time=[], resends=0,
            unmatched_cancellations=0,
        ),
        DAYS_CLOSED: DayClosed(
            day=day, as_of=datetime(2026, 10, 2, 4, number, tzinfo=UTC),
            totals=[msgspec.structs.replace(total, insured_on=day)],
            workers=[WorkerCount(insured_on=day, enterprise=ENTERPRISE, province="44", workers=1)],
            first_time=[FirstTime(province="44", workers=1)],
        ),
        STATEMENTS: StatementIssued(
            statement_id=f"2026-10.{number:02}.{ENTERPRISE}", enterprise=ENTERPRISE, province=f"{number:02}",
            period="2026-10", as_of=datetime(2026, 11, 2, 4, tzinfo=UTC), due_on=date(2026, 11, 16), lines=[line],
            orders=2, exact_amount=1_400, amount=1_400,
        ),
        REMITTANCES: RemittanceReceived(
            remittance_id=f"bank-{number}", enterprise=ENTERPRISE, province="44", amount_yuan="9.25", received_on=DAY
        ),
        INJURIES: InjuryNoticed(notice_id=f"n-{number}", worker_id="c" * 64, injured_at=NOON, noticed_at=NOON),
        TOTALS: TotalReported(source=METER, enterprise=ENTERPRISE, day=DAY + timedelta(days=number), count=7),
    }  # fmt: skip
    return made[topic]


def poison(topic: str) -> dict[str, bytes]:
    """Name to bytes: everything that is poison on this topic."""
    return BYTES | {name: _with(topic, path, value) for name, (path, value) in _FIELDS[topic].items()}


_TOTAL: Final = {
    "a tariff line beyond int4": ("totals.0.tariff_line", 2**40),
    "a tariff line below zero": ("totals.0.tariff_line", -1),
    "a premium of 2^62": ("totals.0.premium", 2**62),
    "a premium beyond int8": ("totals.0.premium", 2**70),
    "no orders": ("totals.0.orders", 0),
    "10^15 orders": ("totals.0.orders", 10**15),
    "an enterprise x": ("totals.0.enterprise", "x"),
    "an enterprise with a zero byte": ("totals.0.enterprise", "91110000TESTTEST1\0"),
    "an enterprise and a line feed": ("totals.0.enterprise", ENTERPRISE + "\n"),
    "a province zz": ("totals.0.province", "zz"),
    "an unknown industry": ("totals.0.industry", "teleporting"),
    "a reason of a megabyte": ("totals.0.reason", "r" * 1_000_000),
    "a reason with a zero byte": ("totals.0.reason", "a\0b"),
    "an insured day in the year 9999": ("totals.0.insured_on", "9999-12-31"),
    "an insured day in the year 1": ("totals.0.insured_on", "0001-01-01"),
    "a day that is none": ("totals.0.insured_on", "2026-02-30"),
}
_DAY: Final = {
    "the last day of the calendar": ("day", "9999-12-31"),
    "the first day of the calendar": ("day", "0001-01-01"),
    "an instant for a day": ("day", "2026-10-01T00:00:00Z"),
}
_CUT: Final = {
    "a cut of a run that is none": ("cut", {"x": 1}),
    "a cut to 2^70": ("cut", {"a" * 32: 2**70}),
    "a cut to 0": ("cut", {"a" * 32: 0}),
    "a cut of 300,000 runs": ("cut", {f"{number:032x}": 1 for number in range(300_000)}),
    "an attempt beyond int4": ("attempt", 2**31),
    "an attempt 0": ("attempt", 0),
}
_FIELDS: Final[dict[str, dict[str, tuple[str, Any]]]] = {
    MANIFESTS: _TOTAL
    | {
        "a run with a line feed": ("run", "a" * 32 + "\n"),
        "a number beyond a batch's": ("number", 2**32),
        "leaves beyond a batch's": ("leaves", 2**32),
        "leaves below zero": ("leaves", -1),
        "an unknown kind": ("kind", "gift"),
        "200,001 totals": ("totals", [{}] * 200_001),
        "a deployment with a zero byte": ("deployment", "a\0"),
    },
    DAYS_CLOSING: _DAY | _CUT | {"a cut of before that is none": ("previous_cut", {"": 1})},
    DAYS_COUNTED: _DAY
    | _CUT
    | _TOTAL
    | {
        "resends beyond int8": ("resends", 2**70),
        "a question that is none": ("question", "x"),
        "a settlement that is none": ("settlement", {"run": "f" * 32}),
    },
    DAYS_CLOSED: _DAY
    | _TOTAL
    | {
        "as of the year 9999": ("as_of", "9999-12-31T23:59:59Z"),
        "as of a time without offset": ("as_of", "2026-10-02T12:00:00"),
        "workers below zero": ("workers.0.workers", -1),
        "workers of a province zz": ("workers.0.province", "zz"),
        "25 hours": ("hours", [{"insured_on": "2026-10-01", "enterprise": ENTERPRISE, "province": "44",
                                "orders": [0] * 25}]),
    },
    STATEMENTS: {
        "a month september": ("lines.0.insured_month", "september"),
        "a month 13": ("period", "2026-13"),
        "a tariff line beyond int4": ("lines.0.tariff_line", 2**40),
        "an amount beyond int8": ("amount", 2**70),
        "orders beyond int8": ("orders", -(2**70)),
        "a line 0": ("lines.0.number", 0),
        "an enterprise x": ("enterprise", "x"),
        "an id with a zero byte": ("statement_id", "a\0b"),
        "an id of a megabyte": ("statement_id", "a" * 1_000_000),
        "due in the year 9999": ("due_on", "9999-12-31"),
        "a series of a megabyte": ("lines.0.series", "s" * 1_000_000),
    },
    REMITTANCES: {
        "15 digits of yuan, beyond int8": ("amount_yuan", "999999999999999.99"),
        "no money": ("amount_yuan", "0.00"),
        "a thousandth of a yuan": ("amount_yuan", "1.001"),
        "received in the year 9999": ("received_on", "9999-12-31"),
        "an id with a zero byte": ("remittance_id", "a\0b"),
        "a province zz": ("province", "zz"),
    },
    INJURIES: {
        "injured at the end of the calendar": ("injured_at", "9999-12-31T23:59:59Z"),
        "injured at its beginning": ("injured_at", "0001-01-01T00:00:00+14:00"),
        "noticed without an offset": ("noticed_at", "2026-10-01T12:00:00"),
        "a worker in clear": ("worker_id", "11010519491231002X"),
        "an id with a zero byte": ("notice_id", "a\0b"),
    },
    TOTALS: {
        "a count beyond int8": ("count", 2**70),
        "a count below zero": ("count", -1),
        "a day in the year 9999": ("day", "9999-12-31"),
        "a source with a zero byte": ("source", "a\0b"),
    },
}  # fmt: skip


def _with(topic: str, path: str, value: Any) -> bytes:
    """A sound message with another value at one place."""
    tree = msgspec.to_builtins(sound(topic))
    parent: Any = tree
    *steps, last = path.split(".")
    for step in steps:
        parent = parent[int(step)] if step.isdigit() else parent[step]
    parent[last] = value
    return msgspec.json.encode(tree)
