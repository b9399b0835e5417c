"""Positions and quarantine of the topics between services; answers to a close keyed by what was asked."""

from shared.adapters.postgres.migrations import run_script

revision = "0013"
down_revision = "0012"

DDL = """
-- How far each partition of a topic between services was handled, moved by compare-and-set.
create table charging.topic_position (
    cluster_id text collate "C" not null,
    topic text collate "C" not null,
    partition integer not null check (partition >= 0),
    next_offset bigint not null check (next_offset >= 0),
    topic_id uuid,
    primary key (cluster_id, topic, partition)
);
-- The quarantine: messages between services that were not taken, whole; each is an alarm until it is reviewed.
create table charging.refused_message (
    refused_id bigint generated always as identity primary key,
    topic text collate "C" not null,
    partition integer,
    record_offset bigint,
    reason text collate "C" not null check (reason in (
        'undecodable', 'absurd', 'different_content', 'unexpected', 'foreign_enterprise', 'unstorable', 'expired',
        'unprocessable', 'identity_in_clear', 'unsigned', 'wrong_author', 'unreadable', 'lost')),
    detail text not null,
    payload bytea not null,
    sha256 bytea not null check (length(sha256) = 32),
    headers jsonb not null default '[]',
    recorded_at timestamptz not null,
    received_at timestamptz not null default clock_timestamp(),
    unique (topic, reason, sha256)
);
create table charging.refused_review (
    refused_id bigint primary key references charging.refused_message,
    reviewer text not null check (reviewer <> ''),
    note text not null check (note <> ''),
    noted_at timestamptz not null default clock_timestamp()
);
-- An answer belongs to the question with this SHA-256. Of answers from before it is '', and their cut decides.
-- Of several answers about a day the latest holds.
alter table charging.day_count add column question text collate "C" not null default '',
    add column answered_at timestamptz not null default clock_timestamp(),
    drop constraint day_count_pkey, add primary key (day, attempt, question);
-- A settlement belongs to the cut with this SHA-256, which every attempt of a close has; '' as above.
alter table charging.day_settlement add column cut text collate "C" not null default '',
    drop constraint day_settlement_pkey, add primary key (day, cut);
do $$
declare
    t text;
begin
    foreach t in array array['refused_message', 'refused_review'] loop
        execute format('create trigger history before update or delete on charging.%I'
            ' for each row execute function charging.refuse_change()', t);
        execute format('create trigger history_whole before truncate on charging.%I'
            ' for each statement execute function charging.refuse_change()', t);
    end loop;
end $$;
grant select on charging.topic_position, charging.refused_message, charging.refused_review
    to danbao_charging, danbao_auditor;
grant insert on charging.topic_position, charging.refused_message, charging.refused_review to danbao_charging;
grant update (next_offset, topic_id) on charging.topic_position to danbao_charging;
"""


def upgrade() -> None:
    """Make the tables, add the keys."""
    run_script(DDL)
