"""One more kind of finding: order ids that read as identities."""

from shared.adapters.postgres.migrations import run_script

revision = "0008"
down_revision = "0007"

_KIND = """
do $$
declare
    rule text := (select pg_get_constraintdef(oid) from pg_constraint
        where conrelid = 'reporting.discrepancy'::regclass and conname = 'discrepancy_kind_check');
begin
    alter table reporting.discrepancy drop constraint discrepancy_kind_check;
    execute 'alter table reporting.discrepancy add constraint discrepancy_kind_check '
        || replace(rule, $q$'late_acceptances'::text$q$,
            $q$'late_acceptances'::text, 'identity_like_order_ids'::text$q$);
end $$;
"""


def upgrade() -> None:
    """Add it to the closed list."""
    run_script(_KIND)
