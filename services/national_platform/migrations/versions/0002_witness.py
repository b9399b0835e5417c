"""What the national platform keeps as the witness of logs: what it cosigned, and what it refused with proof."""

from shared.adapters.postgres.migrations import run_script

revision = "0002"
down_revision = "0001"

_SCRIPT = """
create table national_platform.witnessed (
    origin text not null,
    size bigint not null check (size >= 0),
    root bytea not null check (length(root) = 32),
    note bytea not null, -- with the log's signatures that were verified and our cosignature
    cosigned_at timestamptz not null,
    primary key (origin, size)
);
comment on table national_platform.witnessed is 'Every checkpoint cosigned; the largest of an origin is the last.';

create table national_platform.witness_alarm (
    alarm_id bigint generated always as identity primary key,
    origin text not null,
    reason text not null check (reason in ('forked', 'smaller', 'not_consistent')),
    size bigint not null,
    root bytea not null,
    known_size bigint not null,
    note bytea not null, -- signed by the log: the proof of what it said
    raised_at timestamptz not null default clock_timestamp(),
    unique (origin, reason, size, root)
);
comment on table national_platform.witness_alarm is 'Checkpoints of a log that contradict the ones that were cosigned.';

create function national_platform.check_witnessed_follows() returns trigger language plpgsql as $$
begin
    if exists (select from national_platform.witnessed where origin = new.origin and size >= new.size) then
        raise exception 'a checkpoint of % does not follow', new.size using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger witnessed_follows before insert on national_platform.witnessed
    for each row execute function national_platform.check_witnessed_follows();

do $$
declare
    name text;
begin
    foreach name in array array['witnessed', 'witness_alarm'] loop
        execute format('create trigger append_only before update or delete or truncate on national_platform.%I'
                       ' for each statement execute function national_platform.refuse_change()', name);
        execute format('grant select, insert on national_platform.%I to national_platform', name);
        execute format('grant select on national_platform.%I to danbao_auditor', name);
    end loop;
end $$;
"""


def upgrade() -> None:
    run_script(_SCRIPT)
