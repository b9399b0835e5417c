"""Check reversals: each takes back what was charged, for a reason stored in the rows; none that is due is missing."""

from datetime import date, datetime
from typing import Final

import msgspec
from msgspec import Struct

from services.audit.charging.order_rows import RERATED, REVERSALS
from services.audit.charging.row_contents import FETCH_ROWS
from services.audit.facts import Facts
from services.audit.verdict import Check, Verdict
from services.charging.rows.order_columns import INHERITED_COLUMNS
from shared.adapters.crypto.signing import is_signed
from shared.adapters.postgres.pool import Connection, Record
from shared.adapters.postgres.typed_rows import fetch_structs, stream_structs
from shared.contracts.events import Declaration
from shared.domain.books.billing import OUTSIDE_DECLARATION
from shared.domain.calendar import insured_day
from shared.domain.evidence.declaration_keys import DeclarationKeys, Signed
from shared.domain.scheme.cancellation import reverses


def is_charge(name: str) -> str:
    """SQL: whether a row is a charge (docs/decisions/0005): charges 1, 8, 10 ..., the reversal of each 4, 9, 11 ..."""
    return f"({name}.kind = 1 or {name}.kind >= 8 and {name}.kind % 2 = 0)"


def order_of(name: str) -> str:
    """SQL: the order of a row, which is the table's key without the kind."""
    return f"({name}.accepted_at, {name}.enterprise, {name}.order_id, {name}.worker_key)"


def _join_row_of_order(name: str, of: str, which: str) -> str:
    """SQL: join each row of `of` with one row of its order, or with nulls, by one index lookup on the key.

    LIMIT keeps the planner from any other join: by the four columns of an order it expects one row where there are
    thousands, and then reads a day for each of them; or it hashes whole days to find a few.
    """
    return f"""left join lateral (
        select e.* from charging.entry e where {order_of("e")} = {order_of(of)} and {which} limit 1) {name} on true"""


def join_reversal(name: str, of: str) -> str:
    """SQL: join the reversal of that charge."""
    return _join_row_of_order(name, of, f"e.kind = case {of}.kind when 1 then 4 else {of}.kind + 1 end")


def join_last_charge(name: str, of: str) -> str:
    """SQL: join the charge in force, which of a re-rated order is the last one."""
    return _join_row_of_order(name, of, f"{is_charge('e')} order by e.kind desc")


def _repeated(row: str) -> str:
    """SQL: the columns that a reversal or a re-rated charge repeats from the charge before it."""
    return f"({', '.join(f'{row}.{name}' for name in INHERITED_COLUMNS)})"


_REVERSALS: Final = f"""
    select r.accepted_at, r.enterprise, r.order_id, r.worker_key, r.premium, r.reason, a.premium as charged,
        coalesce(n.batch = r.batch, false) as is_anew, n.kind is not null as is_followed,
        c.ended_at, c.departed, s.was_charged, x.found_on is not null as is_reinstated,
        {_repeated("r")} is not distinct from {_repeated("a")}
            and r.tariff_line is not distinct from a.tariff_line as is_same
    from charging.entry r
    {_join_row_of_order("a", "r", "e.kind = case r.kind when 4 then 1 else r.kind - 1 end")}
    {_join_row_of_order("n", "r", "e.kind = case r.kind when 4 then 8 else r.kind + 1 end")}
    {_join_row_of_order("c", "r", "e.kind = 3")}
    left join charging.resend s on {order_of("s")} = {order_of("r")}
    left join charging.reinstated x on {order_of("x")} = {order_of("r")}
    where r.kind = 4 or r.kind >= 9 and r.kind % 2 = 1 order by r.accepted_at, r.enterprise, r.order_id"""
_DUE: Final = f"""
    select c.accepted_at, c.enterprise, c.order_id, c.worker_key, c.ended_at, c.departed
    from charging.entry c
    left join charging.unsettled u using (accepted_at, enterprise, order_id, worker_key)
    {join_last_charge("a", "c")}
    {join_reversal("r", "a")}
    where c.kind = 3 and a.premium > 0 and u.order_id is null and r.kind is null"""
_CORRECTED: Final = f"""
    select c.accepted_at, c.enterprise, c.order_id, a.premium as charged, r.kind is not null as is_reversed,
        {_repeated("c")} is not distinct from {_repeated("a")} as is_same,
        coalesce(r.reason = 3 and r.batch = c.batch or r.reason = 2 and x.found_on is not null, false) as is_taken_back
    from charging.entry c
    left join charging.reinstated x on {order_of("x")} = {order_of("c")}
    {_join_row_of_order("a", "c", "e.kind = case c.kind when 8 then 1 else c.kind - 2 end")}
    {join_reversal("r", "a")}
    where c.kind >= 8 and c.kind % 2 = 0 order by c.accepted_at, c.enterprise, c.order_id"""
_UNKNOWN_UNSETTLED: Final = f"""
    select u.* from charging.unsettled u {_join_row_of_order("c", "u", "e.kind = 3")} where c.kind is null"""


class _ReversalRow(Struct, frozen=True):
    """A reversal, with the charge that it takes back and what came of the order."""

    accepted_at: datetime
    enterprise: int
    order_id: str
    premium: int
    reason: int
    charged: int | None
    is_anew: bool
    is_followed: bool
    ended_at: datetime | None
    departed: bool | None
    was_charged: bool | None
    is_reinstated: bool
    is_same: bool


class _DeclarationRow(Struct, frozen=True):
    """A row of `charging.declaration`."""

    enterprise: int
    declaration_id: str
    declared_day: date
    body: bytes
    revision: int | None
    key_id: bytes | None
    signature: bytes | None
    signed_data: bytes | None


async def check_settlements(connection: Connection, facts: Facts, verdict: Verdict) -> None:
    """Run all checks of reversals, in one transaction."""
    check = verdict.check("I4", "every reversal takes back its own charge, and every one that is due was written")
    async for reversal in stream_structs(connection, _ReversalRow, _REVERSALS, prefetch=FETCH_ROWS):
        if fault := _fault(facts, reversal):
            name = order_name(facts, reversal.enterprise, reversal.order_id, reversal.accepted_at)
            check.find(f"charging.entry reversal of order {name}: {fault}")
    async for row in connection.cursor(_DUE, prefetch=FETCH_ROWS):
        rule = facts.scheme.cancellation_rule(row["accepted_at"])
        if reverses(rule, row["accepted_at"], row["ended_at"], row["departed"]):
            check.find(f"charging.entry cancellation of order {_name(facts, row)}: due for a reversal, has none")
    await _check_unsettled(connection, facts, check)
    await _check_corrections(connection, facts, verdict)
    await _check_uncovered(connection, verdict)
    await _check_declarations(connection, facts, verdict)


def _fault(facts: Facts, row: _ReversalRow) -> str | None:
    if row.charged is None:
        return "there is no such acceptance"
    if row.premium != -row.charged or not row.is_same:
        return f"takes back {-row.premium} of {row.charged}, or names another place, line or worker"
    if REVERSALS[row.reason] == RERATED:
        return None if row.is_anew else "no charge follows it in its batch"
    if row.is_followed and not (REVERSALS[row.reason] == "resent" and row.is_reinstated):
        return "the order was charged again after it"
    if REVERSALS[row.reason] == OUTSIDE_DECLARATION:
        return None  # whether two persons decided it, another check says
    if REVERSALS[row.reason] == "resent":
        return None if row.was_charged else "no re-send is noted"
    if row.ended_at is None:
        return "there is no cancellation"
    rule = facts.scheme.cancellation_rule(row.accepted_at)
    is_due = reverses(rule, row.accepted_at, row.ended_at, bool(row.departed))
    return None if is_due else "the cancellation rule does not reverse it"


def _name(facts: Facts, row: Record) -> str:
    return order_name(facts, row["enterprise"], row["order_id"], row["accepted_at"])


def order_name(facts: Facts, enterprise: int, order_id: str, accepted_at: datetime) -> str:
    return f"{order_id} ({facts.enterprises.get(enterprise, '?')}, insured {insured_day(accepted_at)})"


async def _check_unsettled(connection: Connection, facts: Facts, check: Check) -> None:
    for row in await connection.fetch(_UNKNOWN_UNSETTLED):
        if insured_day(row["accepted_at"]) in facts.archived:
            continue
        check.find(f"charging.unsettled order {_name(facts, row)}: there is no such cancellation")


async def _check_corrections(connection: Connection, facts: Facts, verdict: Verdict) -> None:
    check = verdict.check("I4", "every re-rated order had its earlier charge, if any, taken back with the re-rating")
    async for row in connection.cursor(_CORRECTED, prefetch=FETCH_ROWS):
        name = f"charging.entry {RERATED} charge of order {_name(facts, row)}"
        if row["charged"] is None or not row["is_same"]:
            check.find(f"{name}: there is no charge of that place and worker before it")
        elif row["is_reversed"] != (row["charged"] > 0) or (row["is_reversed"] and not row["is_taken_back"]):
            check.find(f"{name}: the charge before it was not taken back with it")


async def _check_uncovered(connection: Connection, verdict: Verdict) -> None:
    check = verdict.check("I11", "no order of an enrolled enterprise is parked because no tariff line covers it")
    query = """select p.* from charging.parked p left join charging.resent r using (batch, leaf_index)
        where p.reason = 'no_tariff_line' and r.batch is null"""
    for row in await connection.fetch(query):
        check.find(f"charging.parked {row['topic']}/{row['partition']} at {row['record_offset']}: {row['detail']}")


def _signed_of(row: _DeclarationRow) -> Signed | None:
    """Return the signature of a kept declaration with the signed bytes; None for an unsigned one."""
    if row.revision is None or row.key_id is None or row.signature is None or row.signed_data is None:
        return None
    return Signed(row.revision, row.key_id, row.signature, row.signed_data)


def _signature_fault(keys: DeclarationKeys, facts: Facts, row: _DeclarationRow, signed: Signed) -> str | None:
    """Return why the enterprise's signature of a kept declaration does not hold over the bytes that it sent."""
    try:
        message = msgspec.json.decode(signed.data, type=Declaration)
    except msgspec.MsgspecError as error:
        return f"the bytes that are signed: {error}"
    if msgspec.json.encode(message) != row.body:
        return "its body says other than the bytes that are signed"
    return keys.fault(facts.enterprises.get(row.enterprise, ""), row.declared_day, signed)


async def _check_declarations(connection: Connection, facts: Facts, verdict: Verdict) -> None:
    check = verdict.check(
        "I10", "every kept declaration is of the shape, id and day it is kept under, and signed where it has to be"
    )
    keys = DeclarationKeys(facts.scheme.enterprise_keys, is_signed)
    for row in await fetch_structs(connection, _DeclarationRow, "select * from charging.declaration"):
        name = f"charging.declaration {facts.enterprises.get(row.enterprise)}/{row.declaration_id}"
        try:
            message = msgspec.json.decode(row.body, type=Declaration)
        except msgspec.MsgspecError as error:
            check.find(f"{name}: {error}")
            continue
        kept = (row.declaration_id, row.declared_day)
        check.compare(name, kept, (message.declaration_id, message.day))
        if msgspec.json.encode(message) != row.body:
            check.find(f"{name}: its body is not in canonical form")
        uscc = facts.enterprises.get(row.enterprise, "")
        signed = _signed_of(row)
        if signed is not None:
            if fault := _signature_fault(keys, facts, row, signed):
                check.find(f"{name}: {fault}")
        elif keys.are_needed(uscc, row.declared_day):
            check.find(f"{name}: it is not signed, and its enterprise has a key on {row.declared_day}")
