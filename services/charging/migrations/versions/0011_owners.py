"""A partition belongs to the owner of the table that it is attached to, whichever role made it."""

from shared.adapters.postgres.migrations import run_script

revision = "0011"
down_revision = "0010"

DDL = """
create or replace function charging.attach_part(on_day date) returns void
language plpgsql set search_path = charging, pg_temp as $$
declare
    part text := 'entry_' || to_char(on_day, 'YYYYMMDD');
begin
    execute format('alter table charging.entry attach partition charging.%I for values from (%L) to (%L)',
        part, on_day::text || ' 00:00+08', (on_day + 1)::text || ' 00:00+08');
    execute format('create or replace trigger history before update or delete on charging.%I'
        ' for each row execute function charging.refuse_change()', part);
    execute format('create or replace trigger history_whole before truncate on charging.%I'
        ' for each statement execute function charging.refuse_change()', part);
    -- A restored day is filled by an operator's login: the service seals it, so it must not stay the operator's.
    execute format('alter table charging.%I owner to %I', part,
        (select pg_get_userbyid(relowner) from pg_class where oid = 'charging.entry'::regclass));
end $$;
"""


def upgrade() -> None:
    """Replace the function."""
    run_script(DDL)
