"""Number accounting: which numbers of every series came, and which did not (design D11)."""

from shared.adapters.postgres.migrations import run_script

revision = "0003"
down_revision = "0002"

DDL = """
-- Days whose acceptances were accounted for by number; written in the transaction that counts the day.
create table charging.accounted_day (
    day date primary key,
    accounted_at timestamptz not null default clock_timestamp()
);

-- Numbers of a series, both ends included, as one close found them. seen: acceptances of one insured day that stand in
-- rows; excluded marks those that bear no premium, number first + n is bit n (get_bit). repeated: the same number on
-- two orders. conflict and parked: what the kept bytes say. scattered: acceptances in so many stretches that they are
-- not told apart. Of the last four insured_on is missing.
create table charging.number_range (
    enterprise smallint not null,
    series text collate "C" not null,
    first bigint not null check (first >= 1),
    last bigint not null,
    state text not null check (state in ('seen', 'repeated', 'conflict', 'parked', 'scattered')),
    insured_on date,
    found_on date not null references charging.accounted_day,
    excluded bytea check (length(excluded) = (last - first + 8) / 8),
    unique nulls not distinct (enterprise, series, first, state, insured_on, found_on),
    check (last >= first),
    check ((state = 'seen') = (insured_on is not null)),
    check (excluded is null or state = 'seen')
);
create index number_range_by_last on charging.number_range (enterprise, series, last);
create index number_range_by_day on charging.number_range (insured_on);
create index number_range_by_close on charging.number_range (found_on, state);

-- When a day was held against its numbers: once at the close of the next day, once when missing orders are presumed.
create table charging.judged_day (
    day date not null references charging.accounted_day,
    is_presumed boolean not null,
    judged_on date not null references charging.accounted_day,
    primary key (day, is_presumed),
    check (judged_on > day)
);

-- Numbers of a day that nothing bears and that were not declared unused, as that close found them.
create table charging.number_gap (
    enterprise smallint not null,
    series text collate "C" not null,
    first bigint not null check (first >= 1),
    last bigint not null check (last >= first),
    insured_on date not null,
    is_presumed boolean not null,
    is_declared boolean not null,
    primary key (enterprise, series, first, is_presumed),
    foreign key (insured_on, is_presumed) references charging.judged_day
);
create index number_gap_by_day on charging.number_gap (insured_on, is_presumed);

do $$
declare t text;
begin
    foreach t in array array['accounted_day', 'number_range', 'judged_day', 'number_gap'] loop
        execute format('create trigger history before update or delete on charging.%I'
            ' for each row execute function charging.refuse_change()', t);
        execute format('create trigger history_whole before truncate on charging.%I'
            ' for each statement execute function charging.refuse_change()', t);
        execute format('grant select on charging.%I to danbao_charging, danbao_auditor', t);
        execute format('grant insert on charging.%I to danbao_charging', t);
    end loop;
end $$;
"""


def upgrade() -> None:
    """Make the tables."""
    run_script(DDL)
