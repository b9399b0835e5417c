"""Finds the events of a batch that the database refuses: a value that no column takes, or a broken constraint.

Each half of a batch is written and undone, until the events are found that are refused alone; these are parked, and the
rest is charged. A bound in the contracts should have caught them, so this is a second line: no event of one enterprise
ends charging for all. Where too many events are refused, the limit of parked events pauses their topic.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from services.charging.rows.batch import Record
from shared.adapters.postgres.message_faults import detail_of

Refusal = Exception | None
TryRecords = Callable[[Sequence[Record]], Awaitable[Refusal]]
"""Writes records as a batch and undoes it; the database's refusal, or None."""


async def find_refused(records: Sequence[Record], try_records: TryRecords) -> Mapping[int, str]:
    """The indexes of the records that are refused alone, with the refusal in words; empty where none is."""
    refused: dict[int, str] = {}
    waiting = [range(len(records))]
    while waiting:
        part = waiting.pop()
        error = await try_records(records[part.start : part.stop])
        if error is None:
            continue
        if len(part) == 1:
            refused[part.start] = detail_of(error)
        else:
            middle = part.start + len(part) // 2
            waiting += [range(part.start, middle), range(middle, part.stop)]
    return refused
