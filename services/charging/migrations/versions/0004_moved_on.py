"""Positions moved on over events that are lost for good: by whom, and why."""

from shared.adapters.postgres.migrations import run_script

revision = "0004"
down_revision = "0003"

DDL = """
-- A position begins anew at to_offset: what stood at from_offset was never charged and is gone, or the topic is another
-- one under the same name. first_offset and events are what the position said until then.
create table charging.moved_on (
    id bigint generated always as identity primary key,
    cluster_id text collate "C" not null,
    topic text collate "C" not null,
    partition integer not null,
    first_offset bigint not null,
    from_offset bigint not null,
    to_offset bigint not null check (to_offset >= 0),
    events bigint not null check (events between 0 and from_offset - first_offset),
    topic_id uuid,
    new_topic_id uuid,
    reason text not null check (reason <> ''),
    who text not null check (who <> ''),
    why text not null check (why <> ''),
    moved_at timestamptz not null default clock_timestamp()
);
create index moved_on_by_topic on charging.moved_on (topic, id);

-- The only way to move a position but for charging a batch; false when it is not where it was seen.
create function charging.move_on(the_cluster text, the_topic text, the_partition integer, seen_at bigint,
    to_offset bigint, new_id uuid, reason text, who text, why text) returns boolean
language plpgsql security definer set search_path = charging, pg_temp as $$
declare
    was charging.position;
begin
    select * into was from charging.position p
        where (p.cluster_id, p.topic, p.partition, p.next_offset) = (the_cluster, the_topic, the_partition, seen_at)
        for update;
    if not found then
        return false;
    end if;
    insert into charging.moved_on (cluster_id, topic, partition, first_offset, from_offset, to_offset, events,
            topic_id, new_topic_id, reason, who, why)
        values (was.cluster_id, was.topic, was.partition, was.first_offset, was.next_offset, to_offset, was.events,
            was.topic_id, new_id, reason, who, why);
    update charging.position p set first_offset = to_offset, next_offset = to_offset, events = 0, topic_id = new_id
        where (p.cluster_id, p.topic, p.partition) = (the_cluster, the_topic, the_partition);
    return true;
end $$;

create trigger history before update or delete on charging.moved_on
    for each row execute function charging.refuse_change();
create trigger history_whole before truncate on charging.moved_on
    for each statement execute function charging.refuse_change();
grant select on charging.moved_on to danbao_charging, danbao_auditor;
revoke execute on function charging.move_on from public;
grant execute on function charging.move_on to danbao_charging;
"""


def upgrade() -> None:
    """Make table and function."""
    run_script(DDL)
