"""What reporting keeps: what it was told, the reports it built, how they were sent, receipts, discrepancies."""

from shared.adapters.postgres.migrations import run_script

revision = "0001"
down_revision = None

_TOLD = """
create function reporting.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append only', tg_table_name using errcode = 'restrict_violation';
end $$;

-- The messages as they came: a day or a statement is told once, whatever is delivered later.
create table reporting.day_closed (
    day date primary key,
    as_of timestamptz not null,
    body bytea not null,
    body_sha256 text not null,
    received_at timestamptz not null default clock_timestamp()
);
create table reporting.statement_issued (
    statement_id text primary key,
    period text not null check (period ~ '^[0-9]{4}-[0-9]{2}$'),
    province text not null check (province ~ '^[0-9]{2}$'),
    enterprise text not null check (enterprise ~ '^[0-9A-Z]{18}$'),
    body bytea not null,
    body_sha256 text not null,
    received_at timestamptz not null default clock_timestamp(),
    unique (period, province, enterprise)
);
create table reporting.unreadable (
    body_sha256 text primary key,
    topic text not null,
    body bytea not null,
    error text not null,
    received_at timestamptz not null default clock_timestamp()
);
"""

_REPORTS = """
create table reporting.report (
    report_id text primary key,
    number bigint not null unique generated always as identity,
    kind text not null check (kind in ('coverage', 'registration', 'declaration', 'payment')),
    day date,
    period text not null check (period ~ '^[0-9]{4}-[0-9]{2}$'),
    province text not null check (province ~ '^[0-9]{2}$'),
    enterprise text check (enterprise ~ '^[0-9A-Z]{18}$'),
    statement_id text unique references reporting.statement_issued,
    as_of date,
    body bytea not null,
    body_sha256 text not null check (body_sha256 ~ '^[0-9a-f]{64}$'),
    built_at timestamptz not null default clock_timestamp(),
    check ((kind in ('coverage', 'registration')) = (day is not null)),
    check ((kind = 'declaration') = (enterprise is not null and statement_id is not null)),
    check ((kind = 'payment') = (as_of is not null))
);
create unique index report_once_a_day on reporting.report (day, province) where kind = 'coverage';
create index report_by_period on reporting.report (period, kind, province);

-- What one enterprise has in a report, for lists: orders, and 0.0001 yuan (exact; as rounded in a declaration).
create table reporting.share (
    report_id text not null references reporting.report,
    enterprise text not null,
    orders bigint not null,
    amount bigint not null,
    primary key (report_id, enterprise)
);
create table reporting.province_built (
    day date not null references reporting.day_closed,
    province text not null,
    primary key (day, province)
);
create table reporting.day_built (
    day date primary key references reporting.day_closed,
    built_at timestamptz not null default clock_timestamp()
);

-- Where the sending of a report stands: the one table that is updated.
create table reporting.delivery (
    report_id text primary key references reporting.report,
    state text not null default 'pending' check (state in ('pending', 'received', 'refused', 'undeliverable')),
    attempts int not null default 0,
    next_attempt_at timestamptz not null default clock_timestamp(),
    last_error text
);
create index delivery_due on reporting.delivery (next_attempt_at) where state = 'pending';
create table reporting.receipt (
    report_id text primary key references reporting.report,
    receipt_id text not null,
    body_sha256 text not null,
    received_at timestamptz not null,
    unconfirmed text not null, -- JSON, as answered
    kept_at timestamptz not null default clock_timestamp()
);
"""

_DISCREPANCIES = """
-- The register. What is found is written once; its sightings, orders and states stand beside it, and all of it stays.
create table reporting.discrepancy (
    id bigint primary key generated always as identity,
    identity_sha256 text not null unique,
    kind text not null check (kind in (
        'sequence_gap', 'presumed_orders', 'number_used_twice', 'declared_differently', 'manifest_missing',
        'manifest_late', 'manifest_changed', 'other_content', 'several_acceptance_times',
        'completion_without_acceptance', 'cancellation_without_acceptance', 'late_acceptances', 'not_enrolled',
        'excluded_share', 'implausible_count', 'injury_without_order', 'order_after_injury', 'independent_total',
        'refused', 'undeliverable', 'receipt_mismatch', 'unconfirmed_exclusion', 'registration_count', 'unbuildable',
        'orders', 'exact_yuan', 'declaration_missing', 'reports_missing', 'not_held', 'held_unknown',
        'held_differently', 'different_content', 'unreadable_message')),
    key text, -- what makes it the same when it is found again; without one, all its fields do
    report_id text,
    period text,
    day date,
    province text,
    enterprise text,
    declared text,
    reported text,
    count bigint,
    detail text not null,
    evidence jsonb not null default '{}',
    found_at timestamptz not null default clock_timestamp()
);
create index discrepancy_by_enterprise on reporting.discrepancy (enterprise, id);
create index discrepancy_by_province on reporting.discrepancy (province, id);
create table reporting.discrepancy_order (
    discrepancy_id bigint not null references reporting.discrepancy,
    number int not null,
    order_id text not null,
    accepted_at timestamptz,
    worker_id text,
    primary key (discrepancy_id, number)
);
-- Found again: as it was told then.
create table reporting.discrepancy_sighting (
    id bigint primary key generated always as identity,
    discrepancy_id bigint not null references reporting.discrepancy,
    count bigint,
    detail text not null,
    evidence jsonb not null,
    seen_at timestamptz not null default clock_timestamp()
);
create index discrepancy_sighting_of on reporting.discrepancy_sighting (discrepancy_id, id);
create table reporting.discrepancy_state (
    id bigint primary key generated always as identity,
    discrepancy_id bigint not null references reporting.discrepancy,
    state text not null check (state in ('open', 'explained', 'corrected', 'confirmed')),
    actor text not null check (actor <> ''), -- the name of a key, or danbao for what is found by itself
    note text not null check (note <> ''),
    noted_at timestamptz not null default clock_timestamp()
);
create index discrepancy_state_of on reporting.discrepancy_state (discrepancy_id, id);
create view reporting.discrepancy_now as
    select d.*, s.state, s.actor, s.note, s.noted_at,
        coalesce(g.seen_at, d.found_at) as last_seen_at, 1 + coalesce(g.again, 0) as times_seen
    from reporting.discrepancy d
    cross join lateral (select state, actor, note, noted_at from reporting.discrepancy_state
                        where discrepancy_id = d.id order by id desc limit 1) s
    left join lateral (select max(seen_at) as seen_at, count(*) as again from reporting.discrepancy_sighting
                       where discrepancy_id = d.id) g on true;
"""

_RIGHTS = """
do $$
declare
    name text;
begin
    foreach name in array array['day_closed', 'statement_issued', 'unreadable', 'report', 'share', 'province_built',
                                'day_built', 'receipt', 'discrepancy', 'discrepancy_order',
                                'discrepancy_sighting', 'discrepancy_state'] loop
        execute format('create trigger append_only before update or delete or truncate on reporting.%I'
                       ' for each statement execute function reporting.refuse_change()', name);
        execute format('grant select, insert on reporting.%I to danbao_reporting', name);
    end loop;
end $$;
create trigger kept before delete or truncate on reporting.delivery
    for each statement execute function reporting.refuse_change();
grant select, insert, update on reporting.delivery to danbao_reporting;
grant select on reporting.discrepancy_now to danbao_reporting;
grant usage on schema reporting to danbao_reporting, danbao_auditor;
grant select on all tables in schema reporting to danbao_auditor;
"""


def upgrade() -> None:
    run_script(_TOLD + _REPORTS + _DISCREPANCIES + _RIGHTS)
