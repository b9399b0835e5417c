"""Summaries of the open part that are made while it is written to (docs/decisions/0010)."""

from shared.adapters.postgres.migrations import run_script

revision = "0010"
down_revision = "0009"

DDL = r"""
-- As before, but for its summaries. They are two indexes, so that a question reads one of them only, and charging
-- itself makes them as it goes: vacuum shuts it out for as long as it takes, so vacuum comes to an open part only
-- for what is worth freezing by the way, and it is analysed when it has doubled. A row that is added to a stretch
-- which is summed up already costs some 80 µs (so the first stretch, which an index begins with, is taken back).
create or replace function charging.make_part(on_day date) returns void
language plpgsql set search_path = charging, pg_temp as $$
declare
    part text := 'entry_' || to_char(on_day, 'YYYYMMDD');
begin
    execute format('create table charging.%I (like charging.entry including all)', part);
    execute format('alter table charging.%I set (autovacuum_vacuum_insert_scale_factor = 0,'
        ' autovacuum_vacuum_insert_threshold = 20000000, autovacuum_analyze_scale_factor = 1)', part);
    execute format('create index %I on charging.%I using brin (batch int8_minmax_multi_ops, order_id text_bloom_ops'
        '(n_distinct_per_range = 2250, false_positive_rate = 0.0015)) with (pages_per_range = 48)',
        part || '_open', part);
    execute format('create index %I on charging.%I using brin (worker_key int8_bloom_ops'
        '(n_distinct_per_range = 2250, false_positive_rate = 0.0015)) with (pages_per_range = 48)',
        part || '_open_worker', part);
    perform brin_desummarize_range(format('charging.%I', part || '_open')::regclass, 0),
        brin_desummarize_range(format('charging.%I', part || '_open_worker')::regclass, 0);
    perform charging.attach_part(on_day);
end $$;

-- Sum up the stretches of 48 pages of an open part from this one on, up to the last that are being filled; returns the
-- next one, null where somebody else was at it. A question reads whole what is not summed up. One maker at a time is
-- enough; where vacuum or a seal has the part, it is done the next time: to wait longer than deadlock_timeout would
-- break vacuum off, and PostgreSQL 18 reads all that comes after a summary whose making was broken off. One of ours is
-- therefore taken back.
create function charging.summarise_part(on_day date, first integer) returns integer
language plpgsql security definer set search_path = charging, pg_temp set lock_timeout = '100ms' as $$
declare
    part regclass := to_regclass('charging.entry_' || to_char(on_day, 'YYYYMMDD'));
    summaries regclass[] := array(select indexrelid from pg_index join pg_class c on c.oid = indexrelid
        where indrelid = part and relname like '%\_open%');
    stretch integer := first;
    past_end integer := pg_relation_size(part) / (48 * current_setting('block_size')::integer) - 10;
begin
    if cardinality(summaries) = 0 then
        return first;
    elsif not pg_try_advisory_xact_lock(hashtextextended('charging.summarise_part', 0)) then
        return null;
    end if;
    while stretch < least(past_end, first + 2000) loop
        perform brin_summarize_range(each, stretch * 48) from unnest(summaries) each;
        stretch := stretch + 1;
    end loop;
    return stretch;
exception
    when lock_not_available then return null;
    when query_canceled then
        perform brin_desummarize_range(each, stretch * 48) from unnest(summaries) each;
        raise;
end $$;

-- As before, with both of the open part's indexes.
create or replace function charging.seal_part(on_day date) returns void
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
            execute format('drop index if exists charging.%I, charging.%I', part || '_open', part || '_open_worker');
        exception when lock_not_available then null;
        end;
    end if;
end $$;

-- A part whose day is over gets hardly any more rows: from now on it is vacuumed as any other table.
create function charging.rest_part(on_day date) returns void
language plpgsql security definer set search_path = charging, pg_temp set lock_timeout = '100ms' as $$
declare
    part regclass := to_regclass('charging.entry_' || to_char(on_day, 'YYYYMMDD'));
begin
    if exists (select from pg_class where oid = part and reloptions is not null) then
        execute format('alter table %s reset (autovacuum_vacuum_insert_scale_factor,'
            ' autovacuum_vacuum_insert_threshold, autovacuum_analyze_scale_factor)', part);
    end if;
exception when lock_not_available then null;
end $$;

revoke execute on function charging.summarise_part, charging.rest_part from public;
grant execute on function charging.summarise_part, charging.rest_part to danbao_charging;
"""


def upgrade() -> None:
    """Make the functions."""
    run_script(DDL)
