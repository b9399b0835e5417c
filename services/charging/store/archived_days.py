"""Archived days: their rows are in files and no longer in the table (docs/decisions/0009).

A query over such a day is refused instead of answered without its rows. Of a batch with rows of several days, subtrees
of the archived ones are stored, so that the proofs of the others stay possible.
"""

from collections.abc import Sequence
from datetime import date

from shared.adapters.postgres.pool import Connection, Pool
from shared.domain.errors import Archived, Refused
from shared.domain.evidence.merkle import inclusion_ranges, range_root
from shared.domain.evidence.partial_tree import Nodes, free_ranks, node_at


async def refuse_archived(connection: Connection | Pool, first: date, last: date | None = None) -> None:
    """Raise Archived when a day of the window, both ends included, is archived."""
    sql = "select min(day), max(day), count(*) from charging.archived_day where day between $1 and $2"
    earliest, latest, count = await connection.fetchrow(sql, first, first if last is None else last)
    if count:
        more = f", and up to {latest} {count - 1} more days" if count > 1 else ""
        raise Archived(f"{earliest} is archived{more}: danbao archive restore {earliest}")


async def refuse_unknown_day(connection: Connection | Pool) -> None:
    """Raise Archived when any day is archived: rows that were searched for without a day may be in it."""
    first, last, count = await connection.fetchrow("select min(day), max(day), count(*) from charging.archived_day")
    if count:
        raise Archived(f"not in the days that are kept; {count} days from {first} to {last} are archived: name the day")


def prove_beside(subtrees: Nodes, size: int, leaves: Sequence[bytes], position: int) -> tuple[int, list[bytes]]:
    """Rank and proof of one of the leaves that are not archived, in a batch of `size`.

    `subtrees` are those of the archived leaves. Raises Refused where leaves are missing.
    """
    ranks = free_ranks(size, subtrees)
    if len(ranks) != len(leaves):
        raise Refused(f"{len(leaves)} leaves where there should be {len(ranks)}")
    nodes = {**subtrees, **{(0, rank): leaf for rank, leaf in zip(ranks, leaves, strict=True)}}
    spans = inclusion_ranges(ranks[position], size)
    return ranks[position], [range_root(span, lambda height, index: node_at(nodes, (height, index))) for span in spans]
