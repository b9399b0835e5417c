"""Find when events that the operator sends again arrived first: their first arrival counts, not when they came again.

A record's header names a parked event, and anybody who may write to the topic can write such a header. So the tables
decide: the parked event has the topic and the very bytes of the record, it was decided to send it again, and, once it
is known where it went, the record lies there.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from operator import attrgetter
from typing import Final

from msgspec import Struct

from services.charging.rows.batch import Record
from services.charging.rows.kept_records import RESENT_HEADER
from shared.adapters.postgres.pool import Pool
from shared.intake.limits import is_possible_record_time

_PLACE: Final = re.compile(rb"([0-9]{1,18})\.([0-9]{1,9})")
_headers: Final = attrgetter("headers")
_PARKED: Final = """
    select p.batch, p.leaf_index, p.topic, p.received, p.arrived_ms,
        array(select (partition, record_offset)::text from charging.resent r
            where (r.batch, r.leaf_index) = (p.batch, p.leaf_index)) as sent_to
    from unnest($1::bigint[], $2::integer[]) as named (batch, leaf_index)
    join charging.parked p using (batch, leaf_index)
    where exists (select from charging.resending s where (s.batch, s.leaf_index) = (p.batch, p.leaf_index))"""


class _Parked(Struct, frozen=True):
    """A parked event that was decided to be sent again; `sent_to` are the places where it is known to lie."""

    batch: int
    leaf_index: int
    topic: str
    received: bytes
    arrived_ms: int
    sent_to: list[str]

    def is_in(self, record: Record) -> bool:
        """The record is this event, sent again by the operator."""
        is_there = not self.sent_to or f"({record.partition},{record.offset})" in self.sent_to
        is_same = self.topic == record.topic and self.received == sha256(record.value or b"").digest()
        return is_there and is_same and is_possible_record_time(self.arrived_ms)


async def find_first_arrivals(pool: Pool, records: Sequence[Record]) -> Mapping[int, int]:
    """Give the first arrival, in ms since the epoch, of those records that the operator sent again, by their index.

    The operator's command puts its header last.
    """
    if not any(map(_headers, records)):
        return {}
    named = {
        index: place
        for index, record in enumerate(records)
        if (headers := record.headers)
        and headers[-1][0] == RESENT_HEADER
        and (place := _read_place(headers[-1][1])) is not None
    }
    if not named:
        return {}
    batches, leaf_indexes = zip(*named.values(), strict=True)
    rows = await pool.fetch(_PARKED, batches, leaf_indexes)
    parked = {(row["batch"], row["leaf_index"]): _Parked(*row) for row in rows}
    return {
        index: min(parked[place].arrived_ms, records[index].timestamp)
        for index, place in named.items()
        if place in parked and parked[place].is_in(records[index])
    }


def _read_place(value: bytes | None) -> tuple[int, int] | None:
    """Batch and leaf index that the header names; None where it is in another form."""
    match = _PLACE.fullmatch(value or b"")
    return None if match is None else (int(match[1]), int(match[2]))
