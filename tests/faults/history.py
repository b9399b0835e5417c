"""A small but complete history in stages: two days, one the last of its month, and all that can befall an order.

Each stage is played until nothing is left to do, also when services die meanwhile; a command is repeated until it is
answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import msgspec
from aiokafka import TopicPartition

from shared.contracts.manifests import RemittanceReceived
from shared.contracts.topics import REMITTANCES, orders_topic
from shared.domain.calendar import SHANGHAI
from shared.domain.errors import Retry
from tests.faults.demo_town import SERVICE_KEY, Town
from tests.faults.logs import Logs
from tests.faults.processes import ChargingService, LedgerService, ReportingService
from tests.faults.steps import Crash, call_service
from tests.integration.charging.charging_harness import (
    GUANGDONG,
    OTHER_RIDES,
    RIDES,
    Record,
    Sent,
    accepted,
    cancelled,
    completed,
    declared,
    worker,
)
from tests.support.authors import as_operator

AT = datetime(2026, 10, 31, 12, tzinfo=SHANGHAI)
NEXT = AT + timedelta(days=1)
SHANGHAI_XUHUI = "310104"
COURIERS = "91000000FAKE00004Q"
MOST_ROUNDS = 60
"""Turns of all services in one stage; more is a busy loop."""


@dataclass(frozen=True)
class Command:
    """An operator's request to a service: repeated until there is an answer, and `state` lists the allowed answers."""

    service: str
    path: str
    body: dict[str, str]
    states: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """Events and money that come, commands, which services take turns, and which only answer."""

    name: str
    services: tuple[str, ...]
    answering: tuple[str, ...] = ()
    events: tuple[Sent, ...] = ()
    remittances: tuple[RemittanceReceived, ...] = ()
    commands: tuple[Command, ...] = ()
    may_settle: bool = True
    may_sign: bool = False
    may_show: bool = False


def _late(sent: Sent) -> Sent:
    return replace(sent, at=NEXT + timedelta(hours=1))


def _close(day: str, as_of: str) -> Command:
    return Command("ledger", f"/v1/days/{day}/close", {"as_of": as_of}, ("closing", "closed"))


ARRIVAL = (
    accepted("a1", AT, sequence=1), accepted("a2", AT, sequence=2, worker_id=worker(2)),
    accepted("a3", AT, sequence=3), accepted("a4", AT, sequence=4),
    accepted("a1", AT, sequence=1), accepted("b1", AT, uscc=OTHER_RIDES), Sent(b"nonsense", AT),
    replace(declared("d1", "2026-10-31"), at=AT),
)  # fmt: skip
"""A repeat within the batch, one parked, a declaration."""
SECOND_BATCH = (
    accepted("a2", AT, sequence=2, worker_id=worker(2)), accepted("a3", AT, token_key=2),
    cancelled("a1", AT), completed("a2", AT, worker_id=worker(2)), replace(declared("d1", "2026-10-31"), at=AT),
    accepted("e1", AT, employer_insurance_no="GS-1", worker_id=worker(3)),
    accepted("a5", AT, acceptance_region=GUANGDONG, worker_id=worker(4)),
    accepted("c1", AT, uscc=COURIERS, industry="instant_delivery", acceptance_region=SHANGHAI_XUHUI),
)  # fmt: skip
"""A repeat, a conflict, a cancellation that reverses, a completion, exclusions."""
BEFORE_CLOSE = (
    accepted("a4", AT + timedelta(seconds=2), sequence=4), cancelled("b1", AT, uscc=OTHER_RIDES),
    cancelled("ghost", AT), cancelled("e1", AT, worker_id=worker(3)),
)  # fmt: skip
"""Orders sent again under another time; cancellations: of one still charged, of none, of one that was excluded."""
AFTER_CLOSE = (
    _late(accepted("l1", AT + timedelta(hours=11), worker_id=worker(5))),
    _late(cancelled("a5", AT, worker_id=worker(4))),
    accepted("m1", NEXT), accepted("m2", NEXT, uscc=OTHER_RIDES), cancelled("m2", NEXT, uscc=OTHER_RIDES),
)  # fmt: skip
"""Late ones for a closed day of a closed month, and the next day's own."""

REMITTANCE = RemittanceReceived(
    remittance_id="R-1",
    enterprise=RIDES,
    province="44",
    amount_yuan="0.01",
    received_on=date(2026, 11, 20),
)
BOOKS, BANK = ("charging", "ledger"), ("ledger",)
REPORTS = ("reporting",)
BILLING = Command(
    "ledger", "/v1/statements", {"period": "2026-10", "as_of": "2026-11-01T13:00:00+08:00"},
    ("issued", "already_issued"),
)  # fmt: skip
LATE_FEES = Command("ledger", "/v1/late-fees", {"as_of": "2027-03-01"})
PAYMENTS = Command("reporting", "/v1/payment-reports", {"period": "2026-10", "as_of": "2027-03-01"})
STAGES = (
    Stage("charge", BOOKS, events=ARRIVAL),
    Stage("sort out", BOOKS, events=SECOND_BATCH),
    Stage("send again", BOOKS, events=BEFORE_CLOSE, may_settle=False),
    Stage("close", BOOKS, commands=(_close("2026-10-31", "2026-11-01T12:00:00+08:00"),), may_settle=False),
    Stage("sign", BANK, ("national_platform",), may_sign=True),
    Stage("report", REPORTS, ("national_platform", "charging")),
    Stage("show", REPORTS, ("charging",), may_show=True),
    Stage("charge late", BOOKS, events=AFTER_CLOSE),
    Stage("bill", BANK, commands=(BILLING,)),
    Stage("declare", REPORTS, ("national_platform", "ledger")),
    Stage("close the next", BOOKS, commands=(_close("2026-11-01", "2026-11-02T12:00:00+08:00"),)),
    Stage("sign the next", BANK, ("national_platform",), may_sign=True),
    Stage("report the next", REPORTS, ("national_platform", "charging")),
    Stage("pay", BANK, remittances=(REMITTANCE, REMITTANCE), commands=(LATE_FEES,)),
    Stage("report the payments", REPORTS, ("national_platform", "ledger"), commands=(PAYMENTS,)),
    Stage("show the rest", REPORTS, ("charging",), may_show=True),
)
"""A service takes part where it has work or gets requests; when no service has work left, the next stage begins."""


def place(logs: Logs, sent: Sequence[Sent]) -> None:
    """Append to the logs, one partition a topic."""
    for event in sent:
        tp = TopicPartition(orders_topic(event.uscc), 0)
        log = logs.records.setdefault(tp, [])
        time_ms = round(event.at.timestamp() * 1000)
        log.append(Record(tp.topic, 0, len(log), time_ms, event.key, event.value, event.headers))


async def play(town: Town, stage: Stage) -> None:
    """Let the services do the work of the stage, and restart those that die, until nothing is left to do."""
    place(town.logs, stage.events)
    for remittance in stage.remittances:
        await town.logs.publish(REMITTANCES, msgspec.json.encode(remittance))
    commands = list(stage.commands)
    for _ in range(MOST_ROUNDS):
        has_moved = False
        for name in (*stage.answering, *stage.services):
            has_moved |= await _turn(town, name, stage)
        if not has_moved and commands:
            has_moved = True
            if await _obey(town, commands[0]):
                commands.pop(0)
        if not has_moved:
            return
    raise AssertionError(f"{stage.name}: does not settle down")


async def _turn(town: Town, name: str, stage: Stage) -> bool:
    try:
        service = await town.service(name)
        if isinstance(service, ChargingService):
            service.may_settle = stage.may_settle
        if isinstance(service, LedgerService):
            service.may_sign = stage.may_sign
        if isinstance(service, ReportingService):
            service.may_show = stage.may_show
        turn = town.steps.begin_turn()
        has_moved = name in stage.services and await service.process.run(service.turn())
        if not has_moved:
            town.steps.idle.add(turn)
    except (Crash, Retry, httpx.TransportError):
        has_moved = True
    return await town.bury() or has_moved


async def _obey(town: Town, command: Command) -> bool:
    """Send the command once; False when the answer was lost."""
    headers = {"Authorization": f"Bearer {SERVICE_KEY}"}
    request = httpx.Request("POST", f"http://there{command.path}", json=command.body, headers=headers)
    request = next(as_operator(command.service).auth_flow(request))
    town.steps.begin_turn()
    try:
        answer = await call_service(town.at(command.service), request)
        if answer.status_code >= 500:
            return False
        reported: dict[str, Any] = msgspec.json.decode(await answer.aread())
    except (httpx.TransportError, Retry):  # a whole service answers 503 to a Retry; here there are routes only
        return False
    finally:
        await town.bury()
    assert answer.is_success, (command, reported)
    assert not command.states or reported["state"] in command.states, (command, reported)
    return True
