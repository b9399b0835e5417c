"""Days whose rows have left the table for files (docs/decisions/0009): not the same as days without any.

Of a batch with rows of several days, subtrees stand for those that have left, so that the others are proved as before.
"""

from collections.abc import Sequence
from datetime import date

from shared.adapters.postgres.pool import Connection, Pool
from shared.domain.errors import Archived, Refused
from shared.domain.evidence.merkle import inclusion_ranges, range_root
from shared.domain.evidence.partial_tree import Nodes, free_ranks, node_at


async def refuse_archived(connection: Connection | Pool, first: date, last: date | None = None) -> None:
    """Raise Archived when a day of the window, both ends included, is: an answer without its rows would be wrong."""
    sql = "select min(day), max(day), count(*) from charging.archived_day where day between $1 and $2"
    earliest, latest, count = await connection.fetchrow(sql, first, first if last is None else last)
    if count:
        more = f", and up to {latest} {count - 1} more days" if count > 1 else ""
        raise Archived(f"{earliest} is archived{more}: danbao archive restore {earliest}")


async def refuse_unknown_day(connection: Connection | Pool) -> None:
    """Raise Archived when rows that were not found without naming a day may stand in an archived one."""
    first, last, count = await connection.fetchrow("select min(day), max(day), count(*) from charging.archived_day")
    if count:
        raise Archived(f"not in the days that are kept; {count} days from {first} to {last} are archived: name the day")


def prove_beside(subtrees: Nodes, size: int, leaves: Sequence[bytes], place: int) -> tuple[int, list[bytes]]:
    """Rank and proof of the leaf at `place` among those here, in a batch of `size`; Refused where some are missing."""
    ranks = free_ranks(size, subtrees)
    if len(ranks) != len(leaves):
        raise Refused(f"{len(leaves)} leaves where there should be {len(ranks)}")
    nodes = {**subtrees, **{(0, rank): leaf for rank, leaf in zip(ranks, leaves, strict=True)}}
    wanted = inclusion_ranges(ranks[place], size)
    return ranks[place], [range_root(each, lambda height, index: node_at(nodes, (height, index))) for each in wanted]
