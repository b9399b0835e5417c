"""I8: no clear-text identity of a worker is stored. Looked for wherever an enterprise's text could carry one."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

from services.cli.audit.verdict import Check, Verdict
from shared.adapters.postgres.pool import Connection
from shared.domain.worker import is_valid_citizen_number

_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z])[1-9][0-9]{16}[0-9X](?![0-9A-Za-z])")
_LIKE: Final = "[1-9][0-9]{16}[0-9X]"
FIELDS: Final = (
    ("charging.entry", "order_id"),
    ("charging.entry", "series"),
    ("charging.entry", "employer_insurance_no"),
    ("charging.declaration", "declaration_id"),
    ("charging.declaration", "encode(body, 'escape')"),
    ("charging.manifest", "encode(payload, 'escape')"),
    ("ledger.refused_message", "detail"),
    ("reporting.report", "encode(body, 'escape')"),
    ("reporting.discrepancy", "detail"),
    ("reporting.discrepancy", "evidence::text"),
    ("reporting.discrepancy_state", "note"),
    ("reporting.injury_notice", "encode(body, 'escape')"),
    ("reporting.reported_total", "encode(body, 'escape')"),
)
TOKENS: Final = (
    ("charging.entry", "length(worker_rest)", "<> 24"),
    ("charging.participant", "length(worker)", "<> 32"),
)


async def check_identities(books: Connection, charging: Sequence[Connection], verdict: Verdict) -> None:
    """Citizen numbers with a right check digit and a possible birthday; tokens that are not 32 bytes."""
    check = verdict.check("I8", "no citizen number stands in the books or reports, and workers are tokens of 32 bytes")
    for table, column in FIELDS:
        for connection in charging if table.startswith("charging.") else [books]:
            await _check_field(connection, check, table, column)
    for table, column, wrong in TOKENS:
        for connection in charging:
            count = await connection.fetchval(f"select count(*) from {table} where {column} {wrong}")
            if count:
                check.find(f"{table}: {count} rows whose worker is no token")


async def _check_field(connection: Connection, check: Check, table: str, column: str) -> None:
    query = f"select {column} as text from {table} where {column} ~ $1"
    async for row in connection.cursor(query, _LIKE):
        for number in _NUMBER.findall(row["text"]):
            if is_valid_citizen_number(number) and _has_birthday(number):
                # The number itself is not repeated: an audit is read by many.
                check.find(f"{table}, {column}: a text holds what reads as a citizen number")


def _has_birthday(number: str) -> bool:
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return 1900 <= born.year <= 2030
