-- Entries of version 2 have an author (docs/decisions/0018). Those of version 1 stay; no new one is taken.

alter table ledger.log_entry drop constraint log_entry_entry_check;
alter table ledger.log_entry add constraint log_entry_entry_check check (
    length(entry) = case get_byte(entry, 0) when 1 then 90 when 2 then 162 end);

create function ledger.refuse_unsigned_entry() returns trigger language plpgsql as $$
begin
    if get_byte(new.entry, 0) < 2 then
        raise exception 'manifest %/% has no author', new.run, new.number using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger signed_entry before insert on ledger.log_entry
    for each row execute function ledger.refuse_unsigned_entry();

alter table ledger.refused_message drop constraint refused_message_reason_check;
alter table ledger.refused_message add constraint refused_message_reason_check check (reason in (
    'undecodable', 'absurd', 'different_content', 'unexpected', 'foreign_enterprise', 'identity_in_clear',
    'unsigned', 'wrong_author'));
