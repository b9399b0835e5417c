create table ledger.topic_position (
    cluster_id  text not null,
    topic       text not null,
    partition   integer not null check (partition >= 0),
    next_offset bigint not null check (next_offset >= 0),
    topic_id    uuid,
    primary key (cluster_id, topic, partition)
);
comment on table ledger.topic_position is
    'How far each partition was handled, moved by compare-and-set; topic_id tells a topic from a later one of its name.';
grant select, insert on ledger.topic_position to danbao_ledger;
grant update (next_offset, topic_id) on ledger.topic_position to danbao_ledger;
grant select on ledger.topic_position to danbao_auditor;

-- The quarantine. Messages from before have no place; those that came over HTTP have none, either.
alter table ledger.refused_message
    add column partition integer,
    add column record_offset bigint,
    add column headers jsonb not null default '[]',
    add column recorded_at timestamptz not null default now(),
    drop constraint refused_message_reason_check,
    add constraint refused_message_reason_check check (reason in (
        'undecodable', 'absurd', 'different_content', 'unexpected', 'foreign_enterprise', 'unstorable', 'expired',
        'unprocessable', 'identity_in_clear', 'unsigned', 'wrong_author', 'unreadable', 'lost'));
comment on table ledger.refused_message is
    'The quarantine: messages that were not taken, whole, with the reason. Each is an alarm until it is reviewed.';
comment on column ledger.refused_message.headers is 'Pairs of a name and the bytes in hex.';
