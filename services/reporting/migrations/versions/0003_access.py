"""Who may read: accounts, sessions, API keys, the trail of looks; a role for each kind of reader, and its rows."""

from shared.adapters.postgres.migrations import run_script

revision = "0003"
down_revision = "0002"

_ROLES = """
-- One role for each kind of reader. The service takes it for one transaction (`set local role`), and does not hold its
-- rights otherwise. Roles belong to the whole server, so another database's migration may have made them.
do $$
declare
    kind text;
    role text;
begin
    foreach kind in array array['national', 'province', 'enterprise', 'worker', 'operator'] loop
        role := 'danbao_view_' || kind;
        begin
            execute format('create role %I nologin', role);
        exception when duplicate_object or unique_violation then
            null;
        end;
        execute format('grant usage on schema reporting to %I', role);
        if not exists (select from pg_auth_members
                       where roleid = role::regrole and member = 'danbao_reporting'::regrole and set_option) then
            execute format('grant %I to danbao_reporting with inherit false, set true', role);
        end if;
    end loop;
end $$;

-- Which rows of a table the readers see: those whose province, or enterprise, is the scope of the transaction. Both are
-- SQL expressions on the table's columns, mostly a column's name; null: none of the rows are of that kind of reader.
create function reporting.guard(table_name text, province text, enterprise text) returns void language plpgsql as $$
begin
    execute format('alter table reporting.%I enable row level security, force row level security', table_name);
    execute format('create policy service on reporting.%I to danbao_reporting using (true) with check (true)',
                   table_name);
    execute format('create policy everything on reporting.%I for select'
                   ' to danbao_auditor, danbao_view_national, danbao_view_operator using (true)', table_name);
    if province is not null then
        execute format('create policy own_province on reporting.%I for select to danbao_view_province'
                       ' using (%s = current_setting(''danbao.scope'', true))', table_name, province);
    end if;
    if enterprise is not null then
        execute format('create policy own_enterprise on reporting.%I for select to danbao_view_enterprise'
                       ' using (%s = current_setting(''danbao.scope'', true))', table_name, enterprise);
    end if;
    execute format('grant select on reporting.%I to danbao_view_national, danbao_view_province,'
                   ' danbao_view_enterprise, danbao_view_worker, danbao_view_operator', table_name);
end $$;
revoke execute on function reporting.guard from public;
"""

_ACCESS = """
create function reporting.is_scope(role text, scope text) returns boolean language sql immutable as $$
    select coalesce(case role
        when 'province' then scope ~ '^[0-9]{2}$'
        when 'enterprise' then scope ~ '^[0-9A-Z]{18}$'
        when 'worker' then scope ~ '^[0-9a-f]{64}(:[0-9A-Z]{18})?$' -- a token, and whose orders when not all
        else role in ('national', 'operator') and scope is null end, false)
$$;
create table reporting.account (
    name text primary key check (name ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'),
    role text not null check (role <> 'worker'),
    scope text,
    password_hash text not null check (password_hash like '$argon2id$%'),
    is_disabled boolean not null default false,
    made_at timestamptz not null default clock_timestamp(),
    check (reporting.is_scope(role, scope))
);
-- Keys of programs, and links of workers (role worker); of the key itself only its hash.
create table reporting.api_key (
    key_id bigint primary key generated always as identity,
    key_sha256 text not null unique check (key_sha256 ~ '^[0-9a-f]{64}$'),
    name text not null check (name <> '' and length(name) <= 100),
    role text not null,
    scope text,
    made_by text not null,
    made_at timestamptz not null default clock_timestamp(),
    ends_at timestamptz not null,
    revoked_at timestamptz,
    last_used_at timestamptz,
    check (reporting.is_scope(role, scope))
);
create index api_key_of on reporting.api_key (role, scope);
create table reporting.session (
    session_sha256 text primary key check (session_sha256 ~ '^[0-9a-f]{64}$'),
    account text references reporting.account,
    key_id bigint references reporting.api_key,
    made_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null default clock_timestamp(),
    ends_at timestamptz not null,
    check (num_nonnulls(account, key_id) = 1)
);
create index session_of on reporting.session (account);
-- What happened at the door; attempts to sign in are counted here, too.
create table reporting.access_note (
    id bigint primary key generated always as identity,
    noted_at timestamptz not null default clock_timestamp(),
    what text not null check (what in ('attempted', 'signed_in', 'signed_out', 'account_added', 'account_disabled',
                                       'password_changed', 'key_added', 'key_revoked', 'link_opened')),
    subject text not null, -- the name of the account; of a key, its number
    address text, -- where it came from
    actor text -- who did it to another
);
create index access_note_of on reporting.access_note (subject, noted_at);
create index access_note_from on reporting.access_note (address, noted_at) where address is not null;
-- Every look at data of single orders.
create table reporting.look (
    id bigint primary key generated always as identity,
    looked_at timestamptz not null default clock_timestamp(),
    viewer text not null,
    role text not null,
    scope text,
    what text not null,
    subject text not null
);
"""

_RIGHTS = """
do $$
declare
    name text;
begin
    foreach name in array array['access_note', 'look'] loop
        execute format('create trigger append_only before update or delete or truncate on reporting.%I'
                       ' for each statement execute function reporting.refuse_change()', name);
        execute format('grant select, insert on reporting.%I to danbao_reporting', name);
        execute format('grant select on reporting.%I to danbao_auditor', name);
    end loop;
    foreach name in array array['account', 'api_key'] loop
        execute format('create trigger kept before delete or truncate on reporting.%I'
                       ' for each statement execute function reporting.refuse_change()', name);
        execute format('grant select, insert on reporting.%I to danbao_reporting', name);
    end loop;
end $$;
grant update (password_hash, is_disabled) on reporting.account to danbao_reporting;
grant update (revoked_at, last_used_at) on reporting.api_key to danbao_reporting;
grant select, insert, delete, update (last_seen_at) on reporting.session to danbao_reporting;
-- The auditor sees who may read, and nothing that a password or a session could be guessed from.
grant select (name, role, scope, is_disabled, made_at) on reporting.account to danbao_auditor;
grant select (key_id, name, role, scope, made_by, made_at, ends_at, revoked_at, last_used_at)
    on reporting.api_key to danbao_auditor;
"""


def _of_report(table: str, column: str) -> str:
    return f"(select r.{column} from reporting.report r where r.report_id = {table}.report_id)"


def _of_finding(table: str, column: str) -> str:
    return f"(select d.{column} from reporting.discrepancy d where d.id = {table}.discrepancy_id)"


def _guards() -> str:
    """Tables that pages and API read, with what of a row is the province and the enterprise; the others nobody views.

    An enterprise sees its share of a report, and not the report, whose body holds the others' rows.
    """
    rules: dict[str, tuple[str | None, str | None]] = {
        "report": ("province", "enterprise"),
        "share": (_of_report("share", "province"), "enterprise"),
        "delivery": (_of_report("delivery", "province"), _of_report("delivery", "enterprise")),
        "receipt": (_of_report("receipt", "province"), _of_report("receipt", "enterprise")),
        "statement_issued": ("province", "enterprise"),
        "discrepancy": ("province", "enterprise"),
        "day_figure": ("province", "enterprise"),
        "injury_notice": (None, None),
        "injury_check": (None, None),
        "reported_total": (None, None),
        "total_check": (None, None),
        "look": (None, None),
    }
    for table in ("discrepancy_order", "discrepancy_sighting", "discrepancy_state"):
        rules[table] = (_of_finding(table, "province"), _of_finding(table, "enterprise"))
    return "".join(f"select reporting.guard('{name}', {_text(p)}, {_text(e)});\n" for name, (p, e) in rules.items())


def _text(expression: str | None) -> str:
    return "null" if expression is None else f"'{expression}'"


_VIEW = """
-- The view reads as who asks, so that the rows are those of its reader.
alter view reporting.discrepancy_now set (security_invoker = true);
grant select on reporting.discrepancy_now to danbao_view_national, danbao_view_province, danbao_view_enterprise,
    danbao_view_worker, danbao_view_operator;
"""


def upgrade() -> None:
    run_script(_ROLES + _ACCESS + _RIGHTS + _guards() + _VIEW)
