"""I8: no clear-text identity of a worker is stored. Every column that can hold text or bytes is searched.

The columns are read from the catalog, so that a new one is searched without being named here. A finding in a column
that a rule keeps clean (CLEAN) fails the audit; any other is reported as a note, because rows of history cannot be
changed and one order with such a number must not make every later audit fail. Order ids are judged by the
enterprise's share of a day.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from services.audit.verdict import Check, Verdict
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs
from shared.domain.privacy.identity import reads_as_identity
from shared.domain.privacy.identity_share import COUNTS_SQL, HAS_DIGITS_SQL, expected_by_chance, is_beyond_chance

CLEAN: Final = (
    "charging.parked.", "charging.conflict.redacted", "charging.refused_message.", "ledger.refused_message.",
    "reporting.refused_message.", "reporting.access_note.",
)  # fmt: skip
"""Prefixes of columns that hold no clear text of a message."""
EXEMPT: Final = {
    "order_id": "the enterprise's own numbering: judged by share",
    "received": "a hash of 32 bytes",
    "worker_rest": "24 bytes of a token",
    "root": "a hash of 32 bytes",
    "groups": "hashes",
    "sealed": "ciphertext",
}
"""Columns by name that are not searched, with the reason."""
_NUMBER: Final = re.compile(
    r"(?<![0-9A-Za-z:,\[.+-])(?<!: )(?<!, )(1[3-9][0-9]{9}|[1-9][0-9]{16}[0-9Xx])(?![0-9A-Za-z.])"
)
"""Not a bare number of JSON, which is an amount or a count of ours; not a piece of a token."""
_LIKE: Final = "(^|[^0-9A-Za-z])(1[3-9][0-9]{9}|[1-9][0-9]{16}[0-9Xx])([^0-9A-Za-z]|$)"
_ORDER_IDS: Final = re.compile(r'"order_id": ?"[^"]*"')
_COLUMNS: Final = """
    select n.nspname as schema, c.relname as table, a.attname as column, t.typname as type
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_type t on t.oid = a.atttypid
    where n.nspname = any($1) and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0
        and not a.attisdropped and t.typname in ('text', 'varchar', 'bytea', 'json', 'jsonb', '_text')
        and has_column_privilege(c.oid, a.attnum, 'select')
    order by 1, 2, 3"""
_SHARES: Final = f"""
    select e.uscc, c.* from (
        select enterprise, (accepted_at at time zone interval '8 hours')::date as day, {COUNTS_SQL}
        from (select enterprise, accepted_at, order_id, {HAS_DIGITS_SQL} from charging.entry where kind = 1) a
        group by 1, 2) c
    join charging.enterprise e on e.id = c.enterprise where alike > 0 order by 1, 3"""
TOKENS: Final = (
    ("charging.entry", "length(worker_rest)", "<> 24"),
    ("charging.participant", "length(worker)", "<> 32"),
)


async def check_identities(books: Connection, charging: Sequence[Connection], verdict: Verdict) -> None:
    """Search every column for identity and mobile numbers, check order ids by their share, and tokens for 32 bytes."""
    check = verdict.check("I8", "no identity is stored where a rule keeps it out, and workers are tokens of 32 bytes")
    for connection in charging:
        await _check_schemas(connection, check, ["charging"])
        await _check_order_ids(connection, check)
        for table, column, wrong in TOKENS:
            count = await connection.fetchval(f"select count(*) from {table} where {column} {wrong}")
            if count:
                check.find(f"{table}: {count} rows whose worker is no token")
    await _check_schemas(books, check, ["ledger", "reporting"])


async def _check_order_ids(connection: Connection, check: Check) -> None:
    for row in await connection.fetch(_SHARES):
        expected = expected_by_chance(row["mobile_runs"], row["citizen_runs"])
        if is_beyond_chance(row["alike"], expected):
            check.note(
                f"{row['alike']} of {row['orders']} order ids of {row['uscc']} on {row['day']} read as identities,"
                f" {expected:.1f} by chance"
            )


class _TextColumn(Struct, frozen=True):
    """A column that holds text or bytes."""

    schema: str
    table: str
    column: str
    type: str


async def _check_schemas(connection: Connection, check: Check, schemas: list[str]) -> None:
    for place in await fetch_structs(connection, _TextColumn, _COLUMNS, schemas):
        if place.column not in EXEMPT:
            await _check_column(connection, check, place)


async def _check_column(connection: Connection, check: Check, place: _TextColumn) -> None:
    name = f"{place.schema}.{place.table}.{place.column}"
    quoted, table = f'"{place.column}"', f'{place.schema}."{place.table}"'
    text = f"encode({quoted}, 'escape')" if place.type == "bytea" else f"{quoted}::text"
    rows = 0
    async for row in connection.cursor(f"select {text} as text from {table} where {text} ~ $1", _LIKE):
        numbers = _NUMBER.findall(_ORDER_IDS.sub("", row["text"]))
        rows += any(reads_as_identity(number) for number in numbers)
    if rows:
        # The number itself is not repeated: an audit is read by many.
        detail = f"{name}: {rows} rows hold what reads as a citizen's or a mobile number"
        (check.find if name.startswith(CLEAN) else check.note)(detail)
