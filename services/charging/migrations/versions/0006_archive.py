"""Days whose rows have left for files, and how a part leaves and comes back (docs/decisions/0009)."""

from shared.adapters.postgres.migrations import run_script

revision = "0006"
down_revision = "0005"

DDL = """
-- What became of a day's part; the last record of a day holds. archived: its rows stand in files that gave every root,
-- and index_sha256 is the hash of their index. restored: they stand in the part again. pruned: the files may be gone.
create table charging.archive (
    id bigint generated always as identity primary key,
    day date not null,
    what text not null check (what in ('archived', 'restored', 'pruned')),
    rows bigint not null check (rows >= 0),
    bytes bigint not null check (bytes >= 0),
    index_sha256 bytea not null check (length(index_sha256) = 32),
    noted_at timestamptz not null default clock_timestamp()
);
create index archive_by_day on charging.archive (day, id);

-- Of a batch with rows of several days: the subtrees over its rows of one that was archived, so that the other rows are
-- proved as before. 37 bytes each: height, index, root (shared/domain/evidence/partial_tree.py).
create table charging.archived_nodes (
    day date not null,
    batch bigint not null references charging.manifest,
    nodes bytea not null check (length(nodes) % 37 = 0),
    primary key (batch, day)
);

-- Days whose rows are not in the table.
create view charging.archived_day as
    select last.* from (select distinct on (day) * from charging.archive order by day, id desc) last
    where what <> 'restored' and not exists (
        select from pg_inherits join pg_class c on c.oid = inhrelid
        where inhparent = 'charging.entry'::regclass and not inhdetachpending
            and c.relname = 'entry_' || to_char(last.day, 'YYYYMMDD'));

-- Drops what was taken out of the table when it is what was archived; else it becomes a part again. True when dropped.
create function charging.drop_archived(on_day date) returns boolean
language plpgsql set search_path = charging, pg_temp as $$
declare
    part text := 'entry_' || to_char(on_day, 'YYYYMMDD');
    known charging.archive;
    found_rows bigint;
begin
    select * into known from charging.archive a where a.day = on_day order by id desc limit 1;
    if known.what is distinct from 'archived' then
        raise exception '% is not archived', on_day;
    end if;
    if to_regclass('charging.' || part) is null then
        return true;
    end if;
    if exists (select from pg_inherits where inhrelid = ('charging.' || part)::regclass) then
        raise exception 'charging.% is still a part of the table', part;
    end if;
    execute format('lock table charging.%I', part);
    execute format('select count(*) from charging.%I', part) into found_rows;
    if found_rows = known.rows then
        execute format('drop table charging.%I', part);
        return true;
    end if;
    perform charging.attach_part(on_day);
    insert into charging.archive (day, what, rows, bytes, index_sha256)
        values (on_day, 'restored', found_rows, 0, known.index_sha256);
    return false;
end $$;

-- The table that was filled from an archive becomes the day's part again.
create function charging.attach_restored(on_day date) returns void
language plpgsql set search_path = charging, pg_temp as $$
declare
    part text := 'entry_' || to_char(on_day, 'YYYYMMDD');
    filled text := 'restoring_' || to_char(on_day, 'YYYYMMDD');
    known charging.archive;
    found_rows bigint;
begin
    select * into known from charging.archive a where a.day = on_day order by id desc limit 1;
    execute format('lock table charging.%I', filled);
    execute format('select count(*) from charging.%I', filled) into found_rows;
    if known.what is distinct from 'archived' or found_rows <> known.rows then
        raise exception 'charging.% has % rows, and % has % (%)', filled, found_rows, on_day, known.rows, known.what;
    end if;
    execute format('alter index charging.%I rename to %I', filled || '_pkey', part || '_pkey');
    execute format('alter table charging.%I rename to %I', filled, part);
    perform charging.attach_part(on_day);
    insert into charging.archive (day, what, rows, bytes, index_sha256)
        values (on_day, 'restored', found_rows, known.bytes, known.index_sha256);
end $$;

do $$
declare t text;
begin
    foreach t in array array['archive', 'archived_nodes'] loop
        execute format('create trigger history before update or delete on charging.%I'
            ' for each row execute function charging.refuse_change()', t);
        execute format('create trigger history_whole before truncate on charging.%I'
            ' for each statement execute function charging.refuse_change()', t);
    end loop;
end $$;
grant select on charging.archive, charging.archived_nodes, charging.archived_day
    to danbao_charging, danbao_auditor;
revoke execute on function charging.drop_archived, charging.attach_restored from public;
"""


def upgrade() -> None:
    """Make tables, view and functions."""
    run_script(DDL)
