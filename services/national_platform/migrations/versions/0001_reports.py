"""What the national platform keeps: every delivery, the reports taken, their receipts, their figures."""

from shared.adapters.postgres.migrations import run_script

revision = "0001"
down_revision = None

_TABLES = """
create function national_platform.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append only', tg_table_name using errcode = 'restrict_violation';
end $$;

-- Everything that was heard, byte for byte, taken or not.
create table national_platform.delivery (
    id bigint generated always as identity primary key,
    received_at timestamptz not null default clock_timestamp(),
    reporter text not null,
    idempotency_key text,
    signature text,
    body bytea not null,
    body_sha256 text not null check (body_sha256 ~ '^[0-9a-f]{64}$'),
    report_id text,
    outcome text not null check (outcome in ('taken', 'repeat', 'refused')),
    reason text check (reason in ('bad_signature', 'bad_schema', 'bad_sums', 'different_content', 'wrong_province',
                                  'refused_by_setting')),
    detail text,
    check ((outcome = 'refused') = (reason is not null)),
    check (outcome = 'refused' or report_id is not null)
);
create index delivery_alarm on national_platform.delivery (id) where reason = 'different_content';

create table national_platform.report (
    report_id text primary key,
    delivery_id bigint not null unique references national_platform.delivery,
    kind text not null check (kind in ('coverage', 'registration', 'declaration', 'payment')),
    province text not null check (province ~ '^[0-9]{2}$'),
    enterprise text check (enterprise ~ '^[0-9A-Z]{18}$'),
    day date,
    period text not null check (period ~ '^[0-9]{4}-[0-9]{2}$'),
    check ((kind in ('coverage', 'registration')) = (day is not null)),
    check ((kind = 'declaration') = (enterprise is not null))
);
create index report_by_share on national_platform.report (period, province, report_id);

create table national_platform.receipt (
    report_id text primary key references national_platform.report,
    receipt_id text not null unique,
    body_sha256 text not null,
    received_at timestamptz not null,
    unconfirmed text not null -- JSON, as answered
);

-- Amounts are 0.0001 yuan. Lines of coverage reports, by the month of the report's day (the posting month).
create table national_platform.coverage_line (
    report_id text not null references national_platform.report,
    number int not null,
    period text not null,
    province text not null,
    enterprise text not null,
    insured_on date not null,
    orders bigint not null,
    premium bigint not null,
    primary key (report_id, number)
);
create index coverage_line_by_share on national_platform.coverage_line (period, province, enterprise);

create table national_platform.declaration (
    report_id text primary key references national_platform.report,
    period text not null,
    province text not null,
    enterprise text not null,
    orders bigint not null,
    exact bigint not null,
    amount bigint not null
);
create index declaration_by_share on national_platform.declaration (period, province, enterprise);
"""

_RIGHTS = """
do $$
declare
    name text;
begin
    foreach name in array array['delivery', 'report', 'receipt', 'coverage_line', 'declaration'] loop
        execute format('create trigger append_only before update or delete or truncate on national_platform.%I'
                       ' for each statement execute function national_platform.refuse_change()', name);
        execute format('grant select, insert on national_platform.%I to national_platform', name);
        execute format('grant select on national_platform.%I to danbao_auditor', name);
    end loop;
end $$;
grant usage on schema national_platform to national_platform, danbao_auditor;
"""


def upgrade() -> None:
    run_script(_TABLES + _RIGHTS)
