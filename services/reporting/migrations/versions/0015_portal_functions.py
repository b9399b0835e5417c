"""What the portal does with accounts, keys, sessions, findings and the trail: functions that look up who acts.

Each takes the SHA-256 of the session's token or of the key, so that who did something is never an argument
(docs/decisions/0021).
"""

from shared.adapters.postgres.migrations import run_script

revision = "0015"
down_revision = "0014"

_DOOR = """
-- Who shows a session; that somebody asked keeps it from ending, written once a minute at most.
create function reporting.find_session(digest text, is_asked boolean)
returns table (name text, role text, scope text, must_change boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query select h.name, h.role, h.scope, h.must_change from reporting.session_holder(digest) h;
    if found and is_asked then
        update reporting.session s set last_seen_at = clock_timestamp()
            where s.session_sha256 = digest and s.last_seen_at < clock_timestamp() - interval '1 minute';
    end if;
end $$;
-- End a session, and delete those that are over.
create function reporting.end_session(digest text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from reporting.session where session_sha256 = digest or ends_at <= clock_timestamp()
        or last_seen_at <= clock_timestamp() - interval '30 minutes'
$$;
-- Who shows an API key; its last use is written once a minute at most.
create function reporting.find_key(digest text) returns table (name text, role text, scope text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query select h.name, h.role, h.scope from reporting.key_holder(digest) h;
    if found then
        update reporting.api_key k set last_used_at = clock_timestamp() where k.key_sha256 = digest
            and coalesce(k.last_used_at < clock_timestamp() - interval '1 minute', true);
    end if;
end $$;
-- Write down that the credential's holder looks at data of single orders.
create function reporting.note_look(credential text, what text, subject text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into reporting.look (viewer, role, scope, what, subject)
    select a.name, a.role, a.scope, what, subject
    from reporting.acting(credential, array['national', 'province', 'enterprise', 'worker', 'operator']) a
$$;
-- Add a state to a finding that the credential's holder sees; false where it is in that state already, null where
-- there is none.
create function reporting.change_finding(credential text, finding bigint, new_state text, comment text)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor record;
begin
    select * into actor from reporting.acting(credential, array['national', 'operator', 'province']);
    perform from reporting.discrepancy d
        where d.id = finding and (actor.role <> 'province' or d.province = actor.scope);
    if not found then
        return null;
    end if;
    if new_state = (select s.state from reporting.discrepancy_state s where s.discrepancy_id = finding
                    order by s.id desc limit 1) then
        return false;
    end if;
    insert into reporting.discrepancy_state (discrepancy_id, state, actor, note)
        values (finding, new_state, actor.name, comment);
    return true;
end $$;
"""

_ACCOUNTS = """
create function reporting.list_accounts(credential text)
returns table (name text, role text, scope text, is_disabled boolean, must_change boolean, made_at timestamptz,
    last_sign_in_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select a.name, a.role, a.scope, a.is_disabled, a.must_change, a.made_at,
        (select max(n.noted_at) from reporting.access_note n where n.subject = a.name and n.what = 'signed_in')
    from reporting.account a, reporting.acting(credential, array['operator']) order by a.name
$$;
-- False where there is an account of this name.
create function reporting.add_account(credential text, new_name text, new_role text, new_scope text, new_hash text)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor record;
begin
    select * into actor from reporting.acting(credential, array['operator']);
    insert into reporting.account (name, role, scope, password_hash) values (new_name, new_role, new_scope, new_hash)
        on conflict do nothing;
    if found then
        insert into reporting.access_note (what, subject, actor) values ('account_added', new_name, actor.name);
        return true;
    end if;
    return false;
end $$;
-- Disable an account where there is no new hash, else give it a password that it must change; its sessions end.
-- False where there is no such account.
create function reporting.change_account(credential text, account_name text, new_hash text)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor record;
begin
    select * into actor from reporting.acting(credential, array['operator']);
    if new_hash is null then
        update reporting.account a set is_disabled = true where a.name = account_name;
    else
        update reporting.account a set password_hash = new_hash, must_change = true,
            former_hashes = (array[a.password_hash] || a.former_hashes)[1:4] where a.name = account_name;
    end if;
    if not found then
        return false;
    end if;
    delete from reporting.session s where s.account = account_name;
    insert into reporting.access_note (what, subject, actor) values
        (case when new_hash is null then 'account_disabled' else 'password_changed' end, account_name, actor.name);
    return true;
end $$;
"""

_KEYS = """
-- The keys of the holder's own scope, all for an operator; links are not among them.
create function reporting.list_keys(credential text)
returns table (key_id bigint, name text, role text, scope text, made_by text, made_at timestamptz, ends_at timestamptz,
    revoked_at timestamptz, last_used_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.key_id, k.name, k.role, k.scope, k.made_by, k.made_at, k.ends_at, k.revoked_at, k.last_used_at
    from reporting.api_key k, reporting.acting(credential, array['operator', 'enterprise']) a
    where k.role <> 'worker' and (a.role = 'operator' or (k.role = a.role and k.scope = a.scope)) order by k.key_id
$$;
-- No row where the holder may not make such a key: an enterprise makes keys of its own scope, and links to its orders.
create function reporting.add_key(credential text, digest text, new_name text, new_role text, new_scope text, days int)
returns table (new_id bigint, new_end timestamptz)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor record;
begin
    select * into actor from reporting.acting(credential, array['operator', 'enterprise']);
    if days not between 1 and (case when new_role = 'worker' then 31 else 366 end)
            or not coalesce(actor.role = 'operator' or (new_role = 'enterprise' and new_scope = actor.scope)
                            or (new_role = 'worker' and split_part(new_scope, ':', 2) = actor.scope), false) then
        return;
    end if;
    insert into reporting.api_key as k (key_sha256, name, role, scope, made_by, ends_at)
        values (digest, new_name, new_role, new_scope, actor.name, clock_timestamp() + make_interval(days => days))
        returning k.key_id, k.ends_at into new_id, new_end;
    insert into reporting.access_note (what, subject, actor) values ('key_added', new_id::text, actor.name);
    return next;
end $$;
-- False where there is no such key of the holder's.
create function reporting.revoke_key(credential text, number bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor record;
begin
    select * into actor from reporting.acting(credential, array['operator', 'enterprise']);
    update reporting.api_key k set revoked_at = coalesce(k.revoked_at, clock_timestamp()) where k.key_id = number
        and (actor.role = 'operator' or (k.role = actor.role and k.scope = actor.scope));
    if not found then
        return false;
    end if;
    insert into reporting.access_note (what, subject, actor) values ('key_revoked', number::text, actor.name);
    return true;
end $$;
"""

_RIGHTS = """
do $$
declare
    called text;
begin
    for called in select p.oid::regprocedure from pg_proc p where p.pronamespace = 'reporting'::regnamespace
            and p.prosecdef and p.proname not in ('view_ticket', 'viewer_scope') loop
        execute format('revoke execute on function %s from public', called);
        execute format('grant execute on function %s to danbao_portal', called);
    end loop;
end $$;
-- Signing in and out is the service's own login's.
grant execute on function reporting.find_session, reporting.end_session to danbao_reporting;

-- Of each table the columns that the functions touch.
grant insert, update (password_hash, former_hashes, must_change, is_disabled) on reporting.account
    to danbao_reporting_access;
grant insert, update (revoked_at, last_used_at) on reporting.api_key to danbao_reporting_access;
grant delete, update (last_seen_at) on reporting.session to danbao_reporting_access;
grant select (subject, what, noted_at), insert on reporting.access_note to danbao_reporting_access;
grant insert on reporting.look to danbao_reporting_access;
create policy added on reporting.look for insert to danbao_reporting_access with check (true);
grant select (id, province, enterprise) on reporting.discrepancy to danbao_reporting_access;
create policy acting on reporting.discrepancy for select to danbao_reporting_access using (true);
grant select, insert on reporting.discrepancy_state to danbao_reporting_access;
create policy acting on reporting.discrepancy_state to danbao_reporting_access using (true) with check (true);
grant select, insert, update on reporting.discrepancy_standing to danbao_reporting_access;
create policy acting on reporting.discrepancy_standing to danbao_reporting_access using (true) with check (true);

-- What the service's own login did for the portal until now.
revoke insert on reporting.look, reporting.account, reporting.api_key from danbao_reporting;
revoke update (is_disabled) on reporting.account from danbao_reporting;
revoke update (revoked_at) on reporting.api_key from danbao_reporting;
revoke update (last_seen_at) on reporting.session from danbao_reporting;
"""


def upgrade() -> None:
    """Make the functions, and take from the service's own login what they do in its place."""
    run_script(_DOOR + _ACCOUNTS + _KEYS + _RIGHTS)
