"""The schema of charging: positions, batches, rows, what was parked, what the close counted."""

from shared.adapters.postgres.migrations import run_script

revision = "0001"
down_revision = None

DDL = """
-- What enterprises are called in rows. Ids are this database's own and stand in no leaf and no message.
create table charging.enterprise (
    id smallint generated always as identity primary key,
    uscc text collate "C" not null unique check (uscc ~ '^[0-9A-Z]{18}$')
);

-- One start of one worker; the settlement of a close is a run of its own with one manifest.
create table charging.run (
    id integer generated always as identity primary key,
    run text collate "C" not null unique check (run ~ '^[0-9a-f]{32}$'),
    purpose text not null check (purpose in ('orders', 'settlement', 'close', 'correction', 'assessment')),
    started_at timestamptz not null default clock_timestamp()
);

-- How far each partition is charged. Moved by compare-and-set in the transaction that writes the rows (I1).
create table charging.position (
    cluster_id text collate "C" not null,
    topic text collate "C" not null,
    partition integer not null,
    first_offset bigint not null check (first_offset >= 0),
    next_offset bigint not null check (next_offset >= first_offset),
    events bigint not null default 0 check (events >= 0 and events <= next_offset - first_offset),
    topic_id uuid, -- of the topic that was charged, where the broker tells one: its name may be given again
    primary key (cluster_id, topic, partition)
);

-- One row a batch: its manifest as it is published. batch = run_id * 2^32 + number. turn says which of two batches of
-- one partition was first: it is drawn while their position is held, and from no clock, which may be set back.
create table charging.manifest (
    batch bigint primary key,
    turn bigint generated always as identity,
    run_id integer not null references charging.run,
    number integer not null check (number >= 1),
    events integer not null check (events >= 0),
    leaves integer not null check (leaves >= 0),
    root bytea not null check (length(root) = 32),
    payload bytea not null,
    groups bytea storage external not null -- see services/charging/store/leaf_groups.py
        constraint manifest_groups check (length(groups) = (leaves + 127) / 128 * 36),
    committed_at timestamptz not null default clock_timestamp(),
    unique (run_id, number),
    check (batch = run_id::bigint * 4294967296 + number)
);

-- Which insured days a batch has rows of: how the close finds late rows without reading whole days.
create table charging.batch_day (
    insured_on date not null,
    batch bigint not null references charging.manifest deferrable initially deferred,
    primary key (insured_on, batch)
);
create index batch_day_by_batch on charging.batch_day (batch);

-- The rows. kind: 1 acceptance, 2 completion, 3 cancellation, 4 reversal; an order that is rated anew has charges 8,
-- 10, 12 ... and their reversals 9, 11, 13 ... (docs/decisions/0005). The key begins with time (design D3).
-- premium is 0.0001 yuan, negative for a reversal. reason: of a charge the exclusion (0 = charged), of a
-- cancellation who, of a reversal why; codes in services/charging/rows/row_kinds.py. The worker's token is
-- worker_key (first 8 bytes, big-endian signed) followed by worker_rest (24).
-- leaf_index orders the batch's leaves; repeats leave gaps.
create table charging.entry (
    accepted_at timestamptz not null,
    worker_key bigint not null,
    batch bigint not null,
    ended_at timestamptz,
    sequence bigint,
    leaf_index integer not null,
    premium integer not null,
    region integer not null,
    tariff_line smallint not null,
    enterprise smallint not null,
    token_key smallint not null,
    industry smallint not null,
    kind smallint not null,
    reason smallint not null,
    departed boolean,
    order_id text collate "C" not null,
    worker_rest bytea not null,
    received bytea not null,
    series text collate "C",
    agency_uscc text collate "C",
    employer_insurance_no text collate "C",
    primary key (accepted_at, enterprise, order_id, worker_key, kind),
    check (kind between 1 and 4 or kind between 8 and 255),
    check (case
        when kind = 1 or kind >= 8 and kind % 2 = 0
            then premium >= 0 and (premium > 0) = (reason = 0 and tariff_line > 0)
        when kind = 4 or kind >= 8 then premium < 0
        else premium = 0 end)
) partition by range (accepted_at);

-- History is added to, never changed: this holds for the owner, too, until a trigger is dropped.
create function charging.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% of %.%: history is never changed', tg_op, tg_table_schema, tg_table_name
        using errcode = 'integrity_constraint_violation';
end $$;

-- Cancellations that wait for the settling step; gone once settled, back when their order is charged by a correction.
create table charging.unsettled (
    accepted_at timestamptz not null,
    enterprise smallint not null,
    order_id text collate "C" not null,
    worker_key bigint not null,
    batch bigint not null,
    primary key (accepted_at, enterprise, order_id, worker_key)
);

-- Events outside the books, with their bytes. A resent event is a new event; `resent` says where it went.
create table charging.parked (
    batch bigint not null references charging.manifest deferrable initially deferred,
    leaf_index integer not null,
    topic text collate "C" not null,
    partition integer not null,
    record_offset bigint not null,
    record_time_ms bigint not null,
    record_key bytea,
    headers jsonb not null,
    value bytea,
    reason text collate "C" not null,
    detail text not null,
    primary key (batch, leaf_index)
);
create index parked_by_reason on charging.parked (reason, topic);

create table charging.resent (
    batch bigint not null,
    leaf_index integer not null,
    partition integer not null,
    record_offset bigint not null,
    resent_at timestamptz not null default clock_timestamp(),
    primary key (batch, leaf_index, record_offset),
    foreign key (batch, leaf_index) references charging.parked
);

-- Same key, other content: kept for the regulator; the columns from accepted_at on name the row it contradicts.
create table charging.conflict (
    batch bigint not null references charging.manifest deferrable initially deferred,
    leaf_index integer not null,
    topic text collate "C" not null,
    partition integer not null,
    record_offset bigint not null,
    record_time_ms bigint not null,
    value bytea not null,
    accepted_at timestamptz,
    enterprise smallint not null,
    order_id text collate "C" not null,
    worker_key bigint,
    kind smallint not null,
    primary key (batch, leaf_index)
);

-- Enterprises' own manifests of a day (day.declared.v1); body is `data` as canonical JSON.
create table charging.declaration (
    enterprise smallint not null,
    declaration_id text collate "C" not null,
    declared_day date not null,
    body bytea not null,
    received bytea not null check (length(received) = 32),
    batch bigint not null references charging.manifest deferrable initially deferred,
    leaf_index integer not null,
    primary key (enterprise, declaration_id)
);
create index declaration_by_batch on charging.declaration (batch);

-- Workers ever charged in a province, and the day whose close met them first.
create table charging.participant (
    province smallint not null,
    worker bytea not null check (length(worker) = 32),
    first_on date not null,
    primary key (province, worker)
);
create index participant_by_day on charging.participant (first_on, province, worker);

-- One order under two acceptance times: which stands, which was reversed.
create table charging.resend (
    enterprise smallint not null,
    order_id text collate "C" not null,
    worker_key bigint not null,
    accepted_at timestamptz not null,
    kept_accepted_at timestamptz not null,
    was_charged boolean not null,
    found_on date not null,
    primary key (enterprise, order_id, worker_key, accepted_at)
);

-- What was answered to a close: asked again, the answer is the same.
create table charging.day_count (
    day date not null,
    attempt integer not null,
    payload bytea not null,
    primary key (day, attempt)
);

-- The settlement that was written for a day's close; every attempt of that day names the same.
create table charging.day_settlement (
    day date primary key,
    batch bigint references charging.manifest
);

-- Topics that are not read, because too much of them was parked: the last row of a topic says whether it is.
create table charging.pause (
    id bigint generated always as identity primary key,
    topic text collate "C" not null,
    is_paused boolean not null,
    events integer not null check (events >= 0),
    parked integer not null check (parked between 0 and events),
    reason text not null check (reason <> ''),
    noted_at timestamptz not null default clock_timestamp()
);
create index pause_by_topic on charging.pause (topic, id);

create table charging.outbox (
    id bigint generated always as identity primary key,
    topic text not null,
    key text not null,
    payload bytea not null
);

create function charging.keep_history(tables text[]) returns void language plpgsql as $$
declare
    t text;
begin
    foreach t in array tables loop
        execute format('create trigger history before update or delete on charging.%I'
            ' for each row execute function charging.refuse_change()', t);
        execute format('create trigger history_whole before truncate on charging.%I'
            ' for each statement execute function charging.refuse_change()', t);
    end loop;
end $$;
select charging.keep_history(array['enterprise', 'run', 'manifest', 'batch_day', 'parked', 'resent', 'conflict',
    'declaration', 'participant', 'resend', 'day_count', 'day_settlement', 'pause']);
drop function charging.keep_history(text[]);
create trigger history_whole before truncate on charging.entry
    for each statement execute function charging.refuse_change();

grant usage on schema charging to danbao_charging, danbao_auditor;
grant select on all tables in schema charging to danbao_charging, danbao_auditor;
grant insert on all tables in schema charging to danbao_charging;
grant update (next_offset, events, topic_id) on charging.position to danbao_charging;
grant update (id), delete on charging.outbox to danbao_charging;
grant delete on charging.unsettled to danbao_charging;
revoke insert on charging.alembic_version from danbao_charging;
revoke execute on all functions in schema charging from public;
do $$ begin
    execute format('grant temporary on database %I to danbao_charging', current_database());
end $$;
"""


def upgrade() -> None:
    """Make everything."""
    run_script(DDL)
