-- The schema of charging. Amounts are 0.0001 yuan; days are Asia/Shanghai. A worker's token is worker_key (its first
-- 8 bytes, big-endian, signed) followed by worker_rest (24). History is added to, never changed: a trigger refuses
-- it, for the owner, too.

create function charging.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% of %.%: history is never changed', tg_op, tg_table_schema, tg_table_name
        using errcode = 'integrity_constraint_violation';
end $$;

-- rows: what a row refers to ------------------------------------------------------------------------------------------

create table charging.deployment (
    one boolean primary key default true check (one),
    name text collate "C" not null check (name ~ '^[a-z][a-z0-9-]{0,30}$')
);
comment on table charging.deployment is
    'The deployment whose database this is (docs/decisions/0012); written by its first worker.';
comment on column charging.deployment.one is 'Always true: there is one row.';
comment on column charging.deployment.name is 'Name of the deployment whose database this is.';

create table charging.enterprise (
    id smallint generated always as identity primary key,
    uscc text collate "C" not null unique check (uscc ~ '^[0-9A-Z]{18}$')
);
comment on table charging.enterprise is 'Ids of enterprises in rows.';
comment on column charging.enterprise.id is 'Id in this database; part of no leaf and no message.';
comment on column charging.enterprise.uscc is '统一社会信用代码.';

create table charging.decision (
    decision_id bigint generated always as identity primary key,
    decided_at timestamptz not null default clock_timestamp(),
    person text collate "C" not null check (person <> ''),
    request text collate "C" not null check (request <> ''),
    content jsonb not null,
    unique (decision_id, person)
);
comment on table charging.decision is 'What a person ordered charging to do, stored before it is done.';
comment on column charging.decision.decision_id is 'Number of the decision.';
comment on column charging.decision.decided_at is 'When it was stored.';
comment on column charging.decision.person is 'Account of the person whose signed assertion came with the request.';
comment on column charging.decision.request is 'Method and path of the request.';
comment on column charging.decision.content is 'Body of the request; empty where it had none.';

create table charging.run (
    id integer generated always as identity primary key,
    run text collate "C" not null unique check (run ~ '^[0-9a-f]{32}$'),
    purpose text not null check (purpose in ('orders', 'settlement', 'close', 'correction', 'assessment')),
    started_at timestamptz not null default clock_timestamp(),
    decision_id bigint references charging.decision,
    constraint run_decision check ((purpose = 'correction') = (decision_id is not null))
);
comment on table charging.run is 'One start of one worker, or one settlement, correction or assessment.';
comment on column charging.run.id is 'Id in this database.';
comment on column charging.run.run is 'Random name of the run, 32 hex digits.';
comment on column charging.run.purpose is
    'What it writes: orders, or rows derived by a close, a re-rating, an assessment.';
comment on column charging.run.started_at is 'When it started.';
comment on column charging.run.decision_id is 'The decision of a correction; null for every other purpose.';

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
comment on table charging.manifest is 'One row a batch: its manifest, as published.';
comment on column charging.manifest.batch is 'run_id * 2^32 + number.';
comment on column charging.manifest.turn is
    'Order of batches of one partition: drawn while its position is locked, from no clock.';
comment on column charging.manifest.run_id is 'The run.';
comment on column charging.manifest.number is 'Number in the run, from 1 without a gap.';
comment on column charging.manifest.events is 'Number of records in the batch.';
comment on column charging.manifest.leaves is 'Number of leaves of its tree.';
comment on column charging.manifest.root is 'Root of the tree.';
comment on column charging.manifest.payload is 'The manifest, as published.';
comment on column charging.manifest.groups is 'Roots of groups of 128 leaves (services/charging/store/leaf_groups.py).';
comment on column charging.manifest.committed_at is 'When it was written.';

create table charging.batch_day (
    insured_on date not null,
    batch bigint not null references charging.manifest deferrable initially deferred,
    primary key (insured_on, batch)
);
create index batch_day_by_batch on charging.batch_day (batch);
comment on table charging.batch_day is
    'Insured days that a batch has rows of: how a close finds late rows without reading whole days.';
comment on column charging.batch_day.insured_on is 'An insured day that the batch has rows of.';
comment on column charging.batch_day.batch is 'The batch: run_id * 2^32 + number.';

-- rows: the orders, one partition a day in Shanghai (docs/decisions/0010) ---------------------------------------------

-- Kinds: 1 acceptance, 2 completion, 3 cancellation, 4 reversal. An order that is re-rated has charges 8, 10, 12 ...
-- and their reversals 9, 11, 13 ... (docs/decisions/0005). The key begins with time, so new rows go to the end of its
-- index.
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
    recorded_at timestamptz
        constraint entry_recorded_at check (recorded_at is null or kind = 1 and recorded_at > accepted_at),
    primary key (accepted_at, enterprise, order_id, worker_key, kind),
    constraint entry_ended_at check (ended_at >= accepted_at),
    check (kind between 1 and 4 or kind between 8 and 255),
    check (case
        when kind = 1 or kind >= 8 and kind % 2 = 0
            then premium >= 0 and (premium > 0) = (reason = 0 and tariff_line > 0)
        when kind = 4 or kind >= 8 then premium < 0
        else premium = 0 end)
) partition by range (accepted_at);
comment on table charging.entry is 'The rows of orders.';
comment on column charging.entry.accepted_at is 'Time of the acceptance.';
comment on column charging.entry.worker_key is 'First 8 bytes of the worker''s token.';
comment on column charging.entry.batch is 'The batch: run_id * 2^32 + number.';
comment on column charging.entry.ended_at is 'Time of completion or cancellation; null for other rows.';
comment on column charging.entry.sequence is 'Number in the series; null where the event has none.';
comment on column charging.entry.leaf_index is 'Index of its leaf in the batch''s tree; repeats leave gaps.';
comment on column charging.entry.premium is 'Premium, in 0.0001 yuan; negative for a reversal.';
comment on column charging.entry.region is 'Region code, six digits of GB/T 2260.';
comment on column charging.entry.tariff_line is 'Id of the tariff line; 0 for none.';
comment on column charging.entry.enterprise is 'Id of the enterprise (enterprise.id).';
comment on column charging.entry.token_key is 'Id of the key that made the worker''s token.';
comment on column charging.entry.industry is 'Number of the industry.';
comment on column charging.entry.kind is 'Kind of row, see above.';
comment on column charging.entry.reason is
    'Code by kind (services/charging/rows/row_kinds.py): exclusion (0 = charged), who cancelled, why reversed.';
comment on column charging.entry.departed is 'Whether the courier had set out when it was cancelled.';
comment on column charging.entry.order_id is 'The enterprise''s id of the order.';
comment on column charging.entry.worker_rest is 'Last 24 bytes of the worker''s token.';
comment on column charging.entry.received is 'SHA-256 of the event as received.';
comment on column charging.entry.series is 'Series of order numbers; null where the event has none.';
comment on column charging.entry.agency_uscc is 'USCC of the agency that employs the worker.';
comment on column charging.entry.employer_insurance_no is 'Number of the insurance as an employee.';
comment on column charging.entry.recorded_at is
    'Timestamp of an acceptance''s record where a minute or more later; else null (docs/decisions/0014).';

-- store: positions of the order topics --------------------------------------------------------------------------------

create table charging.position (
    cluster_id text collate "C" not null,
    topic text collate "C" not null,
    partition integer not null,
    first_offset bigint not null check (first_offset >= 0),
    next_offset bigint not null check (next_offset >= first_offset),
    events bigint not null default 0 check (events >= 0 and events <= next_offset - first_offset),
    topic_id uuid, -- of the topic that was charged, where the broker reports one: its name may be reused
    primary key (cluster_id, topic, partition)
);
comment on table charging.position is
    'How far each partition is charged; moved by compare-and-set in the transaction that writes the rows.';
comment on column charging.position.cluster_id is 'Id of the Kafka cluster.';
comment on column charging.position.topic is 'Name of the topic.';
comment on column charging.position.partition is 'Number of the partition.';
comment on column charging.position.first_offset is 'Offset that was charged first.';
comment on column charging.position.next_offset is 'Offset of the next record to charge.';
comment on column charging.position.events is 'Number of records charged since first_offset.';
comment on column charging.position.topic_id is 'Id of the topic, where the broker gives one.';

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
comment on table charging.moved_on is 'Positions that were moved on over events that are lost for good.';
comment on column charging.moved_on.id is 'Number of the move.';
comment on column charging.moved_on.cluster_id is 'Id of the Kafka cluster.';
comment on column charging.moved_on.topic is 'Name of the topic.';
comment on column charging.moved_on.partition is 'Number of the partition.';
comment on column charging.moved_on.first_offset is 'first_offset of the position until then.';
comment on column charging.moved_on.from_offset is 'next_offset of the position until then.';
comment on column charging.moved_on.to_offset is 'Offset at which it goes on.';
comment on column charging.moved_on.events is 'Records charged until then.';
comment on column charging.moved_on.topic_id is 'Id of the topic until then.';
comment on column charging.moved_on.new_topic_id is 'Id of the topic from then on.';
comment on column charging.moved_on.reason is 'What was found: events lost, or another topic of that name.';
comment on column charging.moved_on.who is 'The person who decided it.';
comment on column charging.moved_on.why is 'That person''s reason.';
comment on column charging.moved_on.moved_at is 'When it was moved.';

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
comment on table charging.pause is
    'Topics that are not read because too many of their events were parked; the last row of a topic holds.';
comment on column charging.pause.id is 'Number of the change.';
comment on column charging.pause.topic is 'Name of the topic.';
comment on column charging.pause.is_paused is 'Whether the topic is paused from then on.';
comment on column charging.pause.events is 'Events that were counted.';
comment on column charging.pause.parked is 'How many of them were parked.';
comment on column charging.pause.reason is 'Why, in words.';
comment on column charging.pause.noted_at is 'When it was noted.';

create table charging.unsettled (
    accepted_at timestamptz not null check (isfinite(accepted_at)),
    enterprise smallint not null,
    order_id text collate "C" not null,
    worker_key bigint not null,
    batch bigint not null,
    primary key (accepted_at, enterprise, order_id, worker_key)
);
comment on table charging.unsettled is
    'Cancellations that wait for a close; back when their order is charged by a correction.';
comment on column charging.unsettled.accepted_at is 'Time of the acceptance.';
comment on column charging.unsettled.enterprise is 'Id of the enterprise (enterprise.id).';
comment on column charging.unsettled.order_id is 'The enterprise''s id of the order.';
comment on column charging.unsettled.worker_key is 'First 8 bytes of the worker''s token.';
comment on column charging.unsettled.batch is 'The batch with the cancellation.';

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

-- ingest: events outside the books ------------------------------------------------------------------------------------

create table charging.parked (
    batch bigint not null references charging.manifest deferrable initially deferred,
    leaf_index integer not null,
    topic text collate "C" not null,
    partition integer not null,
    record_offset bigint not null,
    record_time_ms bigint not null,
    arrived_ms bigint not null,
    headers jsonb not null,
    reason text collate "C" not null,
    detail text not null,
    received bytea not null constraint parked_received check (length(received) = 32),
    bytes integer not null,
    redacted text not null,
    sealed bytea not null,
    sealed_on date not null,
    series text collate "C",
    sequence bigint,
    primary key (batch, leaf_index),
    constraint parked_number check ((series is null) = (sequence is null))
);
create index parked_by_reason on charging.parked (reason, topic);
comment on table charging.parked is
    'Events outside the books. A parked event is never changed; resent says where it was sent again.';
comment on column charging.parked.batch is 'The batch: run_id * 2^32 + number.';
comment on column charging.parked.leaf_index is 'Index of its leaf in the batch''s tree.';
comment on column charging.parked.topic is 'Name of the topic.';
comment on column charging.parked.partition is 'Number of the partition.';
comment on column charging.parked.record_offset is 'Offset of the record.';
comment on column charging.parked.record_time_ms is 'Timestamp of the record, in ms since the epoch.';
comment on column charging.parked.arrived_ms is
    'When its bytes first arrived, in ms since the epoch: of an event that we sent again, the record time of the first.';
comment on column charging.parked.headers is 'Headers that stay readable.';
comment on column charging.parked.reason is 'Why it was parked (shared/contracts/parking.py).';
comment on column charging.parked.detail is 'The reason in words.';
comment on column charging.parked.received is 'SHA-256 of the value.';
comment on column charging.parked.bytes is 'Length of the record''s value.';
comment on column charging.parked.redacted is 'A redacted form, to read.';
comment on column charging.parked.sealed is 'Value, key and headers, encrypted under the key of sealed_on.';
comment on column charging.parked.sealed_on is 'The day whose key seals it.';
comment on column charging.parked.series is 'Series of order numbers; null where the event has none.';
comment on column charging.parked.sequence is 'Number in the series; null where the event has none.';

create table charging.resending (
    batch bigint not null,
    leaf_index integer not null,
    decided_at timestamptz not null default clock_timestamp(),
    primary key (batch, leaf_index, decided_at),
    foreign key (batch, leaf_index) references charging.parked
);
comment on table charging.resending is
    'Parked events that are sent again; written before the broker has them, so that their reader recognises them.';
comment on column charging.resending.batch is 'The parked event''s batch.';
comment on column charging.resending.leaf_index is 'The parked event''s leaf.';
comment on column charging.resending.decided_at is 'When it was about to be sent.';

create table charging.resent (
    batch bigint not null,
    leaf_index integer not null,
    partition integer not null,
    record_offset bigint not null,
    resent_at timestamptz not null default clock_timestamp(),
    primary key (batch, leaf_index, record_offset),
    foreign key (batch, leaf_index) references charging.parked
);
comment on table charging.resent is 'Parked events that were sent again.';
comment on column charging.resent.batch is 'The parked event''s batch.';
comment on column charging.resent.leaf_index is 'The parked event''s leaf.';
comment on column charging.resent.partition is 'Partition that it was sent to.';
comment on column charging.resent.record_offset is 'Offset that it got.';
comment on column charging.resent.resent_at is 'When it was sent again.';

create table charging.conflict (
    batch bigint not null references charging.manifest deferrable initially deferred,
    leaf_index integer not null,
    topic text collate "C" not null,
    partition integer not null,
    record_offset bigint not null,
    record_time_ms bigint not null,
    accepted_at timestamptz check (isfinite(accepted_at)),
    enterprise smallint not null,
    order_id text collate "C" not null,
    worker_key bigint,
    kind smallint not null,
    received bytea not null constraint conflict_received check (length(received) = 32),
    bytes integer not null,
    redacted text not null,
    sealed bytea not null,
    sealed_on date not null,
    series text collate "C",
    sequence bigint,
    primary key (batch, leaf_index),
    constraint conflict_number check ((series is null) = (sequence is null))
);
comment on table charging.conflict is 'Events with the key of a row and other content: kept for the regulator.';
comment on column charging.conflict.batch is 'The batch: run_id * 2^32 + number.';
comment on column charging.conflict.leaf_index is 'Index of its leaf in the batch''s tree.';
comment on column charging.conflict.topic is 'Name of the topic.';
comment on column charging.conflict.partition is 'Number of the partition.';
comment on column charging.conflict.record_offset is 'Offset of the record.';
comment on column charging.conflict.record_time_ms is 'Timestamp of the record, in ms since the epoch.';
comment on column charging.conflict.accepted_at is 'Key of the row that it contradicts: time of the acceptance.';
comment on column charging.conflict.enterprise is 'Key of that row: the enterprise.';
comment on column charging.conflict.order_id is 'Key of that row: the order.';
comment on column charging.conflict.worker_key is 'Key of that row: first 8 bytes of the worker''s token.';
comment on column charging.conflict.kind is 'Key of that row: its kind.';
comment on column charging.conflict.received is 'SHA-256 of the value.';
comment on column charging.conflict.bytes is 'Length of the record''s value.';
comment on column charging.conflict.redacted is 'A redacted form, to read.';
comment on column charging.conflict.sealed is 'The value, encrypted under the key of sealed_on.';
comment on column charging.conflict.sealed_on is 'The day whose key seals it.';
comment on column charging.conflict.series is 'Series of order numbers; null where the event has none.';
comment on column charging.conflict.sequence is 'Number in the series; null where the event has none.';

create table charging.unlisted_region (
    region     integer primary key check (region between 0 and 999999),
    batch      bigint not null,
    first_seen timestamptz not null default now()
);
comment on table charging.unlisted_region is
    'Region codes of orders that the operator''s file of regions did not have: charged by their province, and an alarm
     until the file has them.';
comment on column charging.unlisted_region.region is 'The code, six digits.';
comment on column charging.unlisted_region.batch is 'Batch of the first order with it.';
comment on column charging.unlisted_region.first_seen is 'When that batch was written.';

create table charging.kept_key (
    day date primary key,
    key bytea,
    made_at timestamptz not null default clock_timestamp(),
    destroyed_at timestamptz,
    constraint kept_key_length check (length(key) = 32),
    constraint kept_key_destroyed check ((key is null) = (destroyed_at is not null))
);
comment on table charging.kept_key is
    'Keys of kept bytes, one a day of keeping. Without its key nothing kept that day can be read.';
comment on column charging.kept_key.day is 'Day of keeping (Asia/Shanghai).';
comment on column charging.kept_key.key is 'The key, 32 bytes; null once destroyed.';
comment on column charging.kept_key.made_at is 'When it was made.';
comment on column charging.kept_key.destroyed_at is 'When it was destroyed.';

-- The key of a day is destroyed once its time is over, and never changed.
create function charging.refuse_key_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if old.key is not null and new.key is null and (new.day, new.made_at) = (old.day, old.made_at) then
            if old.day < (clock_timestamp() at time zone 'Asia/Shanghai')::date - 1 then
                return new;
            end if;
            raise exception 'the key of % may be in use: it can be destroyed from % on', old.day, old.day + 2
                using errcode = 'integrity_constraint_violation';
        end if;
    end if;
    raise exception '% of charging.kept_key: a key is destroyed, never changed', tg_op
        using errcode = 'integrity_constraint_violation';
end $$;
create trigger history before update or delete on charging.kept_key
    for each row execute function charging.refuse_key_change();
create trigger history_whole before truncate on charging.kept_key
    for each statement execute function charging.refuse_key_change();

-- numbers -------------------------------------------------------------------------------------------------------------

create table charging.declaration (
    enterprise smallint not null,
    declaration_id text collate "C" not null,
    declared_day date not null check (isfinite(declared_day)),
    stated_revision bigint not null check (stated_revision between 0 and 2147483647),
    recorded_at timestamptz not null,
    body bytea not null,
    received bytea not null check (length(received) = 32),
    batch bigint not null references charging.manifest deferrable initially deferred,
    leaf_index integer not null,
    revision bigint check (revision between 0 and 2147483647),
    key_id bytea check (length(key_id) = 4),
    signature bytea check (length(signature) = 64),
    signed_data bytea,
    primary key (enterprise, declaration_id),
    constraint declaration_signed check (num_nulls(revision, key_id, signature, signed_data) in (0, 4)),
    constraint declaration_revision check (revision = stated_revision)
);
create index declaration_by_batch on charging.declaration (batch);
comment on table charging.declaration is 'Day declarations of enterprises (day.declared.v1).';
comment on column charging.declaration.enterprise is 'Id of the enterprise (enterprise.id).';
comment on column charging.declaration.declaration_id is 'The enterprise''s id of the declaration.';
comment on column charging.declaration.declared_day is 'The day that it declares.';
comment on column charging.declaration.stated_revision is
    'Revision that the event states, signed or not; 0 where it states none.';
comment on column charging.declaration.recorded_at is
    'Record time: decides between equal revisions, for partitions are read in any order.';
comment on column charging.declaration.body is '`data` as canonical JSON.';
comment on column charging.declaration.received is 'SHA-256 of the event as received.';
comment on column charging.declaration.batch is 'The batch: run_id * 2^32 + number.';
comment on column charging.declaration.leaf_index is 'Index of its leaf in the batch''s tree.';
comment on column charging.declaration.revision is 'Revision; the highest of a day holds. Null: not signed.';
comment on column charging.declaration.key_id is 'Id of the enterprise''s key.';
comment on column charging.declaration.signature is 'Ed25519 signature.';
comment on column charging.declaration.signed_data is 'The bytes of `data` that the signature is over.';

create table charging.accounted_day (
    day date primary key check (isfinite(day)),
    accounted_at timestamptz not null default clock_timestamp()
);
comment on table charging.accounted_day is
    'Days whose numbers are accounted for; written in the transaction that counts the day.';
comment on column charging.accounted_day.day is 'The counted day.';
comment on column charging.accounted_day.accounted_at is 'When.';

create table charging.number_range (
    enterprise smallint not null,
    series text collate "C" not null,
    first bigint not null check (first >= 1),
    last bigint not null,
    state text not null check (state in ('seen', 'repeated', 'conflict', 'parked', 'scattered')),
    insured_on date,
    found_on date not null references charging.accounted_day,
    excluded bytea check (length(excluded) = (last - first + 8) / 8),
    unique nulls not distinct (enterprise, series, first, state, insured_on, found_on),
    check (last >= first),
    check ((state = 'seen') = (insured_on is not null)),
    check (excluded is null or state = 'seen')
);
create index number_range_by_last on charging.number_range (enterprise, series, last);
create index number_range_by_day on charging.number_range (insured_on);
create index number_range_by_close on charging.number_range (found_on, state);
comment on table charging.number_range is 'Numbers of a series, as one close found them.';
comment on column charging.number_range.enterprise is 'Id of the enterprise (enterprise.id).';
comment on column charging.number_range.series is 'The series.';
comment on column charging.number_range.first is 'First number of the range.';
comment on column charging.number_range.last is 'Last number of the range, included.';
comment on column charging.number_range.state is
    'seen: in rows; repeated: on two orders; conflict, parked: of kept bytes; scattered: too many stretches.';
comment on column charging.number_range.insured_on is 'Insured day of numbers that were seen; else null.';
comment on column charging.number_range.found_on is 'The close that found them.';
comment on column charging.number_range.excluded is
    'Bits of numbers without a premium: number first + n is bit n (get_bit).';

create table charging.parked_reported (
    batch bigint not null,
    leaf_index integer not null,
    found_on date not null references charging.accounted_day,
    primary key (batch, leaf_index),
    foreign key (batch, leaf_index) references charging.parked
);
create index parked_reported_by_close on charging.parked_reported (found_on);
comment on table charging.parked_reported is 'Parked events by the close that reports them.';
comment on column charging.parked_reported.batch is 'The parked event''s batch.';
comment on column charging.parked_reported.leaf_index is 'The parked event''s leaf.';
comment on column charging.parked_reported.found_on is 'The day whose close was the first to reach it.';

create table charging.parked_settled (
    batch bigint not null,
    leaf_index integer not null,
    settled_on date not null references charging.accounted_day,
    primary key (batch, leaf_index),
    foreign key (batch, leaf_index) references charging.parked_reported
);
create index parked_settled_by_close on charging.parked_settled (settled_on);
comment on table charging.parked_settled is
    'Parked events that need nothing more: their number came in a row, or they were sent again and read.';
comment on column charging.parked_settled.batch is 'The parked event''s batch.';
comment on column charging.parked_settled.leaf_index is 'The parked event''s leaf.';
comment on column charging.parked_settled.settled_on is 'The day whose close saw it.';

create table charging.judged_day (
    day date not null references charging.accounted_day,
    is_presumed boolean not null,
    judged_on date not null references charging.accounted_day,
    primary key (day, is_presumed),
    check (judged_on > day)
);
comment on table charging.judged_day is 'When the numbers of a day were compared with its rows.';
comment on column charging.judged_day.day is 'The day whose numbers were compared.';
comment on column charging.judged_day.is_presumed is
    'False: at the next close; true: when missing orders are presumed.';
comment on column charging.judged_day.judged_on is 'The close that did it.';

create table charging.number_gap (
    enterprise smallint not null,
    series text collate "C" not null,
    first bigint not null check (first >= 1),
    last bigint not null check (last >= first),
    insured_on date not null check (isfinite(insured_on)),
    is_presumed boolean not null,
    is_declared boolean not null,
    primary key (enterprise, series, first, is_presumed),
    foreign key (insured_on, is_presumed) references charging.judged_day
);
create index number_gap_by_day on charging.number_gap (insured_on, is_presumed);
comment on table charging.number_gap is 'Numbers of a day without an order that were not declared unused.';
comment on column charging.number_gap.enterprise is 'Id of the enterprise (enterprise.id).';
comment on column charging.number_gap.series is 'The series.';
comment on column charging.number_gap.first is 'First number of the range.';
comment on column charging.number_gap.last is 'Last number of the range, included.';
comment on column charging.number_gap.insured_on is 'The day whose numbers are missing.';
comment on column charging.number_gap.is_presumed is 'Whether it was found when missing orders are presumed.';
comment on column charging.number_gap.is_declared is 'Whether the enterprise declared orders with these numbers.';

create table charging.assessment (
    batch bigint not null references charging.manifest deferrable initially deferred,
    leaf_index integer not null,
    enterprise smallint not null,
    series text collate "C" not null,
    first bigint not null check (first >= 1),
    last bigint not null check (last >= first),
    insured_on date not null check (isfinite(insured_on)),
    province smallint not null,
    industry smallint not null,
    tariff_line smallint not null,
    base_amount integer not null check (base_amount > 0),
    why text not null check (why in ('presumed', 'declared_unused', 'arrived')),
    of_batch bigint,
    of_leaf integer,
    primary key (batch, leaf_index),
    foreign key (of_batch, of_leaf) references charging.assessment,
    check ((why = 'presumed') = (of_batch is null) and (of_batch is null) = (of_leaf is null))
);
create index assessment_taken_back on charging.assessment (of_batch, of_leaf) where of_batch is not null;
comment on table charging.assessment is
    'Presumed orders: numbers charged without an event, and what takes them back (docs/decisions/0007).';
comment on column charging.assessment.batch is 'The batch: run_id * 2^32 + number.';
comment on column charging.assessment.leaf_index is 'Index of its leaf in the batch''s tree.';
comment on column charging.assessment.enterprise is 'Id of the enterprise (enterprise.id).';
comment on column charging.assessment.series is 'The series.';
comment on column charging.assessment.first is 'First number of the range.';
comment on column charging.assessment.last is 'Last number of the range, included.';
comment on column charging.assessment.insured_on is 'The day whose numbers are charged.';
comment on column charging.assessment.province is 'Two digits of GB/T 2260.';
comment on column charging.assessment.industry is 'Number of the industry.';
comment on column charging.assessment.tariff_line is 'Id of the tariff line.';
comment on column charging.assessment.base_amount is 'Premium of one number, in 0.0001 yuan.';
comment on column charging.assessment.why is 'presumed: charged; declared_unused, arrived: why it is taken back.';
comment on column charging.assessment.of_batch is 'Batch of the row that it takes back from.';
comment on column charging.assessment.of_leaf is 'Leaf of that row.';

-- close ---------------------------------------------------------------------------------------------------------------

create table charging.day_count (
    day date not null check (isfinite(day)),
    attempt integer not null,
    question text collate "C" not null default '',
    payload bytea not null,
    answered_at timestamptz not null default clock_timestamp(),
    primary key (day, attempt, question)
);
comment on table charging.day_count is 'Answers to closes: the same question gets the same answer.';
comment on column charging.day_count.day is 'The day that was counted.';
comment on column charging.day_count.attempt is 'Number of the attempt to close it.';
comment on column charging.day_count.question is 'SHA-256 of the question, in hex.';
comment on column charging.day_count.payload is 'The answer, as published.';
comment on column charging.day_count.answered_at is 'When it was answered; of several answers the latest holds.';

create table charging.day_settlement (
    day date not null check (isfinite(day)),
    cut text collate "C" not null default '',
    batch bigint references charging.manifest,
    primary key (day, cut)
);
comment on table charging.day_settlement is 'The batch of reversals that was written for a close.';
comment on column charging.day_settlement.day is 'The day.';
comment on column charging.day_settlement.cut is
    'SHA-256 of the cut, which every attempt of a close has in common, in hex.';
comment on column charging.day_settlement.batch is 'The batch of reversals; null where there was nothing to reverse.';

create table charging.participant (
    province smallint not null,
    worker bytea not null check (length(worker) = 32),
    first_on date not null,
    primary key (province, worker)
);
create index participant_by_day on charging.participant (first_on, province, worker);
comment on table charging.participant is 'Workers ever charged in a province.';
comment on column charging.participant.province is 'Two digits of GB/T 2260.';
comment on column charging.participant.worker is 'The worker''s token.';
comment on column charging.participant.first_on is 'The day whose close counted the worker first.';

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
comment on table charging.resend is 'Orders that came under two acceptance times.';
comment on column charging.resend.enterprise is 'Id of the enterprise (enterprise.id).';
comment on column charging.resend.order_id is 'The enterprise''s id of the order.';
comment on column charging.resend.worker_key is 'First 8 bytes of the worker''s token.';
comment on column charging.resend.accepted_at is 'Acceptance time of the row that was reversed.';
comment on column charging.resend.kept_accepted_at is 'Acceptance time of the row that holds.';
comment on column charging.resend.was_charged is 'Whether the reversed row was charged.';
comment on column charging.resend.found_on is 'The close that found it.';

create table charging.reinstated (
    enterprise smallint not null,
    order_id text collate "C" not null,
    worker_key bigint not null,
    accepted_at timestamptz not null,
    found_on date not null,
    primary key (enterprise, order_id, worker_key, accepted_at),
    foreign key (enterprise, order_id, worker_key, accepted_at) references charging.resend
);
comment on table charging.reinstated is
    'Acceptances that were held to be sent again until a cancellation came: the order had been given back before.';
comment on column charging.reinstated.enterprise is 'Id of the enterprise (enterprise.id).';
comment on column charging.reinstated.order_id is 'The enterprise''s id of the order.';
comment on column charging.reinstated.worker_key is 'First 8 bytes of the worker''s token.';
comment on column charging.reinstated.accepted_at is 'Acceptance time of the row that is charged again.';
comment on column charging.reinstated.found_on is 'Day whose close found it.';

-- rerate: decisions on orders outside declarations (docs/decisions/0022) ----------------------------------------------

create table charging.adjustment_proposal (
    id bigint generated always as identity primary key,
    decision_id bigint not null,
    enterprise smallint not null,
    insured_on date not null check (isfinite(insured_on)),
    orders bigint not null check (orders > 0),
    premium bigint not null check (premium > 0),
    orders_sha256 bytea not null check (length(orders_sha256) = 32),
    proposed_by text collate "C" not null check (proposed_by <> ''),
    reason text collate "C" not null check (length(reason) between 1 and 1000),
    proposed_at timestamptz not null default clock_timestamp(),
    unique (enterprise, insured_on, orders_sha256),
    unique (id, proposed_by),
    foreign key (decision_id, proposed_by) references charging.decision (decision_id, person)
);
comment on table charging.adjustment_proposal is
    'Proposals to reverse the orders of a day outside its signed declaration. The same orders are one proposal.';
comment on column charging.adjustment_proposal.id is 'Id of the proposal.';
comment on column charging.adjustment_proposal.decision_id is 'The decision to propose it.';
comment on column charging.adjustment_proposal.enterprise is 'Id of the enterprise (enterprise.id).';
comment on column charging.adjustment_proposal.insured_on is 'Insured day of the orders.';
comment on column charging.adjustment_proposal.orders is 'Number of orders.';
comment on column charging.adjustment_proposal.premium is 'Their premium, in 0.0001 yuan.';
comment on column charging.adjustment_proposal.orders_sha256 is 'SHA-256 over keys and charges of exactly these orders.';
comment on column charging.adjustment_proposal.proposed_by is 'Account of the person who proposed it.';
comment on column charging.adjustment_proposal.reason is 'Why, in the words of that person.';
comment on column charging.adjustment_proposal.proposed_at is 'When it was proposed.';

create table charging.adjustment_consent (
    id bigint primary key,
    decision_id bigint not null,
    proposed_by text collate "C" not null,
    consented_by text collate "C" not null check (consented_by <> ''),
    batches bigint[] not null check (cardinality(batches) > 0),
    consented_at timestamptz not null default clock_timestamp(),
    foreign key (id, proposed_by) references charging.adjustment_proposal (id, proposed_by),
    foreign key (decision_id, consented_by) references charging.decision (decision_id, person),
    constraint two_persons check (consented_by <> proposed_by)
);
comment on table charging.adjustment_consent is
    'Consents to proposals, one each and by another person; written in the transaction that reverses the orders.';
comment on column charging.adjustment_consent.id is 'Id of the proposal.';
comment on column charging.adjustment_consent.decision_id is 'The decision of the person who consented.';
comment on column charging.adjustment_consent.proposed_by is 'Account of the person who proposed it, for the rule of two.';
comment on column charging.adjustment_consent.consented_by is 'Account of the person who consented.';
comment on column charging.adjustment_consent.batches is 'The batches that reverse the orders: run_id * 2^32 + number.';
comment on column charging.adjustment_consent.consented_at is 'When the orders were reversed.';

-- store: archived days (docs/decisions/0009) --------------------------------------------------------------------------

create table charging.archive (
    id bigint generated always as identity primary key,
    day date not null check (isfinite(day)),
    what text not null check (what in ('archived', 'restored', 'pruned')),
    rows bigint not null check (rows >= 0),
    bytes bigint not null check (bytes >= 0),
    index_sha256 bytea not null check (length(index_sha256) = 32),
    noted_at timestamptz not null default clock_timestamp()
);
create index archive_by_day on charging.archive (day, id);
comment on table charging.archive is 'What became of a day''s partition; the last record of a day holds.';
comment on column charging.archive.id is 'Number of the record; the last of a day holds.';
comment on column charging.archive.day is 'The day.';
comment on column charging.archive.what is
    'archived: rows are in files; restored: in the table again; pruned: files may be gone.';
comment on column charging.archive.rows is 'Number of rows.';
comment on column charging.archive.bytes is 'Size of the files.';
comment on column charging.archive.index_sha256 is 'SHA-256 of the index of the files.';
comment on column charging.archive.noted_at is 'When it was noted.';

create table charging.archived_nodes (
    day date not null,
    batch bigint not null references charging.manifest,
    nodes bytea not null check (length(nodes) % 37 = 0),
    primary key (batch, day)
);
comment on table charging.archived_nodes is
    'Subtrees over archived rows of a batch that has rows of other days, so that those are proved as before.';
comment on column charging.archived_nodes.day is 'The archived day.';
comment on column charging.archived_nodes.batch is 'The batch: run_id * 2^32 + number.';
comment on column charging.archived_nodes.nodes is
    'Subtrees over the batch''s rows of that day, 37 bytes each (shared/domain/evidence/partial_tree.py).';

-- Days whose rows are not in the table.
create view charging.archived_day as
    select last.* from (select distinct on (day) * from charging.archive order by day, id desc) last
    where what <> 'restored' and not exists (
        select from pg_inherits join pg_class c on c.oid = inhrelid
        where inhparent = 'charging.entry'::regclass and not inhdetachpending
            and c.relname = 'entry_' || to_char(last.day, 'YYYYMMDD'));

-- messages ------------------------------------------------------------------------------------------------------------

create table charging.topic_position (
    cluster_id text collate "C" not null,
    topic text collate "C" not null,
    partition integer not null check (partition >= 0),
    next_offset bigint not null check (next_offset >= 0),
    topic_id uuid,
    primary key (cluster_id, topic, partition)
);
comment on table charging.topic_position is
    'How far each partition of a topic between services is handled, moved by compare-and-set.';
comment on column charging.topic_position.cluster_id is 'Id of the Kafka cluster.';
comment on column charging.topic_position.topic is 'Name of the topic.';
comment on column charging.topic_position.partition is 'Number of the partition.';
comment on column charging.topic_position.next_offset is 'Offset of the next record to handle.';
comment on column charging.topic_position.topic_id is 'Id of the topic, where the broker gives one.';

create table charging.refused_message (
    refused_id bigint generated always as identity primary key,
    topic text collate "C" not null,
    partition integer,
    record_offset bigint,
    reason text collate "C" not null check (reason in (
        'undecodable', 'absurd', 'different_content', 'unexpected', 'foreign_enterprise', 'unstorable', 'expired',
        'unprocessable', 'identity_in_clear', 'unsigned', 'wrong_author', 'unreadable', 'lost', 'out_of_time')),
    detail text not null,
    sha256 bytea not null check (length(sha256) = 32),
    bytes integer not null,
    redacted text not null,
    sealed bytea not null,
    sealed_on date not null,
    recorded_at timestamptz not null,
    received_at timestamptz not null default clock_timestamp(),
    constraint refused_message_once unique (topic, reason, sha256, sealed_on)
);
comment on table charging.refused_message is
    'Quarantined messages between services, sealed, with the reason. Each is an alarm until it is reviewed.';
comment on column charging.refused_message.refused_id is 'Number of the message.';
comment on column charging.refused_message.topic is 'Name of the topic.';
comment on column charging.refused_message.partition is 'Its partition; null where it came over HTTP.';
comment on column charging.refused_message.record_offset is 'Its offset; null where it came over HTTP.';
comment on column charging.refused_message.reason is 'Why it was not taken (shared/contracts/quarantine.py).';
comment on column charging.refused_message.detail is 'The reason in words, redacted.';
comment on column charging.refused_message.sha256 is 'SHA-256 of the message.';
comment on column charging.refused_message.bytes is 'Length of the message.';
comment on column charging.refused_message.redacted is 'A redacted form, to read.';
comment on column charging.refused_message.sealed is
    'The message and its headers, encrypted under the key of sealed_on.';
comment on column charging.refused_message.sealed_on is 'The day whose key seals it.';
comment on column charging.refused_message.recorded_at is 'Timestamp of the record, or of its receipt.';
comment on column charging.refused_message.received_at is 'When it was quarantined.';

create table charging.refused_review (
    refused_id bigint primary key references charging.refused_message,
    reviewer text not null check (reviewer <> ''),
    note text not null check (note <> ''),
    noted_at timestamptz not null default clock_timestamp()
);
comment on table charging.refused_review is 'A person''s review of a quarantined message; ends its alarm.';
comment on column charging.refused_review.refused_id is 'The message.';
comment on column charging.refused_review.reviewer is 'Who reviewed it.';
comment on column charging.refused_review.note is 'What was done.';
comment on column charging.refused_review.noted_at is 'When it was noted.';

create table charging.outbox (
    id bigint generated always as identity primary key,
    topic text not null,
    key text not null,
    payload bytea not null,
    refusal text,
    refused_at timestamptz,
    check ((refusal is null) = (refused_at is null))
);
comment on table charging.outbox is
    'Messages still to publish, written in the transaction of the facts that they report.';
comment on column charging.outbox.id is 'Number of the message; published in this order.';
comment on column charging.outbox.topic is 'Name of the topic.';
comment on column charging.outbox.key is 'Key of the record.';
comment on column charging.outbox.payload is 'Value of the record.';
comment on column charging.outbox.refusal is 'Why the broker refused it; null where it did not.';
comment on column charging.outbox.refused_at is 'When the broker refused it last.';

-- partitions of the orders --------------------------------------------------------------------------------------------

-- A day's partition is made while COPYs are open: LIKE and ATTACH do not wait for them, PARTITION OF would. Lookups in
-- an open partition go by two BRIN indexes, so that a query reads one of them only. Charging summarizes their ranges
-- itself, as it goes: vacuum would lock it out for as long as it takes. So vacuum visits an open partition only for
-- what is worth freezing by the way, and it is analysed when it has doubled. A row that is added to a summarized
-- range costs some 80 µs, so the first range, with which an index begins, is desummarized.
create function charging.make_partition(on_day date) returns void
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
    perform charging.attach_partition(on_day);
end $$;

-- A restored day is filled by an operator's login: the service seals it, so it must not stay the operator's.
create function charging.attach_partition(on_day date) returns void
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
    execute format('alter table charging.%I owner to %I', part,
        (select pg_get_userbyid(relowner) from pg_class where oid = 'charging.entry'::regclass));
end $$;

-- An archived day gets no new partition: its orders would not be known and be charged a second time.
create function charging.ensure_partitions(first_on date, last_on date) returns void
language plpgsql security definer set search_path = charging, pg_temp as $$
declare
    on_day date := first_on;
begin
    if last_on - first_on > 400 then
        raise exception 'parts for % days at once are a mistake', last_on - first_on + 1;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('charging.ensure_partitions', 0));
    while on_day <= last_on loop
        if to_regclass('charging.entry_' || to_char(on_day, 'YYYYMMDD')) is null then
            if exists (select from charging.archived_day a where a.day = on_day) then
                raise exception '% is archived: danbao archive restore %', on_day, on_day;
            end if;
            perform charging.make_partition(on_day);
        end if;
        on_day := on_day + 1;
    end loop;
end $$;

-- Indexes that only lookups need are built once the day is counted. Equal values share their key in a b-tree: a hash
-- of the order id of 20 bits takes a third of what the id would, and a lookup reads some rows more; ANALYZE lets the
-- planner know of the hash. The BRIN indexes of the open partition are dropped, also because PostgreSQL 18 reads all
-- that follows a summary whose making was cancelled; where a query reads the partition just now, the next seal drops
-- them.
create function charging.seal_partition(on_day date) returns void
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

-- Summarizes the ranges of 48 pages of an open partition from `first` on, up to the last ones, which are being
-- filled; returns the next range, null where another session summarizes. A query reads whole what is not summarized.
-- Where vacuum or a seal has the lock, it is done the next time: waiting longer than deadlock_timeout would cancel
-- vacuum, and PostgreSQL 18 reads all that comes after a summary whose making was cancelled. One of ours is therefore
-- taken back.
create function charging.summarize_partition(on_day date, first integer) returns integer
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
    elsif not pg_try_advisory_xact_lock(hashtextextended('charging.summarize_partition', 0)) then
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

-- A partition whose day is over gets hardly any more rows: from now on it is vacuumed as any other table.
create function charging.restore_autovacuum(on_day date) returns void
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

-- Drops what was taken out of the table when it is what was archived; else it becomes a partition again. True when
-- dropped.
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
    perform charging.attach_partition(on_day);
    insert into charging.archive (day, what, rows, bytes, index_sha256)
        values (on_day, 'restored', found_rows, 0, known.index_sha256);
    return false;
end $$;

-- The table that was filled from an archive becomes the day's partition again.
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
    perform charging.attach_partition(on_day);
    insert into charging.archive (day, what, rows, bytes, index_sha256)
        values (on_day, 'restored', found_rows, known.bytes, known.index_sha256);
end $$;

-- history and rights --------------------------------------------------------------------------------------------------

do $$
declare t text;
begin
    foreach t in array array[
        'decision', 'deployment', 'enterprise', 'run', 'manifest', 'batch_day', 'moved_on', 'pause', 'parked', 'resent',
        'conflict', 'unlisted_region', 'declaration', 'accounted_day', 'number_range', 'judged_day', 'number_gap',
        'assessment', 'day_count', 'day_settlement', 'participant', 'resend', 'reinstated',
        'adjustment_proposal', 'adjustment_consent', 'archive', 'archived_nodes', 'refused_message', 'refused_review']
    loop
        execute format('create trigger history before update or delete on charging.%I'
            ' for each row execute function charging.refuse_change()', t);
        execute format('create trigger history_whole before truncate on charging.%I'
            ' for each statement execute function charging.refuse_change()', t);
    end loop;
    execute format('grant temporary on database %I to danbao_charging', current_database());
end $$;
create trigger history_whole before truncate on charging.entry
    for each statement execute function charging.refuse_change();

grant usage on schema charging to danbao_charging, danbao_auditor;
grant select on all tables in schema charging to danbao_charging, danbao_auditor;
grant insert on all tables in schema charging to danbao_charging;
revoke insert on charging.moved_on, charging.archive, charging.archived_nodes, charging.archived_day,
    charging.alembic_version from danbao_charging;
grant update (next_offset, events, topic_id) on charging.position to danbao_charging;
grant update (next_offset, topic_id) on charging.topic_position to danbao_charging;
grant update (id, refusal, refused_at), delete on charging.outbox to danbao_charging;
grant delete on charging.unsettled to danbao_charging;
grant update (key, destroyed_at), maintain on charging.kept_key to danbao_charging;
revoke select on charging.kept_key from danbao_auditor;
grant select (day, made_at, destroyed_at) on charging.kept_key to danbao_auditor;
revoke execute on all functions in schema charging from public;
grant execute on function charging.move_on, charging.ensure_partitions, charging.seal_partition, charging.summarize_partition,
    charging.restore_autovacuum to danbao_charging;
