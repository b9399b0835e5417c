"""Positions of the topics that reporting reads, and its quarantine, which takes over what could not be read before."""

from shared.adapters.postgres.migrations import run_script

revision = "0009"
down_revision = "0008"

_TOPICS = """
create table reporting.topic_position (
    cluster_id text not null,
    topic text not null,
    partition integer not null check (partition >= 0),
    next_offset bigint not null check (next_offset >= 0),
    topic_id uuid,
    primary key (cluster_id, topic, partition)
);
comment on table reporting.topic_position is 'How far each partition was handled, moved by compare-and-set.';
create table reporting.refused_message (
    refused_id bigint generated always as identity primary key,
    topic text not null,
    partition integer,
    record_offset bigint,
    reason text not null check (reason in (
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
comment on table reporting.refused_message is
    'The quarantine: messages that were not taken, whole; each is an alarm until it is reviewed.';
create table reporting.refused_review (
    refused_id bigint primary key references reporting.refused_message,
    reviewer text not null check (reviewer <> ''),
    note text not null check (note <> ''),
    noted_at timestamptz not null default clock_timestamp()
);
insert into reporting.refused_message (topic, reason, detail, payload, sha256, recorded_at, received_at)
    select topic, 'undecodable', error, body, decode(body_sha256, 'hex'), received_at, received_at
    from reporting.unreadable order by received_at;
drop table reporting.unreadable;
do $$
declare
    name text;
begin
    foreach name in array array['refused_message', 'refused_review'] loop
        execute format('create trigger append_only before update or delete or truncate on reporting.%I'
                       ' for each statement execute function reporting.refuse_change()', name);
    end loop;
end $$;
grant select, insert on reporting.topic_position, reporting.refused_message, reporting.refused_review
    to danbao_reporting;
grant update (next_offset, topic_id) on reporting.topic_position to danbao_reporting;
grant select on reporting.topic_position, reporting.refused_message, reporting.refused_review to danbao_auditor;
"""


def upgrade() -> None:
    run_script(_TOPICS)
