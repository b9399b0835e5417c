"""Find outages of ours that a late acceptance may come from: events that its topic lost, and that were sent again.

An operator passes over what a log has lost; the enterprise sends these events again, and so late. Nothing else here
makes an acceptance late: its record's time is the broker's, however long charging is down.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import func, select

from services.charging.predicates import DAY
from services.charging.tables import day_count, moved_on
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import query
from shared.contracts.findings import Finding
from shared.contracts.parking import Fault
from shared.contracts.topics import orders_topic
from shared.domain.calendar import day_start
from shared.domain.times import exact_time


class _Loss(Struct, frozen=True):
    """When lost events of a topic were passed over."""

    topic: str
    moved_at: datetime


_COUNTED_AT: Final = select(func.max(day_count.c.answered_at)).where(day_count.c.day == DAY).scalar_subquery()
_LOSSES: Final = query(
    select(moved_on.c.topic, moved_on.c.moved_at)
    .where(moved_on.c.moved_at <= _COUNTED_AT)
    .order_by(moved_on.c.moved_at),
    _Loss,
)


async def name_outages(connection: Connection, day: date, findings: Iterable[Finding]) -> list[Finding]:
    """The findings of late acceptances; those of a topic that lost events since their insured day are ours."""
    losses = await _LOSSES.fetch(connection, day=day)
    return [_with_outages(finding, losses) for finding in findings]


def _with_outages(finding: Finding, losses: list[_Loss]) -> Finding:
    if finding.enterprise is None or finding.insured_on is None:
        return finding
    topic, since = orders_topic(finding.enterprise), day_start(finding.insured_on)
    of_topic = [loss for loss in losses if loss.topic == topic and loss.moved_at >= since]
    outages = [f"lost until {exact_time(loss.moved_at)}" for loss in of_topic]
    if not outages:
        return finding
    return replace(finding, evidence=finding.evidence | {"fault": Fault.OURS.value, "outages": outages})
