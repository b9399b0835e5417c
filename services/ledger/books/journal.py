"""Entries on their way into the tables: accounts are opened when first posted to, postings go in one statement."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import date

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from shared.domain.books.journal import Account, Entry

_POSTINGS = text("""
insert into ledger.posting (entry_id, line, account_id, amount)
select * from unnest(cast(:entry_id as bigint[]), cast(:line as integer[]),
                     cast(:account_id as bigint[]), cast(:amount as bigint[]))
""")
_ACCOUNTS = text("""
select k.kind, k.enterprise, k.province, a.account_id
from unnest(cast(:kind as text[]), cast(:enterprise as text[]), cast(:province as text[]))
     as k(kind, enterprise, province)
join ledger.account a on a.kind = k.kind and coalesce(a.enterprise, '') = k.enterprise
                     and coalesce(a.province, '') = k.province
""")
Key = tuple[str, str, str]
"""Kind, enterprise and province of an account; "" where it has no party."""


@dataclass(frozen=True, slots=True)
class Source:
    """What an entry is written for; `corrects` is an entry's id."""

    run: str | None = None
    number: int | None = None
    statement_id: str | None = None
    remittance_id: str | None = None
    corrects: int | None = None


async def write_journal_entry(connection: AsyncConnection, entry: Entry, posting_day: date, source: Source) -> int:
    """Write one entry with its postings; returns its id. The database checks it again."""
    accounts = await _account_ids(connection, {posting.account for posting in entry.postings})
    values = {field.name: getattr(source, field.name) for field in fields(source)}
    values |= {"kind": entry.kind, "posting_day": posting_day, "insured_on": entry.insured_on}
    wanted = insert(tables.journal_entry).values(values).returning(tables.journal_entry.c.entry_id)
    entry_id: int = (await connection.execute(wanted)).scalar_one()
    count = len(entry.postings)
    columns = {
        "entry_id": [entry_id] * count,
        "line": list(range(1, count + 1)),
        "account_id": [accounts[_key(posting.account)] for posting in entry.postings],
        "amount": [posting.amount for posting in entry.postings],
    }
    await connection.execute(_POSTINGS, columns)
    return entry_id


async def _account_ids(connection: AsyncConnection, accounts: Collection[Account]) -> dict[Key, int]:
    keys = {_key(account) for account in accounts}
    known = await _known_accounts(connection, keys)
    if missing := sorted(keys - known.keys()):
        rows = [{"kind": k, "enterprise": e or None, "province": p or None} for k, e, p in missing]
        await connection.execute(insert(tables.account), rows)
        known = await _known_accounts(connection, keys)
    return known


async def _known_accounts(connection: AsyncConnection, keys: Collection[Key]) -> dict[Key, int]:
    kinds, enterprises, provinces = zip(*keys, strict=True)
    columns = {"kind": list(kinds), "enterprise": list(enterprises), "province": list(provinces)}
    rows = await connection.execute(_ACCOUNTS, columns)
    return {(row.kind, row.enterprise, row.province): row.account_id for row in rows}


def _key(account: Account) -> Key:
    party = account.party
    return (account.kind.value, party.enterprise, party.province) if party else (account.kind.value, "", "")
