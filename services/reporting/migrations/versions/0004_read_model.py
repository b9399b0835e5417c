"""What the portal's pages read: sums of the closed days, statements, what arrived lately; made anew at any time."""

from shared.adapters.postgres.migrations import run_script

revision = "0004"
down_revision = "0003"

_KEPT = """
-- Money as it was told, for the pages; the ledger books it and keeps aside what it refuses.
create table reporting.remittance (
    remittance_id text primary key,
    province text not null,
    enterprise text not null,
    amount bigint not null, -- 0.0001 yuan
    received_on date not null,
    received_at timestamptz not null default clock_timestamp()
);
create index remittance_newest on reporting.remittance (received_on, remittance_id);
create index remittance_of_enterprise on reporting.remittance (enterprise, received_on, remittance_id);
create index remittance_of_province on reporting.remittance (province, received_on, remittance_id);
create trigger append_only before update or delete or truncate on reporting.remittance
    for each statement execute function reporting.refuse_change();
grant select, insert on reporting.remittance to danbao_reporting;
grant select on reporting.remittance to danbao_auditor;
"""

_MODEL = """
create table reporting.day_projected (
    day date primary key references reporting.day_closed
);
-- What the close of `day` told of an insured day. Rows of the same insured day add up over `day`.
create table reporting.daily_sum (
    insured_on date not null,
    province text not null,
    enterprise text not null,
    industry text not null,
    day date not null,
    charged bigint not null,
    reversed bigint not null,
    presumed bigint not null, -- of charged less reversed: numbers that nothing bears (assessed)
    excluded bigint not null,
    premium bigint not null, -- 0.0001 yuan, of charged less reversed
    primary key (insured_on, province, enterprise, industry, day)
);
create index daily_sum_of_province on reporting.daily_sum (province, insured_on);
create index daily_sum_of_enterprise on reporting.daily_sum (enterprise, insured_on);
create index daily_sum_amending on reporting.daily_sum (day) where day <> insured_on;
create index daily_sum_amended on reporting.daily_sum (insured_on) where day <> insured_on;
create table reporting.daily_reason (
    insured_on date not null,
    province text not null,
    enterprise text not null,
    industry text not null,
    outcome text not null check (outcome in ('excluded', 'reversed')),
    reason text not null,
    day date not null,
    orders bigint not null,
    primary key (insured_on, province, enterprise, industry, outcome, reason, day)
);
create index daily_reason_of_province on reporting.daily_reason (province, insured_on);
create index daily_reason_of_enterprise on reporting.daily_reason (enterprise, insured_on);
-- Distinct workers of an enterprise in a province, or (null) of all of them there. Over `day` they add up: a later
-- close tells those that were not counted before. Over enterprises, provinces and insured days they do not.
create table reporting.participation (
    insured_on date not null,
    province text not null,
    enterprise text,
    day date not null,
    workers bigint not null,
    unique nulls not distinct (insured_on, province, enterprise, day)
);
create index participation_of_province on reporting.participation (province, insured_on);
create index participation_of_enterprise on reporting.participation (enterprise, insured_on);
-- Acceptances by their hour in Asia/Shanghai, charged or not.
create table reporting.daily_hours (
    insured_on date not null,
    province text not null,
    enterprise text not null,
    day date not null,
    orders bigint[] not null check (cardinality(orders) = 24),
    primary key (insured_on, province, enterprise, day)
);
create index daily_hours_of_province on reporting.daily_hours (province, insured_on);
create index daily_hours_of_enterprise on reporting.daily_hours (enterprise, insured_on);
create table reporting.first_time (
    day date not null,
    province text not null,
    workers bigint not null,
    primary key (day, province)
);
-- Sums of whole months, and of everything, so that neither a month nor "since the start" reads days.
create table reporting.monthly_sum (
    month date not null check (extract(day from month) = 1), -- of the insured days
    province text not null,
    enterprise text not null,
    industry text not null,
    charged bigint not null,
    reversed bigint not null,
    presumed bigint not null,
    excluded bigint not null,
    premium bigint not null,
    primary key (month, province, enterprise, industry)
);
create index monthly_sum_of_province on reporting.monthly_sum (province, month);
create index monthly_sum_of_enterprise on reporting.monthly_sum (enterprise, month);
create table reporting.whole_sum (
    province text not null,
    enterprise text not null,
    industry text not null,
    charged bigint not null,
    reversed bigint not null,
    presumed bigint not null,
    excluded bigint not null,
    premium bigint not null,
    primary key (province, enterprise, industry)
);
create index whole_sum_of_enterprise on reporting.whole_sum (enterprise);
create table reporting.monthly_first_time (
    month date not null check (extract(day from month) = 1),
    province text not null,
    workers bigint not null,
    primary key (month, province)
);
create table reporting.statement_sum (
    statement_id text primary key references reporting.statement_issued,
    period text not null,
    province text not null,
    enterprise text not null,
    issued_as_of timestamptz not null,
    due_on date not null,
    orders bigint not null,
    exact_amount bigint not null, -- 0.0001 yuan
    amount bigint not null, -- the same, rounded line by line: what is owed
    adjustments int not null, -- lines for earlier months
    adjusted bigint not null, -- and what they are of the amount
    assessed int not null -- lines for numbers that nothing bears
);
create index statement_sum_by_period on reporting.statement_sum (period desc, enterprise, province);
create index statement_sum_of_enterprise on reporting.statement_sum (enterprise, period desc, province);
create index statement_sum_of_province on reporting.statement_sum (province, period desc, enterprise);
"""

_ARRIVALS = """
-- What arrived lately, by the minute in which charging told it; both tables forget after a day.
create table reporting.arrival (
    minute timestamptz not null,
    enterprise text not null,
    outcome text not null,
    reason text not null,
    events bigint not null,
    primary key (minute, enterprise, outcome, reason)
);
create index arrival_of_enterprise on reporting.arrival (enterprise, minute);
create table reporting.arrived_manifest (
    run text not null,
    number bigint not null,
    minute timestamptz not null,
    primary key (run, number)
);
create index arrived_manifest_at on reporting.arrived_manifest (minute);
"""

_RIGHTS = """
select reporting.guard('remittance', 'province', 'enterprise');
select reporting.guard('daily_sum', 'province', 'enterprise');
select reporting.guard('daily_reason', 'province', 'enterprise');
select reporting.guard('participation', 'province', 'enterprise');
select reporting.guard('daily_hours', 'province', 'enterprise');
select reporting.guard('first_time', 'province', null);
select reporting.guard('monthly_sum', 'province', 'enterprise');
select reporting.guard('whole_sum', 'province', 'enterprise');
select reporting.guard('monthly_first_time', 'province', null);
select reporting.guard('statement_sum', 'province', 'enterprise');
select reporting.guard('arrival', null, 'enterprise');
do $$
declare
    name text;
begin
    foreach name in array array['day_projected', 'daily_sum', 'daily_reason', 'participation', 'daily_hours',
                                'first_time', 'monthly_sum', 'whole_sum', 'monthly_first_time', 'statement_sum',
                                'arrival', 'arrived_manifest'] loop
        execute format('grant select, insert, update, delete on reporting.%I to danbao_reporting', name);
        execute format('grant select on reporting.%I to danbao_auditor', name);
    end loop;
end $$;
-- Which days are in the model is no secret.
grant select on reporting.day_projected to danbao_view_national, danbao_view_province, danbao_view_enterprise,
    danbao_view_operator;
"""


def upgrade() -> None:
    run_script(_KEPT + _MODEL + _ARRIVALS + _RIGHTS)
