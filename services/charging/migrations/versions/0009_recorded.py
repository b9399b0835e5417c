"""When an acceptance was sent stands with the order itself (docs/decisions/0014)."""

from shared.adapters.postgres.migrations import run_script

revision = "0009"
down_revision = "0008"

DDL = """
-- The record's time of an acceptance that was sent a minute or more after it; null: within the minute. Of rows from
-- before, the earliest of their batch, which was all that was known. They are written as history, so the owner puts
-- its trigger aside for as long.
alter table charging.entry add column recorded_at timestamptz
    constraint entry_recorded_at check (recorded_at is null or kind = 1 and recorded_at > accepted_at);
do $$
declare
    part regclass;
begin
    for part in select inhrelid from pg_inherits
        where inhparent = 'charging.entry'::regclass and not inhdetachpending
    loop
        execute format('alter table %s disable trigger history', part);
        execute format('update %s e set recorded_at = first_record_at from charging.batch_received r'
            ' where (r.batch, r.enterprise) = (e.batch, e.enterprise) and kind = 1'
            ' and first_record_at >= accepted_at + interval ''1 minute''', part);
        execute format('alter table %s enable trigger history', part);
    end loop;
end $$;
drop table charging.batch_received;
"""


def upgrade() -> None:
    """Add the column, carry over what was known, drop what it replaces."""
    run_script(DDL)
