"""Names typed at the door are kept as they came only where there is such an account (docs/decisions/0019)."""

from shared.adapters.postgres.migrations import run_script

revision = "0007"
down_revision = "0006"

_KEPT_KEYS = """
-- The keys of kept bytes and of names typed at the door, one a day. A row changes once: its key is destroyed.
create table reporting.kept_key (
    day date primary key,
    key bytea,
    made_at timestamptz not null default clock_timestamp(),
    destroyed_at timestamptz,
    constraint kept_key_length check (length(key) = 32),
    constraint kept_key_destroyed check ((key is null) = (destroyed_at is not null))
);
create function reporting.refuse_key_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if old.key is not null and new.key is null and (new.day, new.made_at) = (old.day, old.made_at)
                and old.day < (clock_timestamp() at time zone 'Asia/Shanghai')::date - 1 then
            return new;
        end if;
    end if;
    raise exception '% of reporting.kept_key: a key is destroyed two days after its day at the earliest, never changed',
        tg_op using errcode = 'integrity_constraint_violation';
end $$;
create trigger append_only before update or delete on reporting.kept_key
    for each row execute function reporting.refuse_key_change();
create trigger never_emptied before truncate on reporting.kept_key
    for each statement execute function reporting.refuse_key_change();
grant select, insert, update (key, destroyed_at), maintain on reporting.kept_key to danbao_reporting;
grant select (day, made_at, destroyed_at) on reporting.kept_key to danbao_auditor;
revoke execute on function reporting.refuse_key_change from public;

-- What was typed before and names no account: under a key that nobody has, and the table is written anew.
alter table reporting.access_note disable trigger user;
with key as materialized (select convert_to(gen_random_uuid()::text || gen_random_uuid(), 'UTF8') as secret)
update reporting.access_note n
    set subject = 'unknown:' || left(encode(sha256(key.secret || convert_to(n.subject, 'UTF8')), 'hex'), 32)
    from key where n.what = 'attempted' and not exists (select from reporting.account a where a.name = n.subject);
alter table reporting.access_note enable trigger user;
cluster reporting.access_note using access_note_pkey;
"""


def upgrade() -> None:
    """Make the keys' table, and take strangers' words out of the notes of the door."""
    run_script(_KEPT_KEYS)
