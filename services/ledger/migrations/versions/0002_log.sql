-- The evidence log (docs/decisions/0006): append-only, hashed as RFC 6962, read as C2SP tlog-tiles.

create table ledger.log_entry (
    index     bigint primary key check (index >= 0),
    run       text not null,
    number    bigint not null,
    entry     bytea not null check (length(entry) = 90),
    leaf_hash bytea not null generated always as (sha256('\x00'::bytea || entry)) stored,
    unique (run, number),
    foreign key (run, number) references ledger.manifest_booked,
    check (encode(substr(entry, 3, 16), 'hex') = run),
    check (substr(entry, 19, 4) = substr(int8send(number), 5) and number < 4294967296)
);
comment on table ledger.log_entry is
    'The log: the head of every booked manifest, in the order of booking, from index 0 without a gap.';

create table ledger.log_node (
    level smallint not null check (level between 1 and 7),
    index bigint not null check (index >= 0),
    hash  bytea not null check (length(hash) = 32),
    primary key (level, index)
);
comment on table ledger.log_node is
    'Roots of full tiles: a hash of level n stands over 256^n entries. Worked out from log_entry.leaf_hash.';

create table ledger.checkpoint (
    size      bigint primary key check (size >= 0),
    origin    text not null,
    root      bytea not null check (length(root) = 32),
    note      bytea not null,
    signed_at timestamptz not null default now()
);
comment on table ledger.checkpoint is 'What was signed, one for a size, each larger than the one before (I7).';
comment on column ledger.checkpoint.note is 'The signed note with the signatures of the log''s own keys.';

create table ledger.day_checkpoint (
    day  date primary key references ledger.day_closed,
    size bigint not null references ledger.checkpoint
);
comment on table ledger.day_checkpoint is
    'The first checkpoint at or after the close of a day: it covers every manifest of the day''s cut.';

create table ledger.cosignature (
    size        bigint not null references ledger.checkpoint,
    name        text not null,
    key_id      bytea not null check (length(key_id) = 4),
    line        text not null,
    cosigned_at timestamptz not null,
    recorded_at timestamptz not null default now(),
    primary key (size, name, key_id)
);
comment on table ledger.cosignature is 'Signature lines of witnesses, as they came; cosigned_at is the witness''s word.';

create table ledger.log_fault (
    fault_id bigint generated always as identity primary key,
    kind     text not null check (kind in ('inconsistent', 'refused_by_witness')),
    size     bigint not null,
    detail   text not null,
    found_at timestamptz not null default now(),
    unique (kind, size, detail)
);
comment on table ledger.log_fault is
    'Why a checkpoint was not signed, or not cosigned: an alarm until a later one is.';

do $$
declare name text;
begin
    foreach name in array array['log_entry', 'log_node', 'checkpoint', 'day_checkpoint', 'cosignature', 'log_fault']
    loop
        execute format('create trigger append_only before update or delete on ledger.%I
                        for each row execute function ledger.refuse_change()', name);
        execute format('create trigger never_emptied before truncate on ledger.%I
                        for each statement execute function ledger.refuse_change()', name);
        execute format('grant select, insert on ledger.%I to danbao_ledger', name);
        execute format('grant select on ledger.%I to danbao_auditor', name);
    end loop;
end $$;

create function ledger.check_log_follows() returns trigger language plpgsql as $$
begin
    if new.index > 0 and not exists (select from ledger.log_entry where index = new.index - 1) then
        raise exception 'the log has no entry before %', new.index using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger log_follows before insert on ledger.log_entry
    for each row execute function ledger.check_log_follows();

-- At commit: a manifest is in the books and in the log, or in neither.
create function ledger.check_manifest_logged() returns trigger language plpgsql as $$
begin
    if not exists (select from ledger.log_entry where run = new.run and number = new.number) then
        raise exception 'manifest %/% is not in the log', new.run, new.number using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger manifest_logged after insert on ledger.manifest_booked
    deferrable initially deferred for each row execute function ledger.check_manifest_logged();

create function ledger.check_checkpoint_follows() returns trigger language plpgsql as $$
begin
    if exists (select from ledger.checkpoint where size >= new.size)
       or (new.size > 0 and not exists (select from ledger.log_entry where index = new.size - 1)) then
        raise exception 'a checkpoint of % does not follow', new.size using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger checkpoint_follows before insert on ledger.checkpoint
    for each row execute function ledger.check_checkpoint_follows();
