"""Report parked events (搁置) by reason and share: one finding an enterprise, close and fault, for the register.

A finding is reported by the close that reached the events first, and again by each close that settles some of them. One
that counts nothing says that all of them are settled.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from msgspec import Struct
from sqlalchemy import and_, func, or_, select

from services.charging.cut import read_counted_cut, read_previous_cut
from services.charging.parking.received_events import read_received
from services.charging.predicates import DAY, first_columns
from services.charging.tables import parked, parked_reported, parked_settled
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import Selection, query
from shared.contracts.findings import Finding, FindingKind
from shared.contracts.parking import Fault, fault_of_parked
from shared.contracts.topics import enterprise_of


class _Reported(Struct, frozen=True):
    """Parked events of a close, topic and reason; how many the closes up to this one settled, and how many this one."""

    found_on: date
    topic: str
    reason: str
    events: int
    settled: int
    settled_now: int


def _select_reported() -> Selection:
    settled = parked_settled.c
    of_event = and_(settled.batch == parked_reported.c.batch, settled.leaf_index == parked_reported.c.leaf_index)
    changed = (
        select(parked_reported.c.found_on)
        .join_from(parked_reported, parked_settled, of_event)
        .where(settled.settled_on == DAY)
    )
    is_parked = and_(parked.c.batch == parked_reported.c.batch, parked.c.leaf_index == parked_reported.c.leaf_index)
    return (
        select(
            parked_reported.c.found_on,
            parked.c.topic,
            parked.c.reason,
            func.count().label("events"),
            func.count().filter(settled.settled_on <= DAY).label("settled"),
            func.count().filter(settled.settled_on == DAY).label("settled_now"),
        )
        .select_from(parked_reported)
        .join(parked, is_parked)
        .outerjoin(parked_settled, of_event)
        .where(or_(parked_reported.c.found_on == DAY, parked_reported.c.found_on.in_(changed)))
        .group_by(*first_columns(3))
        .order_by(*first_columns(3))
    )


_REPORTED: Final = query(_select_reported(), _Reported)


@dataclass(slots=True)
class _Group:
    """Parked events of one enterprise, close and fault."""

    reasons: Counter[str] = field(default_factory=Counter)
    settled: int = 0
    settled_now: int = 0

    @property
    def left(self) -> int:
        """Events that are not settled."""
        return self.reasons.total() - self.settled

    def take(self, row: _Reported) -> None:
        self.reasons[row.reason] += row.events
        self.settled += row.settled
        self.settled_now += row.settled_now


async def parked_findings(connection: Connection, day: date) -> list[Finding]:
    """Findings of the close of a counted day; repeatable."""
    groups: dict[tuple[date, str, Fault], _Group] = defaultdict(_Group)
    for row in await _REPORTED.fetch(connection, day=day):
        uscc = enterprise_of(row.topic)
        if uscc is not None:
            groups[row.found_on, uscc, fault_of_parked(row.reason)].take(row)
    reported = {key: group for key, group in groups.items() if (group.left if key[0] == day else group.settled_now)}
    received = {found_on: await _received(connection, found_on) for found_on in {key[0] for key in reported}}
    return [_finding(*key, group, received[key[0]][key[1]]) for key, group in reported.items()]


async def _received(connection: Connection, day: date) -> Counter[str]:
    """Events of each enterprise that the close of a day was the first to reach."""
    cut = await read_counted_cut(connection, day)
    events: Counter[str] = Counter()
    if cut is not None:
        for ending, count in (await read_received(connection, cut, await read_previous_cut(connection, day))).items():
            events[ending.enterprise] += count
    return events


def _finding(found_on: date, uscc: str, fault: Fault, group: _Group, received: int) -> Finding:
    events, left = group.reasons.total(), group.left
    share = f"{events / max(received, events):.2%}"
    reasons = [f"{reason}: {count}" for reason, count in group.reasons.most_common()]
    detail = (
        f"{left} of {received} events that the close of {found_on} reached are parked: they are in no book."
        f" Parked by reason ({share}): {', '.join(reasons)}"
        if left
        else f"every event parked by the close of {found_on} was settled: its number came, or it was sent again"
    )
    return Finding(
        kind=FindingKind.PARKED_EVENTS,
        key=f"{uscc}.{found_on}.{fault}",
        enterprise=uscc,
        insured_on=found_on,
        count=left,
        detail=detail,
        evidence={
            "close": str(found_on), "fault": fault.value, "events": received, "parked": events,
            "settled": group.settled, "share": share, "reasons": reasons,
        },
        orders=[],
        is_settled=not left,
    )  # fmt: skip
