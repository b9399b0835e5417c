"""One more kind of finding: orders outside the signed declaration of their day."""

from shared.adapters.postgres.migrations import run_script

revision = "0013"
down_revision = "0011"

_KIND = """
do $$
declare
    rule text := (select pg_get_constraintdef(oid) from pg_constraint
        where conrelid = 'reporting.discrepancy'::regclass and conname = 'discrepancy_kind_check');
begin
    alter table reporting.discrepancy drop constraint discrepancy_kind_check;
    execute 'alter table reporting.discrepancy add constraint discrepancy_kind_check '
        || replace(rule, $q$'manifest_missing'::text$q$, $q$'outside_declaration'::text, 'manifest_missing'::text$q$);
end $$;
"""


def upgrade() -> None:
    """Add it to the closed list."""
    run_script(_KIND)
