"""The portal logs in as a role that sees nothing without a session or key (docs/decisions/0021)."""

from shared.adapters.postgres.migrations import run_script

revision = "0014"
down_revision = "0013"

_ROLES = """
do $$
declare
    role text;
begin
    foreach role in array array['danbao_portal', 'danbao_reporting_access'] loop
        begin
            execute format('create role %I nologin', role);
        exception when duplicate_object or unique_violation then
            null;
        end;
        execute format('grant usage on schema reporting to %I', role);
    end loop;
    foreach role in array array['national', 'province', 'enterprise', 'worker', 'operator'] loop
        role := 'danbao_view_' || role;
        if not exists (select from pg_auth_members
                       where roleid = role::regrole and member = 'danbao_portal'::regrole and set_option) then
            execute format('grant %I to danbao_portal with inherit false, set true', role);
        end if;
    end loop;
end $$;
"""

_TABLES = """
create table reporting.view_secret (
    is_only boolean primary key default true check (is_only),
    secret bytea not null check (length(secret) = 32)
);
insert into reporting.view_secret (secret)
    values (sha256(convert_to(gen_random_uuid()::text || gen_random_uuid(), 'UTF8')));
-- The keys of the file of access keys that are one reader's, as the service read them when it started.
create table reporting.file_key (
    key_sha256 text primary key check (key_sha256 ~ '^[0-9a-f]{64}$'),
    name text not null check (name <> ''),
    role text not null check (role <> 'worker'),
    scope text,
    registered_at timestamptz not null default clock_timestamp(),
    check (reporting.is_scope(role, scope))
);
grant select, insert, update, delete on reporting.file_key to danbao_reporting;
grant select (name, role, scope, registered_at) on reporting.file_key to danbao_auditor;
"""

_HOLDERS = """
-- Sessions that are not over, by the hash of their token: idle for 30 minutes is over.
create function reporting.session_holder(digest text)
returns table (name text, role text, scope text, must_change boolean) language sql stable as $$
    select coalesce(a.name, 'link ' || k.key_id), coalesce(a.role, k.role), coalesce(a.scope, k.scope),
        coalesce(a.must_change, false)
    from reporting.session s
    left join reporting.account a on a.name = s.account
    left join reporting.api_key k on k.key_id = s.key_id
    where s.session_sha256 = digest and s.ends_at > clock_timestamp()
        and s.last_seen_at > clock_timestamp() - interval '30 minutes'
        and not coalesce(a.is_disabled, false)
        and (k.key_id is null or (k.revoked_at is null and k.ends_at > clock_timestamp()))
$$;
-- API keys that have not ended; a worker's link is none, it opens a session.
create function reporting.key_holder(digest text) returns table (name text, role text, scope text)
language sql stable as $$
    select format('key %s %s', k.key_id, k.name), k.role, k.scope from reporting.api_key k
    where k.key_sha256 = digest and k.revoked_at is null and k.ends_at > clock_timestamp() and k.role <> 'worker'
$$;
-- Whose the session, API key or key of the file is. An account whose password an operator knows sees nothing yet.
create function reporting.holder(digest text) returns table (name text, role text, scope text)
language sql stable as $$
    select s.name, s.role, s.scope from reporting.session_holder(digest) s where not s.must_change
    union all select k.name, k.role, k.scope from reporting.key_holder(digest) k
    union all select f.name, f.role, f.scope from reporting.file_key f where f.key_sha256 = digest
$$;
-- The holder, where it is of one of these roles. DNB01: there is none, because it has ended meanwhile or never was.
create function reporting.acting(digest text, allowed text[], out name text, out role text, out scope text)
language plpgsql stable as $$
begin
    select h.name, h.role, h.scope into acting.name, acting.role, acting.scope
        from reporting.holder(digest) h where h.role = any (allowed);
    if not found then
        raise exception 'no session or key that may do this' using errcode = 'DNB01';
    end if;
end $$;
"""

_VIEWING = """
-- Hashed twice, so that nobody can add to what was hashed.
create function reporting.proof_of(role text, scope text) returns text
language plpgsql stable parallel restricted as $$
begin
    return (select encode(sha256(s.secret || sha256(convert_to(concat_ws('|', role, scope, pg_backend_pid(),
        extract(epoch from transaction_timestamp())), 'UTF8'))), 'hex') from reporting.view_secret s);
end $$;
-- What opens the rows of the credential's holder in this transaction, as the setting danbao.view; null where it has
-- ended. A view in another transaction needs another ticket.
create function reporting.view_ticket(credential text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select concat_ws('|', h.role, coalesce(h.scope, ''), reporting.proof_of(h.role, coalesce(h.scope, '')))
    from reporting.holder(credential) h
$$;
-- The scope of this transaction's viewer, where there is a ticket of this role; else null, which equals no row. It is
-- called once for each statement and table, so it may not weigh in a plan (cost 1).
create function reporting.viewer_scope(wanted text) returns text
language plpgsql stable parallel restricted cost 1 security definer set search_path = pg_catalog, pg_temp as $$
declare
    parts constant text[] := string_to_array(current_setting('danbao.view', true), '|');
begin
    if cardinality(parts) = 3 and parts[1] = wanted and parts[3] = reporting.proof_of(wanted, parts[2]) then
        return parts[2];
    end if;
    return null;
end $$;
create function reporting.sees_the_country() returns boolean language sql stable parallel restricted cost 1 as $$
    select coalesce(reporting.viewer_scope('national'), reporting.viewer_scope('operator')) is not null
$$;
"""

_GUARD = """
-- Which rows of a table the readers see: those whose province, or enterprise, is the viewer's scope. Both are SQL
-- expressions on the table's columns, mostly a column's name; null: none of the rows are of that kind of reader.
create or replace function reporting.guard(table_name text, province text, enterprise text) returns void
language plpgsql as $$
begin
    execute format('alter table reporting.%I enable row level security, force row level security', table_name);
    execute format('create policy service on reporting.%I to danbao_reporting using (true) with check (true)',
                   table_name);
    execute format('create policy everything on reporting.%I for select to danbao_auditor using (true)', table_name);
    execute format('create policy whole_country on reporting.%I for select to danbao_view_national,'
                   ' danbao_view_operator using ((select reporting.sees_the_country()))', table_name);
    if province is not null then
        execute format('create policy own_province on reporting.%I for select to danbao_view_province'
                       ' using (%s = (select reporting.viewer_scope(''province'')))', table_name, province);
    end if;
    if enterprise is not null then
        execute format('create policy own_enterprise on reporting.%I for select to danbao_view_enterprise'
                       ' using (%s = (select reporting.viewer_scope(''enterprise'')))', table_name, enterprise);
    end if;
    execute format('grant select on reporting.%I to danbao_view_national, danbao_view_province,'
                   ' danbao_view_enterprise, danbao_view_worker, danbao_view_operator', table_name);
end $$;
-- The tables that are guarded already.
do $$
declare
    rule record;
    scope constant text := 'current_setting(''danbao.scope''::text, true)';
    left_over text;
begin
    for rule in select tablename, policyname, qual from pg_policies where schemaname = 'reporting' loop
        if rule.policyname = 'everything' then
            execute format('alter policy everything on reporting.%I to danbao_auditor', rule.tablename);
            execute format('create policy whole_country on reporting.%I for select to danbao_view_national,'
                           ' danbao_view_operator using ((select reporting.sees_the_country()))', rule.tablename);
        elsif rule.policyname in ('own_province', 'own_enterprise') then
            execute format('alter policy %I on reporting.%I using (%s)', rule.policyname, rule.tablename,
                replace(rule.qual, scope, format('(select reporting.viewer_scope(%L))', substr(rule.policyname, 5))));
        end if;
    end loop;
    select string_agg(tablename || '.' || policyname, ', ') into left_over from pg_policies
        where schemaname = 'reporting' and qual like '%danbao.scope%';
    if left_over is not null then
        raise exception 'policies that believe a setting: %', left_over;
    end if;
end $$;
-- Which days are in the model is no secret among those who have a ticket.
alter table reporting.day_projected enable row level security, force row level security;
create policy service on reporting.day_projected to danbao_reporting using (true) with check (true);
create policy everything on reporting.day_projected for select to danbao_auditor using (true);
create policy whole_country on reporting.day_projected for select to danbao_view_national, danbao_view_operator
    using ((select reporting.sees_the_country()));
create policy any_province on reporting.day_projected for select to danbao_view_province
    using ((select reporting.viewer_scope('province')) is not null);
create policy any_enterprise on reporting.day_projected for select to danbao_view_enterprise
    using ((select reporting.viewer_scope('enterprise')) is not null);
"""

_RIGHTS = """
revoke execute on function reporting.guard, reporting.sees_the_country, reporting.view_ticket, reporting.viewer_scope,
    reporting.session_holder, reporting.key_holder, reporting.holder, reporting.acting, reporting.proof_of from public;
grant execute on function reporting.session_holder, reporting.key_holder, reporting.holder, reporting.acting,
    reporting.proof_of to danbao_reporting_access;
grant execute on function reporting.view_ticket to danbao_portal;
grant execute on function reporting.viewer_scope, reporting.sees_the_country to danbao_view_national,
    danbao_view_province, danbao_view_enterprise, danbao_view_worker, danbao_view_operator;
grant select on reporting.view_secret, reporting.file_key, reporting.api_key, reporting.session, reporting.account
    to danbao_reporting_access;
"""


def upgrade() -> None:
    """Make the roles and the tickets; have every policy ask for a ticket."""
    run_script(_ROLES + _TABLES + _HOLDERS + _VIEWING + _GUARD + _RIGHTS)
