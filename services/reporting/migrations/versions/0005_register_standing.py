"""Where each finding of the register stands, kept beside its history, so that lists and counts need not read all."""

from shared.adapters.postgres.migrations import run_script

revision = "0005"
down_revision = "0004"

_STANDING = """
-- The newest state of each finding. It follows from the history, whoever adds to that.
create table reporting.discrepancy_standing (
    discrepancy_id bigint primary key references reporting.discrepancy,
    state_id bigint not null references reporting.discrepancy_state,
    state text not null,
    province text,
    enterprise text
);
create index discrepancy_standing_in on reporting.discrepancy_standing (state, discrepancy_id);
create index discrepancy_standing_of_province on reporting.discrepancy_standing (province, state, discrepancy_id);
create index discrepancy_standing_of_enterprise on reporting.discrepancy_standing (enterprise, state, discrepancy_id);
create index discrepancy_by_kind on reporting.discrepancy (kind, id);
create index discrepancy_of_province_by_kind on reporting.discrepancy (province, kind, id);
create index discrepancy_of_enterprise_by_kind on reporting.discrepancy (enterprise, kind, id);
create index discrepancy_of_both on reporting.discrepancy (enterprise, province, id);
create index discrepancy_by_day on reporting.discrepancy (day, id);
create index discrepancy_by_period on reporting.discrepancy (period, id);
create index discrepancy_of_province_by_period on reporting.discrepancy (province, period, id);
create index discrepancy_of_enterprise_by_period on reporting.discrepancy (enterprise, period, id);
-- Lists of reports are by number, the newest first.
create index report_by_kind on reporting.report (kind, number);
create index report_by_kind_and_period on reporting.report (period, kind, number);
create index report_of_province on reporting.report (province, kind, number);
create index report_of_province_by_number on reporting.report (province, number);
create index report_of_enterprise on reporting.report (enterprise, kind, number) where enterprise is not null;
create index report_of_enterprise_by_number on reporting.report (enterprise, number) where enterprise is not null;
create index discrepancy_of_report on reporting.discrepancy (report_id) where report_id is not null;
create function reporting.note_standing() returns trigger language plpgsql as $$
begin
    update reporting.discrepancy_standing set state_id = new.id, state = new.state
        where discrepancy_id = new.discrepancy_id and state_id < new.id;
    insert into reporting.discrepancy_standing
        select d.id, new.id, new.state, d.province, d.enterprise from reporting.discrepancy d
        where d.id = new.discrepancy_id
            and not exists (select from reporting.discrepancy_standing s where s.discrepancy_id = d.id);
    return null;
end $$;
create trigger note_standing after insert on reporting.discrepancy_state
    for each row execute function reporting.note_standing();
select reporting.guard('discrepancy_standing', 'province', 'enterprise');
grant select, insert, update, delete on reporting.discrepancy_standing to danbao_reporting;
grant select on reporting.discrepancy_standing to danbao_auditor;
create or replace view reporting.discrepancy_now with (security_invoker = true) as
    select d.*, n.state, s.actor, s.note, s.noted_at,
        coalesce(g.seen_at, d.found_at) as last_seen_at, 1 + coalesce(g.again, 0) as times_seen
    from reporting.discrepancy d
    join reporting.discrepancy_standing n on n.discrepancy_id = d.id
    join reporting.discrepancy_state s on s.id = n.state_id
    left join lateral (select max(seen_at) as seen_at, count(*) as again from reporting.discrepancy_sighting
                       where discrepancy_id = d.id) g on true;
"""


def upgrade() -> None:
    run_script(_STANDING)
