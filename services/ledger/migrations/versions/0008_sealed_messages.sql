-- The keys of quarantined messages, one a day of keeping (Asia/Shanghai). A row changes once: its key is destroyed.
create table ledger.kept_key (
    day          date primary key,
    key          bytea,
    made_at      timestamptz not null default clock_timestamp(),
    destroyed_at timestamptz,
    constraint kept_key_length check (length(key) = 32),
    constraint kept_key_destroyed check ((key is null) = (destroyed_at is not null))
);
comment on table ledger.kept_key is 'Without its key, what was quarantined on a day can be read by nobody.';
create function ledger.refuse_key_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if old.key is not null and new.key is null and (new.day, new.made_at) = (old.day, old.made_at)
                and old.day < (clock_timestamp() at time zone 'Asia/Shanghai')::date - 1 then
            return new;
        end if;
    end if;
    raise exception '% of ledger.kept_key: a key is destroyed two days after its day at the earliest, never changed',
        tg_op using errcode = 'integrity_constraint_violation';
end $$;
create trigger append_only before update or delete on ledger.kept_key
    for each row execute function ledger.refuse_key_change();
create trigger never_emptied before truncate on ledger.kept_key
    for each statement execute function ledger.refuse_key_change();
grant select, insert, update (key, destroyed_at), maintain on ledger.kept_key to danbao_ledger;
grant select (day, made_at, destroyed_at) on ledger.kept_key to danbao_auditor;
revoke execute on function ledger.refuse_key_change from public;

comment on table ledger.refused_message is
    'The quarantine: messages that were not taken, sealed, with the reason. Each is an alarm until it is reviewed.';
