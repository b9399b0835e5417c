"""The bytes of what is kept are sealed under a key a day, which is destroyed after a time (docs/decisions/0019)."""

import json
from base64 import b64decode
from typing import Any

from services.charging.rows.kept_records import CONFLICT, PARKED, SealedRecord, known_headers, seal_record
from shared.adapters.postgres.kept_keys import key_of, make_key_of_today, newest_key_sql
from shared.adapters.postgres.migrations import run_script, run_step
from shared.domain.privacy.redaction import redact_detail

revision = "0012"
down_revision = "0011"

DDL = """
-- The keys of kept bytes, one a day of keeping (Asia/Shanghai). A row changes once: its key is destroyed.
create table charging.kept_key (
    day date primary key,
    key bytea,
    made_at timestamptz not null default clock_timestamp(),
    destroyed_at timestamptz,
    constraint kept_key_length check (length(key) = 32),
    constraint kept_key_destroyed check ((key is null) = (destroyed_at is not null))
);
create function charging.refuse_key_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if old.key is not null and new.key is null and (new.day, new.made_at) = (old.day, old.made_at) then
            if old.day < (clock_timestamp() at time zone 'Asia/Shanghai')::date - 1 then
                return new;
            end if;
            raise exception 'the key of % may be in use: it can be destroyed from % on', old.day, old.day + 2
                using errcode = 'integrity_constraint_violation';
        end if;
    end if;
    raise exception '% of charging.kept_key: a key is destroyed, never changed', tg_op
        using errcode = 'integrity_constraint_violation';
end $$;
create trigger history before update or delete on charging.kept_key
    for each row execute function charging.refuse_key_change();
create trigger history_whole before truncate on charging.kept_key
    for each statement execute function charging.refuse_key_change();
grant select, insert, update (key, destroyed_at), maintain on charging.kept_key to danbao_charging;
grant select (day, made_at, destroyed_at) on charging.kept_key to danbao_auditor;
revoke execute on function charging.refuse_key_change from public;

-- Hash, length and redacted form of what is kept; its bytes (of a parked event with key and headers), sealed under the
-- key of sealed_on; and the number that it bears, for that is counted. `headers` are those that stay readable.
alter table charging.parked disable trigger history;
alter table charging.conflict disable trigger history;
alter table charging.parked add received bytea, add bytes integer, add redacted text, add sealed bytea,
    add sealed_on date, add series text collate "C", add sequence bigint;
alter table charging.conflict add received bytea, add bytes integer, add redacted text, add sealed bytea,
    add sealed_on date, add series text collate "C", add sequence bigint;
"""
# The table is written anew, so that what stood in clear is in none of its pages.
AFTER = """
alter table charging.{0} {1}
    alter received set not null, alter bytes set not null, alter redacted set not null, alter sealed set not null,
    alter sealed_on set not null, add constraint {0}_received check (length(received) = 32),
    add constraint {0}_number check ((series is null) = (sequence is null));
alter table charging.{0} enable trigger history;
cluster charging.{0} using {0}_pkey;
"""
SET = "received = $3, bytes = $4, redacted = $5, sealed = $6, sealed_on = $7, series = $8, sequence = $9"


async def seal_what_is_kept(connection: Any) -> None:
    """Carry every row over, a thousand at a time."""
    if not await connection.fetchval("select exists (table charging.parked) or exists (table charging.conflict)"):
        return
    await make_key_of_today(connection, "charging")
    key = key_of(await connection.fetchrow(newest_key_sql("charging")))
    parked = f"""update charging.parked set {SET}, headers = $10::text::jsonb, detail = $11
        where (batch, leaf_index) = ($1, $2)"""
    async for rows in _pages(connection, "parked", ", headers::text as headers_text"):
        changed = []
        for row in rows:
            place = (row["batch"], row["leaf_index"])
            headers: list[tuple[str, bytes | None]] = [(n, b64decode(v)) for n, v in json.loads(row["headers_text"])]
            form = seal_record(key, PARKED, place, row["topic"], SealedRecord(row["value"], row["record_key"], headers))
            changed.append((*place, *form, known_headers(headers), redact_detail(row["detail"])))
        await connection.executemany(parked, changed)
    conflict = f"update charging.conflict set {SET} where (batch, leaf_index) = ($1, $2)"
    async for rows in _pages(connection, "conflict"):
        forms = []
        for row in rows:
            place = (row["batch"], row["leaf_index"])
            form = seal_record(key, CONFLICT, place, row["topic"], SealedRecord(row["value"], None, []))
            forms.append((*place, *form))
        await connection.executemany(conflict, forms)


async def _pages(connection: Any, table: str, more: str = "") -> Any:
    after = (-(2**62), -1)
    sql = f"""select *{more} from charging.{table} where (batch, leaf_index) > ($1, $2)
        order by batch, leaf_index limit 1000"""
    while rows := await connection.fetch(sql, *after):
        yield rows
        after = (rows[-1]["batch"], rows[-1]["leaf_index"])


def upgrade() -> None:
    """Make the keys' table, seal what is there, drop what stood in clear."""
    run_script(DDL)
    run_step(seal_what_is_kept)
    run_script(AFTER.format("parked", "drop value, drop record_key,"))
    run_script(AFTER.format("conflict", "drop value,"))
