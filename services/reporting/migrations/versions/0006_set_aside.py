"""Items of the background steps that cannot be done and are kept out of the way of the others."""

from shared.adapters.postgres.migrations import run_script

revision = "0006"
down_revision = "0005"

_SET_ASIDE = """
-- One row for an item that was ever set aside; open while resolved_at is null. Updated: it is a state, not a history.
create table reporting.set_aside (
    step text not null check (step in ('build_day', 'build_declaration', 'examine_day', 'check_notice', 'check_total',
        'project_day', 'project_statement', 'send_report', 'reconcile')),
    item text not null,
    reason text not null check (reason in
        ('refused', 'undecodable', 'out_of_range', 'constraint', 'wrong_answer', 'unexpected')),
    detail text not null,
    attempts int not null default 1 check (attempts > 0),
    first_at timestamptz not null default clock_timestamp(),
    last_at timestamptz not null default clock_timestamp(),
    next_at timestamptz not null, -- when it is tried again
    resolved_at timestamptz,
    primary key (step, item)
);
create index set_aside_open on reporting.set_aside (first_at) where resolved_at is null;
grant select, insert, update on reporting.set_aside to danbao_reporting;
grant select on reporting.set_aside to danbao_auditor;
"""


def upgrade() -> None:
    run_script(_SET_ASIDE)
