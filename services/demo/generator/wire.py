"""Encode events as bytes by string formatting: a generated month holds hundreds of thousands.

Times are microseconds since 1970-01-01T00:00Z. What is written here decodes as `shared.contracts.events` says; a test
holds that.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from shared.domain.calendar import day_start, numbered_day, since_epoch_us

SECOND = 1_000_000
DAY = 86_400 * SECOND
_OFFSET = 8 * 3_600 * SECOND
"""Asia/Shanghai is a fixed +08:00 (shared.domain.calendar)."""


@dataclass(slots=True)
class Acceptance:
    """One acceptance before it is written; `tail` are the optional fields as JSON text, each with its comma."""

    accepted: int
    topic: str
    uscc: str
    order_id: str
    worker: str
    industry: str
    region: str
    series: str
    tail: str = ""
    sequence: int = 0


@lru_cache(maxsize=512)
def _date_of(day_number: int) -> str:
    return numbered_day(day_number).isoformat()


def rfc3339(micros: int) -> str:
    """Format an instant in Asia/Shanghai with offset, to the microsecond."""
    day, rest = divmod(micros + _OFFSET, DAY)
    seconds, fraction = divmod(rest, SECOND)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_date_of(day)}T{hour:02d}:{minute:02d}:{second:02d}.{fraction:06d}+08:00"


def start_micros(day: date) -> int:
    """Return the first microsecond of the day in Asia/Shanghai."""
    return since_epoch_us(day_start(day))


def accepted(order: Acceptance) -> bytes:
    """Encode `order.accepted.v1`."""
    own = f',"series":"{order.series}","sequence":{order.sequence}'
    return _event("order.accepted.v1", "a", order, own)


def completed(order: Acceptance, at: int) -> bytes:
    """Encode `order.completed.v1`."""
    return _event("order.completed.v1", "f", order, f',"completed_at":"{rfc3339(at)}"')


def cancelled(order: Acceptance, at: int, reason: str, departed: bool) -> bytes:
    """Encode `order.cancelled.v1`."""
    own = f',"cancelled_at":"{rfc3339(at)}","reason":"{reason}","departed":{"true" if departed else "false"}'
    return _event("order.cancelled.v1", "c", order, own)


def _event(kind: str, prefix: str, order: Acceptance, own: str) -> bytes:
    return (
        f'{{"specversion":"1.0","id":"{prefix}-{order.order_id}-{order.sequence}","source":"urn:uscc:{order.uscc}",'
        f'"type":"{kind}","datacontenttype":"application/json","data":{{"order_id":"{order.order_id}",'
        f'"worker_id":"{order.worker}","token_key":1,"industry":"{order.industry}",'
        f'"acceptance_region":"{order.region}","accepted_at":"{rfc3339(order.accepted)}"{own}{order.tail}}}}}'
    ).encode()
