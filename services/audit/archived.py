"""Read archived rows (docs/decisions/0009) with the checks of all other rows: none is taken on trust."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from shared.adapters.postgres.pool import Connection
from shared.domain.errors import Refused

ArchivedRow = dict[str, Any]
"""A row of an archived day with the column names of the audit's query."""
_ARCHIVED: Final = "select day, what, index_sha256 from charging.archived_day order by day"
_KEY: Final = ("accepted_at", "enterprise", "order_id", "worker_key")
_RESENT: Final = """
    select accepted_at, enterprise, order_id, worker_key from charging.resend
    except select accepted_at, enterprise, order_id, worker_key from charging.reinstated"""


async def read_archived(connection: Connection) -> Mapping[date, str]:
    """Return the archived days with the SHA-256 of their indexes; `Refused` where a day was pruned."""
    rows = await connection.fetch(_ARCHIVED)
    if pruned := [row["day"] for row in rows if row["what"] == "pruned"]:
        raise Refused(
            f"{len(pruned)} days from {pruned[0]} to {pruned[-1]}were pruned after their retention period:"
            " books that reach back to them can no longer be recomputed"
        )
    return {row["day"]: row["index_sha256"].hex() for row in rows}


async def archived_rows(connection: Connection, folder: Path, days: Mapping[date, str]) -> "Iterator[ArchivedRow]":
    """Yield every row of these days with the audit's column names; `Refused` for files that differ from the index."""
    if not days:
        return iter(())
    try:
        from services.archive import files  # noqa: PLC0415 - an extra: needed where something is archived
    except ImportError as error:
        raise Refused(f"{len(days)} days are archived, and reading them needs the extra `archive`: {error}") from error
    indexes = {}
    for day, sha256 in days.items():
        try:
            indexes[day] = files.read_index(folder / day.isoformat(), sha256)
            files.check_files(folder / day.isoformat(), indexes[day])
        except Refused as error:
            raise Refused(f"{day} is archived and DANBAO_ARCHIVE does not hold it ({error}); or restore it") from error
    resent = {tuple(row) for row in await connection.fetch(_RESENT)}
    return (row for day, index in indexes.items() for row in _of_day(folder / day.isoformat(), index, resent))


def _of_day(folder: Path, index: Any, resent: set[tuple[date | int | str, ...]]) -> Iterator[ArchivedRow]:
    """Yield a day's rows; an order's history is within its day, because its rows share their acceptance time."""
    from services.archive.audited import own_kinds, read_records  # noqa: PLC0415 - as above

    last = own_kinds(folder, index)
    for record in read_records(folder, index):
        key = tuple(record[name] for name in _KEY)
        record["is_history"] = last.get(key, 0) > record["kind"] or key in resent
        yield record
