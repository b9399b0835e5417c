"""The parts of the table of rows, one a day in Shanghai: how they are made and sealed (docs/decisions/0010)."""

from shared.adapters.postgres.migrations import run_script

revision = "0007"
down_revision = "0006"

DDL = """
-- A day's part is made beside open COPYs: LIKE and ATTACH do not wait for them, PARTITION OF would.
create function charging.make_part(on_day date) returns void
language plpgsql set search_path = charging, pg_temp as $$
declare
    part text := 'entry_' || to_char(on_day, 'YYYYMMDD');
begin
    execute format('create table charging.%I (like charging.entry including all)', part);
    -- What lookups go by until the part is sealed: vacuum sums up each 64 pages; newer ones are read whole.
    execute format('alter table charging.%I set (autovacuum_vacuum_insert_scale_factor = 0,'
        ' autovacuum_vacuum_insert_threshold = 500000)', part);
    execute format('create index %I on charging.%I using brin (order_id text_bloom_ops'
        '(n_distinct_per_range = 3000), worker_key int8_bloom_ops (n_distinct_per_range = 3000),'
        ' batch int8_minmax_multi_ops) with (pages_per_range = 64)', part || '_open', part);
    perform charging.attach_part(on_day);
end $$;

-- What every part has beside what LIKE brings.
create function charging.attach_part(on_day date) returns void
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
end $$;

-- An archived day gets no new part: its orders would not be known and be charged a second time.
create function charging.ensure_parts(first_on date, last_on date) returns void
language plpgsql security definer set search_path = charging, pg_temp as $$
declare
    on_day date := first_on;
begin
    if last_on - first_on > 400 then
        raise exception 'parts for % days at once are a mistake', last_on - first_on + 1;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('charging.ensure_parts', 0));
    while on_day <= last_on loop
        if to_regclass('charging.entry_' || to_char(on_day, 'YYYYMMDD')) is null then
            if exists (select from charging.archived_day a where a.day = on_day) then
                raise exception '% is archived: danbao archive restore %', on_day, on_day;
            end if;
            perform charging.make_part(on_day);
        end if;
        on_day := on_day + 1;
    end loop;
end $$;

-- Indexes that only lookups need are built once the day is counted. Equal values share their key in a b-tree: a hash of
-- the order id of 20 bits takes a third of what the id would, and a lookup reads some rows more; the planner knows of
-- the hash what it is told here. The summaries of the open part go, also because one whose making was broken off has
-- PostgreSQL 18 read all that follows it; where somebody reads the part just now, the next seal takes them away.
create function charging.seal_part(on_day date) returns void
language plpgsql security definer set search_path = charging, pg_temp as $$
declare
    part text := 'entry_' || to_char(on_day, 'YYYYMMDD');
begin
    if to_regclass('charging.' || part) is not null then
        execute format('create index if not exists %I on charging.%I (worker_key)', part || '_worker', part);
        execute format('create index if not exists %I on charging.%I ((hashtext(order_id) & 1048575))',
            part || '_order', part);
        execute format('create index if not exists %I on charging.%I using brin (batch int8_minmax_multi_ops)'
            ' with (pages_per_range = 64, autosummarize = on)', part || '_batch', part);
        execute format('analyze charging.%I', part);
        begin
            perform set_config('lock_timeout', '200ms', true);
            execute format('drop index if exists charging.%I', part || '_open');
        exception when lock_not_available then null;
        end;
    end if;
end $$;

revoke execute on function charging.make_part, charging.attach_part, charging.ensure_parts, charging.seal_part
    from public;
grant execute on function charging.ensure_parts, charging.seal_part to danbao_charging;
"""


def upgrade() -> None:
    """Make the functions."""
    run_script(DDL)
