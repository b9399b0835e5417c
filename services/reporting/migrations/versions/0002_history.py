"""What the register's detectors remember: days as they were examined, injury notices, other people's totals."""

from shared.adapters.postgres.migrations import run_script

revision = "0002"
down_revision = "0001"

_DDL = """
create table reporting.day_examined (
    day date primary key references reporting.day_closed,
    findings int not null, -- that charging named
    examined_at timestamptz not null default clock_timestamp()
);
-- What a day's close received of an insured day: acceptances by delay (shared/domain/books/delays.py), and how
-- many of them were excluded because the enterprise says that the worker is insured as an employee.
create table reporting.day_figure (
    day date not null references reporting.day_closed,
    insured_on date not null,
    enterprise text not null,
    province text not null,
    delays bigint[] not null,
    received bigint not null check (received >= 0),
    employees bigint not null check (employees >= 0),
    primary key (insured_on, enterprise, province, day)
);
create index day_figure_of on reporting.day_figure (day);
create table reporting.injury_notice (
    notice_id text primary key,
    injured_on date not null,
    body bytea not null,
    body_sha256 text not null,
    received_at timestamptz not null default clock_timestamp()
);
-- A notice against the orders known when that day was the last examined; a final one is looked at no more.
create table reporting.injury_check (
    notice_id text not null references reporting.injury_notice,
    checked_on date not null,
    outcome text not null check (outcome in ('covered', 'covered_later', 'no_order')),
    is_final boolean not null,
    checked_at timestamptz not null default clock_timestamp(),
    primary key (notice_id, checked_on)
);
create table reporting.reported_total (
    source text not null,
    enterprise text not null,
    day date not null,
    count bigint not null,
    body bytea not null,
    body_sha256 text not null,
    received_at timestamptz not null default clock_timestamp(),
    primary key (day, enterprise, source)
);
create table reporting.total_check (
    source text not null,
    enterprise text not null,
    day date not null,
    checked_on date not null,
    received bigint not null,
    primary key (day, enterprise, source, checked_on),
    foreign key (day, enterprise, source) references reporting.reported_total
);
do $$
declare
    name text;
begin
    foreach name in array array['day_examined', 'day_figure', 'injury_notice', 'injury_check', 'reported_total',
                                'total_check'] loop
        execute format('create trigger append_only before update or delete or truncate on reporting.%I'
                       ' for each statement execute function reporting.refuse_change()', name);
        execute format('grant select, insert on reporting.%I to danbao_reporting', name);
        execute format('grant select on reporting.%I to danbao_auditor', name);
    end loop;
end $$;
"""


def upgrade() -> None:
    run_script(_DDL)
