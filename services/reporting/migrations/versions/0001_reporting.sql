-- The schema of reporting. Amounts are 0.0001 yuan; days are Asia/Shanghai. Reports, findings and the access log are
-- only added to: a trigger refuses changes, for the owner, too. Rows that readers see are guarded by row-level
-- security.

create function reporting.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append only', tg_table_name using errcode = 'restrict_violation';
end $$;

-- messages -----------------------------------------------------------------------------------------------------------

create table reporting.topic_position (
    cluster_id text not null,
    topic text not null,
    partition integer not null check (partition >= 0),
    next_offset bigint not null check (next_offset >= 0),
    topic_id uuid,
    primary key (cluster_id, topic, partition)
);
comment on table reporting.topic_position is 'How far each partition is handled, moved by compare-and-set.';
comment on column reporting.topic_position.cluster_id is 'Id of the Kafka cluster.';
comment on column reporting.topic_position.topic is 'Name of the topic.';
comment on column reporting.topic_position.partition is 'Number of the partition.';
comment on column reporting.topic_position.next_offset is 'Offset of the next record to handle.';
comment on column reporting.topic_position.topic_id is 'Id of the topic, where the broker gives one.';

create table reporting.refused_message (
    refused_id bigint generated always as identity primary key,
    topic text not null,
    partition integer,
    record_offset bigint,
    reason text not null check (reason in (
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
comment on table reporting.refused_message is
    'Quarantined messages, sealed, with the reason. Each is an alarm until it is reviewed.';
comment on column reporting.refused_message.refused_id is 'Number of the message.';
comment on column reporting.refused_message.topic is 'Name of the topic.';
comment on column reporting.refused_message.partition is 'Its partition; null where it has none.';
comment on column reporting.refused_message.record_offset is 'Its offset; null where it has none.';
comment on column reporting.refused_message.reason is 'Why it was not taken (shared/contracts/quarantine.py).';
comment on column reporting.refused_message.detail is 'The reason in words, redacted.';
comment on column reporting.refused_message.sha256 is 'SHA-256 of the message.';
comment on column reporting.refused_message.bytes is 'Length of the message.';
comment on column reporting.refused_message.redacted is 'A redacted form, to read.';
comment on column reporting.refused_message.sealed is
    'The message and its headers, encrypted under the key of sealed_on.';
comment on column reporting.refused_message.sealed_on is 'The day whose key seals it.';
comment on column reporting.refused_message.recorded_at is 'Timestamp of the record.';
comment on column reporting.refused_message.received_at is 'When it was quarantined.';

create table reporting.refused_review (
    refused_id bigint primary key references reporting.refused_message,
    reviewer text not null check (reviewer <> ''),
    note text not null check (note <> ''),
    noted_at timestamptz not null default clock_timestamp()
);
comment on table reporting.refused_review is 'A person''s review of a quarantined message; ends its alarm.';
comment on column reporting.refused_review.refused_id is 'The message.';
comment on column reporting.refused_review.reviewer is 'Who reviewed it.';
comment on column reporting.refused_review.note is 'What was done.';
comment on column reporting.refused_review.noted_at is 'When it was noted.';

create table reporting.kept_key (
    day date primary key,
    key bytea,
    made_at timestamptz not null default clock_timestamp(),
    destroyed_at timestamptz,
    constraint kept_key_length check (length(key) = 32),
    constraint kept_key_destroyed check ((key is null) = (destroyed_at is not null))
);
comment on table reporting.kept_key is
    'Keys of kept bytes and of typed names, one a day. Without its key nothing kept that day can be read.';
comment on column reporting.kept_key.day is 'Day of keeping (Asia/Shanghai).';
comment on column reporting.kept_key.key is 'The key, 32 bytes; null once destroyed.';
comment on column reporting.kept_key.made_at is 'When it was made.';
comment on column reporting.kept_key.destroyed_at is 'When it was destroyed.';

-- The key of a day is destroyed once its time is over, and never changed.
create function reporting.refuse_key_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if old.key is not null and new.key is null and (new.day, new.made_at) = (old.day, old.made_at)
                and old.day < (clock_timestamp() at time zone 'Asia/Shanghai')::date - 1 then
            return new;
        end if;
    end if;
    raise exception '% of reporting.kept_key: a key is destroyed two days after its day at the earliest, never changed',
        tg_op using errcode = 'integrity_constraint_violation';
end $$;
create trigger append_only before update or delete on reporting.kept_key
    for each row execute function reporting.refuse_key_change();
create trigger never_emptied before truncate on reporting.kept_key
    for each statement execute function reporting.refuse_key_change();

-- intake: what other services and parties reported, as received ------------------------------------------------------

create table reporting.day_closed (
    day date primary key check (isfinite(day)),
    as_of timestamptz not null check (isfinite(as_of)),
    body bytea not null,
    body_sha256 text not null,
    received_at timestamptz not null default clock_timestamp()
);
comment on table reporting.day_closed is 'Closes of days, as received; the first message of a day holds.';
comment on column reporting.day_closed.day is 'The closed day.';
comment on column reporting.day_closed.as_of is 'The instant up to which the close counts.';
comment on column reporting.day_closed.body is 'The message, as received.';
comment on column reporting.day_closed.body_sha256 is 'SHA-256 of the body, in hex.';
comment on column reporting.day_closed.received_at is 'When it was received.';

create table reporting.statement_issued (
    statement_id text primary key,
    period text not null check (period ~ '^[0-9]{4}-[0-9]{2}$'),
    province text not null check (province ~ '^[0-9]{2}$'),
    enterprise text not null check (enterprise ~ '^[0-9A-Z]{18}$'),
    body bytea not null,
    body_sha256 text not null,
    received_at timestamptz not null default clock_timestamp(),
    unique (period, province, enterprise)
);
comment on table reporting.statement_issued is 'Statements, as received; the first message of a statement holds.';
comment on column reporting.statement_issued.statement_id is 'Id of the statement.';
comment on column reporting.statement_issued.period is 'The billing period, YYYY-MM.';
comment on column reporting.statement_issued.province is 'Two digits of GB/T 2260.';
comment on column reporting.statement_issued.enterprise is 'USCC of the enterprise.';
comment on column reporting.statement_issued.body is 'The message, as received.';
comment on column reporting.statement_issued.body_sha256 is 'SHA-256 of the body, in hex.';
comment on column reporting.statement_issued.received_at is 'When it was received.';

create table reporting.remittance (
    remittance_id text primary key,
    province text not null,
    enterprise text not null,
    amount bigint not null,
    received_on date not null check (isfinite(received_on)),
    received_at timestamptz not null default clock_timestamp(),
    reverses text unique references reporting.remittance,
    reason text,
    authority text,
    check ((reverses is null) = (amount > 0)),
    check ((reverses is null) = (reason is null) and (reverses is null) = (authority is null))
);
create index remittance_newest on reporting.remittance (received_on, remittance_id);
create index remittance_of_enterprise on reporting.remittance (enterprise, received_on, remittance_id);
create index remittance_of_province on reporting.remittance (province, received_on, remittance_id);
comment on table reporting.remittance is 'Remittances, for the pages; the ledger books them.';
comment on column reporting.remittance.remittance_id is 'Id that the collecting authority gave.';
comment on column reporting.remittance.province is 'Two digits of GB/T 2260.';
comment on column reporting.remittance.enterprise is 'USCC of the enterprise.';
comment on column reporting.remittance.amount is 'Amount, in 0.0001 yuan; below zero for a reversal.';
comment on column reporting.remittance.received_on is 'Day on which the money was received.';
comment on column reporting.remittance.received_at is 'When it was received.';
comment on column reporting.remittance.reverses is 'The remittance that it takes back; null for money.';
comment on column reporting.remittance.reason is 'Why it takes it back.';
comment on column reporting.remittance.authority is 'Number of the order to take it back.';

create table reporting.injury_notice (
    notice_id text primary key,
    injured_on date not null check (isfinite(injured_on)),
    body bytea not null,
    body_sha256 text not null,
    received_at timestamptz not null default clock_timestamp()
);
comment on table reporting.injury_notice is 'Injury notices, as received.';
comment on column reporting.injury_notice.notice_id is 'Id of the notice.';
comment on column reporting.injury_notice.injured_on is 'Day of the injury.';
comment on column reporting.injury_notice.body is 'The message, as received.';
comment on column reporting.injury_notice.body_sha256 is 'SHA-256 of the body, in hex.';
comment on column reporting.injury_notice.received_at is 'When it was received.';

create table reporting.reported_total (
    number bigint generated always as identity primary key,
    source text not null,
    enterprise text not null,
    day date not null check (isfinite(day)),
    count bigint not null,
    body bytea not null,
    body_sha256 text not null,
    received_at timestamptz not null default clock_timestamp()
);
create index reported_total_by_key on reporting.reported_total (day, enterprise, source, number);
comment on table reporting.reported_total is
    'Independent counts of an enterprise''s day, as received; the last one of a source holds.';
comment on column reporting.reported_total.number is 'Number in the order of receipt.';
comment on column reporting.reported_total.source is 'Who reported the count.';
comment on column reporting.reported_total.enterprise is 'USCC of the enterprise.';
comment on column reporting.reported_total.day is 'The day that was counted.';
comment on column reporting.reported_total.count is 'Number of orders that the source counted.';
comment on column reporting.reported_total.body is 'The message, as received.';
comment on column reporting.reported_total.body_sha256 is 'SHA-256 of the body, in hex.';
comment on column reporting.reported_total.received_at is 'When it was received.';

-- delivery: reports to the national platform -------------------------------------------------------------------------

create table reporting.report (
    report_id text primary key,
    number bigint not null unique generated always as identity,
    kind text not null check (kind in ('coverage', 'registration', 'declaration', 'payment')),
    day date check (isfinite(day)),
    period text not null check (period ~ '^[0-9]{4}-[0-9]{2}$'),
    province text not null check (province ~ '^[0-9]{2}$'),
    enterprise text check (enterprise ~ '^[0-9A-Z]{18}$'),
    statement_id text unique references reporting.statement_issued,
    as_of date check (isfinite(as_of)),
    body bytea not null,
    body_sha256 text not null check (body_sha256 ~ '^[0-9a-f]{64}$'),
    built_at timestamptz not null default clock_timestamp(),
    check ((kind in ('coverage', 'registration')) = (day is not null)),
    check ((kind = 'declaration') = (enterprise is not null and statement_id is not null)),
    check ((kind = 'payment') = (as_of is not null))
);
create unique index report_once_a_day on reporting.report (day, province) where kind = 'coverage';
create index report_by_period on reporting.report (period, kind, province);
create index report_by_kind on reporting.report (kind, number);
create index report_by_kind_and_period on reporting.report (period, kind, number);
create index report_of_province on reporting.report (province, kind, number);
create index report_of_province_by_number on reporting.report (province, number);
create index report_of_enterprise on reporting.report (enterprise, kind, number) where enterprise is not null;
create index report_of_enterprise_by_number on reporting.report (enterprise, number) where enterprise is not null;
comment on table reporting.report is 'Reports, as built; a report is never changed.';
comment on column reporting.report.report_id is 'Id of the report.';
comment on column reporting.report.number is 'Number in the order of building.';
comment on column reporting.report.kind is 'What it reports (shared/contracts/reports.py).';
comment on column reporting.report.day is 'The day of a daily report; else null.';
comment on column reporting.report.period is 'The billing period, YYYY-MM.';
comment on column reporting.report.province is 'Two digits of GB/T 2260.';
comment on column reporting.report.enterprise is 'USCC of the enterprise of a declaration; else null.';
comment on column reporting.report.statement_id is 'The statement of a declaration; else null.';
comment on column reporting.report.as_of is 'Day of a payment report; else null.';
comment on column reporting.report.body is 'The report, as sent.';
comment on column reporting.report.body_sha256 is 'SHA-256 of the body, in hex.';
comment on column reporting.report.built_at is 'When it was built.';

create table reporting.share (
    report_id text not null references reporting.report,
    enterprise text not null,
    orders bigint not null,
    amount bigint not null,
    primary key (report_id, enterprise)
);
comment on table reporting.share is 'What an enterprise has in a report.';
comment on column reporting.share.report_id is 'The report.';
comment on column reporting.share.enterprise is 'USCC of the enterprise.';
comment on column reporting.share.orders is 'Its orders in the report.';
comment on column reporting.share.amount is 'Its amount in 0.0001 yuan: exact, or as rounded in a declaration.';

create table reporting.province_built (
    day date not null references reporting.day_closed,
    province text not null,
    primary key (day, province)
);
comment on table reporting.province_built is 'Days whose report for a province is built.';
comment on column reporting.province_built.day is 'The closed day.';
comment on column reporting.province_built.province is 'Two digits of GB/T 2260.';

create table reporting.day_built (
    day date primary key references reporting.day_closed,
    built_at timestamptz not null default clock_timestamp()
);
comment on table reporting.day_built is 'Days whose reports are all built.';
comment on column reporting.day_built.day is 'The closed day.';
comment on column reporting.day_built.built_at is 'When all its reports were built.';

create table reporting.delivery (
    report_id text primary key references reporting.report,
    state text not null default 'pending' check (state in ('pending', 'received', 'refused', 'undeliverable')),
    attempts int not null default 0,
    next_attempt_at timestamptz not null default clock_timestamp(),
    last_error text
);
create index delivery_due on reporting.delivery (next_attempt_at) where state = 'pending';
comment on table reporting.delivery is 'State of the delivery of a report; the only table of reports that is updated.';
comment on column reporting.delivery.report_id is 'The report.';
comment on column reporting.delivery.state is 'State of the delivery.';
comment on column reporting.delivery.attempts is 'Number of attempts.';
comment on column reporting.delivery.next_attempt_at is 'Time of the next attempt.';
comment on column reporting.delivery.last_error is 'Failure of the last attempt.';

create table reporting.receipt (
    report_id text primary key references reporting.report,
    receipt_id text not null,
    body_sha256 text not null,
    received_at timestamptz not null check (isfinite(received_at)),
    unconfirmed text not null,
    kept_at timestamptz not null default clock_timestamp()
);
comment on table reporting.receipt is 'The national platform''s receipts.';
comment on column reporting.receipt.report_id is 'The report.';
comment on column reporting.receipt.receipt_id is 'Id of the receipt.';
comment on column reporting.receipt.body_sha256 is 'SHA-256 of the report that the platform received, in hex.';
comment on column reporting.receipt.received_at is 'When the platform received it.';
comment on column reporting.receipt.unconfirmed is 'JSON, as answered: exclusions that the roster does not confirm.';
comment on column reporting.receipt.kept_at is 'When the receipt was kept.';

create table reporting.set_aside (
    step text not null check (step in ('build_day', 'build_declaration', 'examine_day', 'check_notice', 'check_total',
        'project_day', 'project_statement', 'send_report', 'reconcile')),
    item text not null,
    reason text not null check (reason in
        ('refused', 'undecodable', 'out_of_range', 'constraint', 'wrong_answer', 'archived', 'unanswered',
        'unexpected')),
    detail text not null,
    attempts int not null default 1 check (attempts > 0),
    first_at timestamptz not null default clock_timestamp(),
    last_at timestamptz not null default clock_timestamp(),
    next_at timestamptz not null,
    resolved_at timestamptz,
    primary key (step, item)
);
create index set_aside_open on reporting.set_aside (first_at) where resolved_at is null;
comment on table reporting.set_aside is
    'Items of background work that cannot be done as they are; an alarm until resolved. A state, so it is '
    'updated.';
comment on column reporting.set_aside.step is 'The step of background work.';
comment on column reporting.set_aside.item is 'What of it: a day, a statement, a report.';
comment on column reporting.set_aside.reason is 'The class of the failure.';
comment on column reporting.set_aside.detail is 'The failure in words.';
comment on column reporting.set_aside.attempts is 'Number of attempts.';
comment on column reporting.set_aside.first_at is 'Time of the first attempt.';
comment on column reporting.set_aside.last_at is 'Time of the last attempt.';
comment on column reporting.set_aside.next_at is
    'Time of the next attempt; equal to the last one while the item only fails for what is expected to pass.';
comment on column reporting.set_aside.resolved_at is 'When it was done; null while it is open.';

-- register: discrepancies, their sightings and states ----------------------------------------------------------------

create table reporting.discrepancy (
    id bigint primary key generated always as identity,
    identity_sha256 text not null unique,
    kind text not null check (kind in (
        'sequence_gap', 'presumed_orders', 'number_used_twice', 'declared_differently', 'outside_declaration',
        'parked_events', 'manifest_missing', 'manifest_late', 'manifest_changed', 'other_content', 'several_acceptance_times',
        'completion_without_acceptance', 'cancellation_without_acceptance', 'late_acceptances',
        'identity_like_order_ids', 'not_enrolled', 'excluded_share', 'implausible_count',
        'injury_without_order', 'order_after_injury', 'independent_total', 'refused', 'undeliverable',
        'receipt_mismatch', 'unconfirmed_exclusion', 'registration_count', 'unbuildable', 'orders',
        'exact_yuan', 'declaration_missing', 'reports_missing', 'not_held', 'held_unknown', 'held_differently',
        'different_content', 'unreadable_message')),
    key text,
    report_id text,
    period text,
    day date check (isfinite(day)),
    province text,
    enterprise text,
    declared text,
    reported text,
    count bigint,
    detail text not null,
    evidence jsonb not null default '{}',
    found_at timestamptz not null default clock_timestamp(),
    constraint discrepancy_fault check (coalesce(evidence ->> 'fault', 'unknown') in ('enterprise', 'ours', 'unknown'))
);
create index discrepancy_by_enterprise on reporting.discrepancy (enterprise, id);
create index discrepancy_by_province on reporting.discrepancy (province, id);
create index discrepancy_by_kind on reporting.discrepancy (kind, id);
create index discrepancy_of_province_by_kind on reporting.discrepancy (province, kind, id);
create index discrepancy_of_enterprise_by_kind on reporting.discrepancy (enterprise, kind, id);
create index discrepancy_of_both on reporting.discrepancy (enterprise, province, id);
create index discrepancy_by_day on reporting.discrepancy (day, id);
create index discrepancy_by_period on reporting.discrepancy (period, id);
create index discrepancy_of_province_by_period on reporting.discrepancy (province, period, id);
create index discrepancy_of_enterprise_by_period on reporting.discrepancy (enterprise, period, id);
create index discrepancy_of_report on reporting.discrepancy (report_id) where report_id is not null;
comment on table reporting.discrepancy is
    'The discrepancy register: each finding once; sightings, orders and states are added.';
comment on column reporting.discrepancy.id is 'Number of the discrepancy.';
comment on column reporting.discrepancy.identity_sha256 is 'SHA-256 of what makes it the same when found again.';
comment on column reporting.discrepancy.kind is 'Kind of discrepancy (shared/contracts/findings.py).';
comment on column reporting.discrepancy.key is
    'What makes it the same when found again; without one, all its fields do.';
comment on column reporting.discrepancy.report_id is 'The report that it is about, if any.';
comment on column reporting.discrepancy.period is 'The billing period, if any.';
comment on column reporting.discrepancy.day is 'The day, if any.';
comment on column reporting.discrepancy.province is 'Two digits of GB/T 2260, if any.';
comment on column reporting.discrepancy.enterprise is 'USCC of the enterprise, if any.';
comment on column reporting.discrepancy.declared is 'The figure that was declared.';
comment on column reporting.discrepancy.reported is 'The figure that it was compared with.';
comment on column reporting.discrepancy.count is 'Number of orders.';
comment on column reporting.discrepancy.detail is 'The finding in words.';
comment on column reporting.discrepancy.evidence is 'The evidence, by kind.';
comment on column reporting.discrepancy.found_at is 'When it was found first.';

create table reporting.discrepancy_order (
    discrepancy_id bigint not null references reporting.discrepancy,
    number int not null,
    order_id text not null,
    accepted_at timestamptz check (isfinite(accepted_at)),
    worker_id text,
    primary key (discrepancy_id, number)
);
comment on table reporting.discrepancy_order is 'Orders that a finding names.';
comment on column reporting.discrepancy_order.discrepancy_id is 'The discrepancy.';
comment on column reporting.discrepancy_order.number is 'Number of the order in the finding.';
comment on column reporting.discrepancy_order.order_id is 'The order.';
comment on column reporting.discrepancy_order.accepted_at is 'Time of its acceptance.';
comment on column reporting.discrepancy_order.worker_id is 'The worker''s token.';

create table reporting.discrepancy_sighting (
    id bigint primary key generated always as identity,
    discrepancy_id bigint not null references reporting.discrepancy,
    count bigint,
    detail text not null,
    evidence jsonb not null,
    seen_at timestamptz not null default clock_timestamp()
);
create index discrepancy_sighting_of on reporting.discrepancy_sighting (discrepancy_id, id);
comment on table reporting.discrepancy_sighting is 'A finding that was found again, as found then.';
comment on column reporting.discrepancy_sighting.id is 'Number of the sighting.';
comment on column reporting.discrepancy_sighting.discrepancy_id is 'The discrepancy.';
comment on column reporting.discrepancy_sighting.count is 'Number of orders, as found then.';
comment on column reporting.discrepancy_sighting.detail is 'The finding in words, as found then.';
comment on column reporting.discrepancy_sighting.evidence is 'The evidence, as found then.';
comment on column reporting.discrepancy_sighting.seen_at is 'When it was found again.';

create table reporting.discrepancy_state (
    id bigint primary key generated always as identity,
    discrepancy_id bigint not null references reporting.discrepancy,
    state text not null check (state in ('open', 'explained', 'corrected', 'confirmed')),
    actor text not null check (actor <> ''),
    note text not null check (note <> ''),
    noted_at timestamptz not null default clock_timestamp()
);
create index discrepancy_state_of on reporting.discrepancy_state (discrepancy_id, id);
comment on table reporting.discrepancy_state is 'States of a finding, as a history.';
comment on column reporting.discrepancy_state.id is 'Number of the state.';
comment on column reporting.discrepancy_state.discrepancy_id is 'The discrepancy.';
comment on column reporting.discrepancy_state.state is 'The state.';
comment on column reporting.discrepancy_state.actor is 'Who changed it; danbao for what is found by itself.';
comment on column reporting.discrepancy_state.note is 'Why.';
comment on column reporting.discrepancy_state.noted_at is 'When it was noted.';

create table reporting.discrepancy_standing (
    discrepancy_id bigint primary key references reporting.discrepancy,
    state_id bigint not null references reporting.discrepancy_state,
    state text not null,
    province text,
    enterprise text
);
create index discrepancy_standing_in on reporting.discrepancy_standing (state, discrepancy_id);
create index discrepancy_standing_of_province on reporting.discrepancy_standing (province, state, discrepancy_id);
create index discrepancy_standing_of_enterprise on reporting.discrepancy_standing (enterprise, state, discrepancy_id);
comment on table reporting.discrepancy_standing is
    'The newest state of each finding, kept by a trigger, so that lists need not read the history.';
comment on column reporting.discrepancy_standing.discrepancy_id is 'The discrepancy.';
comment on column reporting.discrepancy_standing.state_id is 'Its newest state.';
comment on column reporting.discrepancy_standing.state is 'That state.';
comment on column reporting.discrepancy_standing.province is 'As in the discrepancy.';
comment on column reporting.discrepancy_standing.enterprise is 'As in the discrepancy.';

create function reporting.note_standing() returns trigger language plpgsql as $$
begin
    update reporting.discrepancy_standing set state_id = new.id, state = new.state
        where discrepancy_id = new.discrepancy_id and state_id < new.id;
    insert into reporting.discrepancy_standing
        select d.id, new.id, new.state, d.province, d.enterprise from reporting.discrepancy d
        where d.id = new.discrepancy_id
            and not exists (select from reporting.discrepancy_standing s where s.discrepancy_id = d.id);
    return null;
end $$;
create trigger note_standing after insert on reporting.discrepancy_state
    for each row execute function reporting.note_standing();

create view reporting.discrepancy_now with (security_invoker = true) as
    select d.*, n.state, s.actor, s.note, s.noted_at,
        coalesce(g.seen_at, d.found_at) as last_seen_at, 1 + coalesce(g.again, 0) as times_seen
    from reporting.discrepancy d
    join reporting.discrepancy_standing n on n.discrepancy_id = d.id
    join reporting.discrepancy_state s on s.id = n.state_id
    left join lateral (select max(seen_at) as seen_at, count(*) as again from reporting.discrepancy_sighting
                       where discrepancy_id = d.id) g on true;

create table reporting.day_examined (
    day date primary key references reporting.day_closed,
    findings int not null,
    examined_at timestamptz not null default clock_timestamp()
);
comment on table reporting.day_examined is 'Closed days that were examined for the register.';
comment on column reporting.day_examined.day is 'The closed day.';
comment on column reporting.day_examined.findings is 'Number of findings that charging named.';
comment on column reporting.day_examined.examined_at is 'When it was examined.';

create table reporting.day_figure (
    day date not null references reporting.day_closed,
    insured_on date not null,
    enterprise text not null,
    province text not null,
    delays bigint[] not null,
    received bigint not null check (received >= 0),
    employees bigint not null check (employees >= 0),
    primary key (insured_on, enterprise, province, day)
);
create index day_figure_of on reporting.day_figure (day);
comment on table reporting.day_figure is 'What a close received of an insured day, for the detectors.';
comment on column reporting.day_figure.day is 'The closed day.';
comment on column reporting.day_figure.insured_on is 'The insured day.';
comment on column reporting.day_figure.enterprise is 'USCC of the enterprise.';
comment on column reporting.day_figure.province is 'Two digits of GB/T 2260.';
comment on column reporting.day_figure.delays is 'Acceptances by delay (shared/domain/books/delays.py).';
comment on column reporting.day_figure.received is 'Number of acceptances.';
comment on column reporting.day_figure.employees is 'How many of them were excluded as insured employees.';

create table reporting.injury_check (
    notice_id text not null references reporting.injury_notice,
    checked_on date not null,
    outcome text not null check (outcome in ('covered', 'covered_later', 'no_order')),
    is_final boolean not null,
    checked_at timestamptz not null default clock_timestamp(),
    primary key (notice_id, checked_on)
);
comment on table reporting.injury_check is 'An injury notice checked against the orders known then.';
comment on column reporting.injury_check.notice_id is 'The injury notice.';
comment on column reporting.injury_check.checked_on is 'The last examined day at the check.';
comment on column reporting.injury_check.outcome is
    'Whether there was an order, and whether it was sent before the notice.';
comment on column reporting.injury_check.is_final is 'Whether no later check can change it.';
comment on column reporting.injury_check.checked_at is 'When it was checked.';

create table reporting.total_check (
    number bigint not null references reporting.reported_total,
    checked_on date not null,
    received bigint not null,
    primary key (number, checked_on)
);
comment on table reporting.total_check is 'An independent count checked against what was received.';
comment on column reporting.total_check.number is 'The count.';
comment on column reporting.total_check.checked_on is 'The last closed day at the check.';
comment on column reporting.total_check.received is 'Number of orders received of that day.';

-- read model: what the pages read; rebuilt at any time ---------------------------------------------------------------

create table reporting.day_projected (
    day date primary key references reporting.day_closed
);
comment on table reporting.day_projected is 'Days that the read model holds.';
comment on column reporting.day_projected.day is 'The closed day.';

create table reporting.daily_sum (
    insured_on date not null,
    province text not null,
    enterprise text not null,
    industry text not null,
    day date not null,
    charged bigint not null,
    reversed bigint not null,
    presumed bigint not null,
    excluded bigint not null,
    premium bigint not null,
    primary key (insured_on, province, enterprise, industry, day)
);
create index daily_sum_of_province on reporting.daily_sum (province, insured_on);
create index daily_sum_of_enterprise on reporting.daily_sum (enterprise, insured_on);
create index daily_sum_amending on reporting.daily_sum (day) where day <> insured_on;
create index daily_sum_amended on reporting.daily_sum (insured_on) where day <> insured_on;
comment on table reporting.daily_sum is
    'What a close reported of an insured day; rows of an insured day add up over closes.';
comment on column reporting.daily_sum.insured_on is 'The insured day.';
comment on column reporting.daily_sum.province is 'Two digits of GB/T 2260.';
comment on column reporting.daily_sum.enterprise is 'USCC of the enterprise.';
comment on column reporting.daily_sum.industry is 'The industry (shared/domain/scheme/industry.py).';
comment on column reporting.daily_sum.day is 'The close that reported it.';
comment on column reporting.daily_sum.charged is 'Orders charged.';
comment on column reporting.daily_sum.reversed is 'Orders reversed.';
comment on column reporting.daily_sum.presumed is 'Presumed orders among those charged less reversed.';
comment on column reporting.daily_sum.excluded is 'Orders excluded.';
comment on column reporting.daily_sum.premium is 'Premium of charged less reversed, in 0.0001 yuan.';

create table reporting.daily_reason (
    insured_on date not null,
    province text not null,
    enterprise text not null,
    industry text not null,
    outcome text not null check (outcome in ('excluded', 'reversed')),
    reason text not null,
    day date not null,
    orders bigint not null,
    primary key (insured_on, province, enterprise, industry, outcome, reason, day)
);
create index daily_reason_of_province on reporting.daily_reason (province, insured_on);
create index daily_reason_of_enterprise on reporting.daily_reason (enterprise, insured_on);
comment on table reporting.daily_reason is 'Exclusions and reversals of an insured day by reason.';
comment on column reporting.daily_reason.insured_on is 'The insured day.';
comment on column reporting.daily_reason.province is 'Two digits of GB/T 2260.';
comment on column reporting.daily_reason.enterprise is 'USCC of the enterprise.';
comment on column reporting.daily_reason.industry is 'The industry (shared/domain/scheme/industry.py).';
comment on column reporting.daily_reason.outcome is 'excluded or reversed.';
comment on column reporting.daily_reason.reason is 'The reason.';
comment on column reporting.daily_reason.day is 'The close that reported it.';
comment on column reporting.daily_reason.orders is 'Number of orders.';

create table reporting.participation (
    insured_on date not null,
    province text not null,
    enterprise text,
    day date not null,
    workers bigint not null,
    unique nulls not distinct (insured_on, province, enterprise, day)
);
create index participation_of_province on reporting.participation (province, insured_on);
create index participation_of_enterprise on reporting.participation (enterprise, insured_on);
comment on table reporting.participation is
    'Distinct insured workers. They add up over closes, not over enterprises, provinces or insured days.';
comment on column reporting.participation.insured_on is 'The insured day.';
comment on column reporting.participation.province is 'Two digits of GB/T 2260.';
comment on column reporting.participation.enterprise is 'USCC of the enterprise; null: all of the province.';
comment on column reporting.participation.day is 'The close that reported it.';
comment on column reporting.participation.workers is 'Workers that no close before had counted.';

create table reporting.daily_hours (
    insured_on date not null,
    province text not null,
    enterprise text not null,
    day date not null,
    orders bigint[] not null check (cardinality(orders) = 24),
    primary key (insured_on, province, enterprise, day)
);
create index daily_hours_of_province on reporting.daily_hours (province, insured_on);
create index daily_hours_of_enterprise on reporting.daily_hours (enterprise, insured_on);
comment on table reporting.daily_hours is 'Acceptances by hour.';
comment on column reporting.daily_hours.insured_on is 'The insured day.';
comment on column reporting.daily_hours.province is 'Two digits of GB/T 2260.';
comment on column reporting.daily_hours.enterprise is 'USCC of the enterprise.';
comment on column reporting.daily_hours.day is 'The close that reported it.';
comment on column reporting.daily_hours.orders is 'Acceptances by hour in Asia/Shanghai, charged or not.';

create table reporting.first_time (
    day date not null,
    province text not null,
    workers bigint not null,
    primary key (day, province)
);
comment on table reporting.first_time is 'Workers insured for the first time, by day.';
comment on column reporting.first_time.day is 'The closed day.';
comment on column reporting.first_time.province is 'Two digits of GB/T 2260.';
comment on column reporting.first_time.workers is 'Workers that were insured there for the first time.';

create table reporting.monthly_sum (
    month date not null check (extract(day from month) = 1),
    province text not null,
    enterprise text not null,
    industry text not null,
    charged bigint not null,
    reversed bigint not null,
    presumed bigint not null,
    excluded bigint not null,
    premium bigint not null,
    primary key (month, province, enterprise, industry)
);
create index monthly_sum_of_province on reporting.monthly_sum (province, month);
create index monthly_sum_of_enterprise on reporting.monthly_sum (enterprise, month);
comment on table reporting.monthly_sum is 'Sums of whole months of insured days.';
comment on column reporting.monthly_sum.month is 'First day of the month.';
comment on column reporting.monthly_sum.province is 'Two digits of GB/T 2260.';
comment on column reporting.monthly_sum.enterprise is 'USCC of the enterprise.';
comment on column reporting.monthly_sum.industry is 'The industry (shared/domain/scheme/industry.py).';
comment on column reporting.monthly_sum.charged is 'Orders charged.';
comment on column reporting.monthly_sum.reversed is 'Orders reversed.';
comment on column reporting.monthly_sum.presumed is 'Presumed orders among those charged less reversed.';
comment on column reporting.monthly_sum.excluded is 'Orders excluded.';
comment on column reporting.monthly_sum.premium is 'Premium of charged less reversed, in 0.0001 yuan.';

create table reporting.whole_sum (
    province text not null,
    enterprise text not null,
    industry text not null,
    charged bigint not null,
    reversed bigint not null,
    presumed bigint not null,
    excluded bigint not null,
    premium bigint not null,
    primary key (province, enterprise, industry)
);
create index whole_sum_of_enterprise on reporting.whole_sum (enterprise);
comment on table reporting.whole_sum is 'Sums of everything.';
comment on column reporting.whole_sum.province is 'Two digits of GB/T 2260.';
comment on column reporting.whole_sum.enterprise is 'USCC of the enterprise.';
comment on column reporting.whole_sum.industry is 'The industry (shared/domain/scheme/industry.py).';
comment on column reporting.whole_sum.charged is 'Orders charged.';
comment on column reporting.whole_sum.reversed is 'Orders reversed.';
comment on column reporting.whole_sum.presumed is 'Presumed orders among those charged less reversed.';
comment on column reporting.whole_sum.excluded is 'Orders excluded.';
comment on column reporting.whole_sum.premium is 'Premium of charged less reversed, in 0.0001 yuan.';

create table reporting.monthly_first_time (
    month date not null check (extract(day from month) = 1),
    province text not null,
    workers bigint not null,
    primary key (month, province)
);
comment on table reporting.monthly_first_time is 'Workers insured for the first time, by month.';
comment on column reporting.monthly_first_time.month is 'First day of the month.';
comment on column reporting.monthly_first_time.province is 'Two digits of GB/T 2260.';
comment on column reporting.monthly_first_time.workers is 'Workers that were insured there for the first time.';

create table reporting.statement_sum (
    statement_id text primary key references reporting.statement_issued,
    period text not null,
    province text not null,
    enterprise text not null,
    issued_as_of timestamptz not null check (isfinite(issued_as_of)),
    due_on date not null check (isfinite(due_on)),
    due_on_is_provisional boolean not null,
    orders bigint not null,
    exact_amount bigint not null,
    amount bigint not null,
    adjustments int not null,
    adjusted bigint not null,
    assessed int not null
);
create index statement_sum_by_period on reporting.statement_sum (period desc, enterprise, province);
create index statement_sum_of_enterprise on reporting.statement_sum (enterprise, period desc, province);
create index statement_sum_of_province on reporting.statement_sum (province, period desc, enterprise);
comment on table reporting.statement_sum is 'Sums of statements.';
comment on column reporting.statement_sum.statement_id is 'The statement.';
comment on column reporting.statement_sum.period is 'The billing period, YYYY-MM.';
comment on column reporting.statement_sum.province is 'Two digits of GB/T 2260.';
comment on column reporting.statement_sum.enterprise is 'USCC of the enterprise.';
comment on column reporting.statement_sum.issued_as_of is 'The instant up to which the statement counts.';
comment on column reporting.statement_sum.due_on is 'Last day to pay without a late fee, as issued.';
comment on column reporting.statement_sum.due_on_is_provisional is 'Whether a notice of holidays could still move it then.';
comment on column reporting.statement_sum.orders is 'Number of orders.';
comment on column reporting.statement_sum.exact_amount is 'Premium before rounding, in 0.0001 yuan.';
comment on column reporting.statement_sum.amount is 'The same, each line rounded: what is owed.';
comment on column reporting.statement_sum.adjustments is 'Number of lines for earlier months.';
comment on column reporting.statement_sum.adjusted is 'Their part of the amount.';
comment on column reporting.statement_sum.assessed is 'Number of lines for presumed orders.';

create table reporting.arrival (
    minute timestamptz not null,
    enterprise text not null,
    outcome text not null,
    reason text not null,
    events bigint not null,
    primary key (minute, enterprise, outcome, reason)
);
create index arrival_of_enterprise on reporting.arrival (enterprise, minute);
comment on table reporting.arrival is 'Events that arrived lately, by minute; kept for a day.';
comment on column reporting.arrival.minute is 'The minute in which charging reported it.';
comment on column reporting.arrival.enterprise is 'USCC of the enterprise.';
comment on column reporting.arrival.outcome is 'What became of the events.';
comment on column reporting.arrival.reason is 'Why, or empty.';
comment on column reporting.arrival.events is 'Number of events.';

create table reporting.arrived_manifest (
    run text not null,
    number bigint not null,
    minute timestamptz not null check (isfinite(minute)),
    primary key (run, number)
);
create index arrived_manifest_at on reporting.arrived_manifest (minute);
comment on table reporting.arrived_manifest is 'Manifests counted in arrival; kept for a day.';
comment on column reporting.arrived_manifest.run is 'Run of the manifest.';
comment on column reporting.arrived_manifest.number is 'Number of the manifest in its run.';
comment on column reporting.arrived_manifest.minute is 'The minute in which it was received.';

-- access: who may read -----------------------------------------------------------------------------------------------

create function reporting.is_scope(role text, scope text) returns boolean language sql immutable as $$
    select coalesce(case role
        when 'province' then scope ~ '^[0-9]{2}$'
        when 'enterprise' then scope ~ '^[0-9A-Z]{18}$'
        when 'worker' then scope ~ '^[0-9a-f]{64}(:[0-9A-Z]{18})?$'
        else role in ('national', 'operator') and scope is null end, false)
$$;

create table reporting.account (
    name text primary key check (name ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'),
    role text not null check (role <> 'worker'),
    scope text,
    password_hash text not null check (password_hash like '$argon2id$%'),
    is_disabled boolean not null default false,
    must_change boolean not null default true,
    former_hashes text[] not null default '{}'
        constraint account_former_hashes check (cardinality(former_hashes) <= 4),
    made_at timestamptz not null default clock_timestamp(),
    check (reporting.is_scope(role, scope))
);
comment on table reporting.account is 'Accounts of persons.';
comment on column reporting.account.name is 'Name that the person signs in with.';
comment on column reporting.account.role is 'The kind of reader.';
comment on column reporting.account.scope is 'Province, enterprise or worker that the reader may see; null: all.';
comment on column reporting.account.password_hash is 'argon2id.';
comment on column reporting.account.is_disabled is 'Whether it can no longer sign in.';
comment on column reporting.account.must_change is
    'Whether the password must be changed first: somebody else chose it.';
comment on column reporting.account.former_hashes is 'Hashes of passwords before, the newest first.';
comment on column reporting.account.made_at is 'When it was made.';

create table reporting.api_key (
    key_id bigint primary key generated always as identity,
    key_sha256 text not null unique check (key_sha256 ~ '^[0-9a-f]{64}$'),
    name text not null check (name <> '' and length(name) <= 100),
    role text not null,
    scope text,
    made_by text not null,
    made_at timestamptz not null default clock_timestamp(),
    ends_at timestamptz not null check (isfinite(ends_at)),
    revoked_at timestamptz,
    last_used_at timestamptz,
    check (reporting.is_scope(role, scope))
);
create index api_key_of on reporting.api_key (role, scope);
comment on table reporting.api_key is 'API keys of programs, and links of workers (role worker).';
comment on column reporting.api_key.key_id is 'Number of the key.';
comment on column reporting.api_key.key_sha256 is 'SHA-256 of the key, in hex; the key itself is not kept.';
comment on column reporting.api_key.name is 'What it is for.';
comment on column reporting.api_key.role is 'The kind of reader.';
comment on column reporting.api_key.scope is 'Province, enterprise or worker that the reader may see; null: all.';
comment on column reporting.api_key.made_by is 'Who made it.';
comment on column reporting.api_key.made_at is 'When it was made.';
comment on column reporting.api_key.ends_at is 'When it ends.';
comment on column reporting.api_key.revoked_at is 'When it was revoked.';
comment on column reporting.api_key.last_used_at is 'When it was used last, to the minute.';

create table reporting.session (
    session_sha256 text primary key check (session_sha256 ~ '^[0-9a-f]{64}$'),
    account text references reporting.account,
    key_id bigint references reporting.api_key,
    made_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null default clock_timestamp(),
    ends_at timestamptz not null,
    check (num_nonnulls(account, key_id) = 1)
);
create index session_of on reporting.session (account);
comment on table reporting.session is 'Sessions of browsers.';
comment on column reporting.session.session_sha256 is 'SHA-256 of the token in the cookie, in hex.';
comment on column reporting.session.account is 'The account that signed in, or null.';
comment on column reporting.session.key_id is 'The link that was opened, or null.';
comment on column reporting.session.made_at is 'When it was made.';
comment on column reporting.session.last_seen_at is 'When it was used last, to the minute.';
comment on column reporting.session.ends_at is 'When it ends.';

create table reporting.view_secret (
    is_only boolean primary key default true check (is_only),
    secret bytea not null check (length(secret) = 32)
);
comment on table reporting.view_secret is
    'What proves the scope of a view (docs/decisions/0021); read by its functions only.';
comment on column reporting.view_secret.is_only is 'Always true: there is one row.';
comment on column reporting.view_secret.secret is '32 random bytes.';
insert into reporting.view_secret (secret)
    values (sha256(convert_to(gen_random_uuid()::text || gen_random_uuid(), 'UTF8')));

create table reporting.file_key (
    key_sha256 text primary key check (key_sha256 ~ '^[0-9a-f]{64}$'),
    name text not null check (name <> ''),
    role text not null check (role <> 'worker'),
    scope text,
    registered_at timestamptz not null default clock_timestamp(),
    check (reporting.is_scope(role, scope))
);
comment on table reporting.file_key is 'Keys of the access file that are one reader''s, as read at start.';
comment on column reporting.file_key.key_sha256 is 'SHA-256 of the key, in hex.';
comment on column reporting.file_key.name is 'Its name in the file.';
comment on column reporting.file_key.role is 'The kind of reader.';
comment on column reporting.file_key.scope is 'Province, enterprise or worker that the reader may see; null: all.';
comment on column reporting.file_key.registered_at is 'When the service read the file.';

create table reporting.access_note (
    id bigint primary key generated always as identity,
    noted_at timestamptz not null default clock_timestamp(),
    what text not null check (what in ('attempted', 'signed_in', 'signed_out', 'account_added', 'account_disabled',
                                       'password_changed', 'key_added', 'key_revoked', 'link_opened')),
    subject text not null,
    address text,
    actor text
);
create index access_note_of on reporting.access_note (subject, noted_at);
create index access_note_from on reporting.access_note (address, noted_at) where address is not null;
comment on table reporting.access_note is
    'The trail of signing in and of changes to accounts and keys; attempts are counted here, too.';
comment on column reporting.access_note.id is 'Number of the note.';
comment on column reporting.access_note.noted_at is 'When it was noted.';
comment on column reporting.access_note.what is 'What happened.';
comment on column reporting.access_note.subject is 'Name of the account; of a key, its number.';
comment on column reporting.access_note.address is 'Address of the client.';
comment on column reporting.access_note.actor is 'Who did it to another.';

create table reporting.look (
    id bigint primary key generated always as identity,
    looked_at timestamptz not null default clock_timestamp(),
    viewer text not null,
    role text not null,
    scope text,
    what text not null,
    subject text not null
);
comment on table reporting.look is 'The access log: one row per read of single-order data.';
comment on column reporting.look.id is 'Number of the entry.';
comment on column reporting.look.looked_at is 'When.';
comment on column reporting.look.viewer is 'Name of the account or key.';
comment on column reporting.look.role is 'The kind of reader.';
comment on column reporting.look.scope is 'Province, enterprise or worker that the reader may see; null: all.';
comment on column reporting.look.what is 'What was read.';
comment on column reporting.look.subject is 'The order, worker or finding.';

-- history and rights of the service ----------------------------------------------------------------------------------

do $$
declare name text;
begin
    foreach name in array array[
        'refused_message', 'refused_review', 'day_closed', 'statement_issued', 'remittance',
        'injury_notice', 'reported_total', 'report', 'share', 'province_built', 'day_built', 'receipt',
        'discrepancy', 'discrepancy_order', 'discrepancy_sighting', 'discrepancy_state', 'day_examined',
        'day_figure', 'injury_check', 'total_check', 'access_note', 'look']
    loop
        execute format('create trigger append_only before update or delete or truncate on reporting.%I'
                       ' for each statement execute function reporting.refuse_change()', name);
        execute format('grant select, insert on reporting.%I to danbao_reporting', name);
        execute format('grant select on reporting.%I to danbao_auditor', name);
    end loop;
    foreach name in array array['account', 'api_key'] loop
        execute format('create trigger kept before delete or truncate on reporting.%I'
                       ' for each statement execute function reporting.refuse_change()', name);
    end loop;
    foreach name in array array[
        'day_projected', 'daily_sum', 'daily_reason', 'participation', 'daily_hours', 'first_time',
        'monthly_sum', 'whole_sum', 'monthly_first_time', 'statement_sum', 'arrival', 'arrived_manifest',
        'discrepancy_standing']
    loop
        execute format('grant select, insert, update, delete on reporting.%I to danbao_reporting', name);
        execute format('grant select on reporting.%I to danbao_auditor', name);
    end loop;
end $$;
create trigger kept before delete or truncate on reporting.delivery
    for each statement execute function reporting.refuse_change();
grant usage on schema reporting to danbao_reporting, danbao_auditor;
grant select, insert, update on reporting.delivery, reporting.set_aside to danbao_reporting;
grant select on reporting.delivery, reporting.set_aside, reporting.topic_position, reporting.discrepancy_now
    to danbao_auditor;
grant select on reporting.discrepancy_now to danbao_reporting;
grant select, insert, update (next_offset, topic_id) on reporting.topic_position to danbao_reporting;
grant select, insert, update (key, destroyed_at), maintain on reporting.kept_key to danbao_reporting;
grant select (day, made_at, destroyed_at) on reporting.kept_key to danbao_auditor;
revoke execute on function reporting.refuse_key_change from public;
revoke insert on reporting.look from danbao_reporting;
grant select on reporting.account, reporting.api_key to danbao_reporting;
grant update (password_hash, must_change, former_hashes) on reporting.account to danbao_reporting;
grant update (last_used_at) on reporting.api_key to danbao_reporting;
grant select, insert, delete on reporting.session to danbao_reporting;
grant select, insert, update, delete on reporting.file_key to danbao_reporting;
-- The auditor sees who may read, and nothing that a password or a session could be guessed from.
grant select (name, role, scope, is_disabled, must_change, made_at) on reporting.account to danbao_auditor;
grant select (key_id, name, role, scope, made_by, made_at, ends_at, revoked_at, last_used_at)
    on reporting.api_key to danbao_auditor;
grant select (name, role, scope, registered_at) on reporting.file_key to danbao_auditor;

-- roles of readers ---------------------------------------------------------------------------------------------------

-- One role for each kind of reader. The service takes it for one transaction (`set local role`), and does not hold
-- its rights otherwise. Roles belong to the whole server, so another database's migration may have made them.
do $$
declare
    kind text;
    role text;
begin
    foreach kind in array array['national', 'province', 'enterprise', 'worker', 'operator'] loop
        role := 'danbao_view_' || kind;
        begin
            execute format('create role %I nologin', role);
        exception when duplicate_object or unique_violation then
            null;
        end;
        execute format('grant usage on schema reporting to %I', role);
        if not exists (select from pg_auth_members
                       where roleid = role::regrole and member = 'danbao_reporting'::regrole and set_option) then
            execute format('grant %I to danbao_reporting with inherit false, set true', role);
        end if;
    end loop;
end $$;

do $$
declare
    role text;
begin
    foreach role in array array['danbao_portal', 'danbao_reporting_access'] loop
        begin
            execute format('create role %I nologin', role);
        exception when duplicate_object or unique_violation then
            null;
        end;
        execute format('grant usage on schema reporting to %I', role);
    end loop;
    foreach role in array array['national', 'province', 'enterprise', 'worker', 'operator'] loop
        role := 'danbao_view_' || role;
        if not exists (select from pg_auth_members
                       where roleid = role::regrole and member = 'danbao_portal'::regrole and set_option) then
            execute format('grant %I to danbao_portal with inherit false, set true', role);
        end if;
    end loop;
end $$;

-- views: who sees which rows (docs/decisions/0021) -------------------------------------------------------------------

-- Sessions that are not over, by the hash of their token: idle for 30 minutes is over.
create function reporting.session_holder(digest text)
returns table (name text, role text, scope text, must_change boolean) language sql stable as $$
    select coalesce(a.name, 'link ' || k.key_id), coalesce(a.role, k.role), coalesce(a.scope, k.scope),
        coalesce(a.must_change, false)
    from reporting.session s
    left join reporting.account a on a.name = s.account
    left join reporting.api_key k on k.key_id = s.key_id
    where s.session_sha256 = digest and s.ends_at > clock_timestamp()
        and s.last_seen_at > clock_timestamp() - interval '30 minutes'
        and not coalesce(a.is_disabled, false)
        and (k.key_id is null or (k.revoked_at is null and k.ends_at > clock_timestamp()))
$$;

-- API keys that have not ended; a worker's link is none, it opens a session.
create function reporting.key_holder(digest text) returns table (name text, role text, scope text)
language sql stable as $$
    select format('key %s %s', k.key_id, k.name), k.role, k.scope from reporting.api_key k
    where k.key_sha256 = digest and k.revoked_at is null and k.ends_at > clock_timestamp() and k.role <> 'worker'
$$;

-- Whose the session, API key or key of the file is. An account whose password an operator knows sees nothing yet.
create function reporting.holder(digest text) returns table (name text, role text, scope text)
language sql stable as $$
    select s.name, s.role, s.scope from reporting.session_holder(digest) s where not s.must_change
    union all select k.name, k.role, k.scope from reporting.key_holder(digest) k
    union all select f.name, f.role, f.scope from reporting.file_key f where f.key_sha256 = digest
$$;

-- The holder, where it is of one of these roles. DNB01: there is none, because it has ended meanwhile or never was.
create function reporting.acting(digest text, allowed text[], out name text, out role text, out scope text)
language plpgsql stable as $$
begin
    select h.name, h.role, h.scope into acting.name, acting.role, acting.scope
        from reporting.holder(digest) h where h.role = any (allowed);
    if not found then
        raise exception 'no session or key that may do this' using errcode = 'DNB01';
    end if;
end $$;

-- Hashed twice, so that nobody can add to what was hashed.
create function reporting.proof_of(role text, scope text) returns text
language plpgsql stable parallel restricted as $$
begin
    return (select encode(sha256(s.secret || sha256(convert_to(concat_ws('|', role, scope, pg_backend_pid(),
        extract(epoch from transaction_timestamp())), 'UTF8'))), 'hex') from reporting.view_secret s);
end $$;

-- What opens the rows of the credential's holder in this transaction, as the setting danbao.view; null where it has
-- ended. A view in another transaction needs another ticket.
create function reporting.view_ticket(credential text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select concat_ws('|', h.role, coalesce(h.scope, ''), reporting.proof_of(h.role, coalesce(h.scope, '')))
    from reporting.holder(credential) h
$$;

-- The scope of this transaction's viewer, where there is a ticket of this role; else null, which equals no row. It is
-- called once for each statement and table, so it may not weigh in a plan (cost 1).
create function reporting.viewer_scope(wanted text) returns text
language plpgsql stable parallel restricted cost 1 security definer set search_path = pg_catalog, pg_temp as $$
declare
    parts constant text[] := string_to_array(current_setting('danbao.view', true), '|');
begin
    if cardinality(parts) = 3 and parts[1] = wanted and parts[3] = reporting.proof_of(wanted, parts[2]) then
        return parts[2];
    end if;
    return null;
end $$;

create function reporting.sees_the_country() returns boolean language sql stable parallel restricted cost 1 as $$
    select coalesce(reporting.viewer_scope('national'), reporting.viewer_scope('operator')) is not null
$$;

-- Which rows of a table the readers see: those whose province, or enterprise, is the viewer's scope. Both are SQL
-- expressions on the table's columns, mostly a column's name; null: none of the rows are of that kind of reader.
create function reporting.guard(table_name text, province text, enterprise text) returns void
language plpgsql as $$
begin
    execute format('alter table reporting.%I enable row level security, force row level security', table_name);
    execute format('create policy service on reporting.%I to danbao_reporting using (true) with check (true)',
                   table_name);
    execute format('create policy everything on reporting.%I for select to danbao_auditor using (true)', table_name);
    execute format('create policy whole_country on reporting.%I for select to danbao_view_national,'
                   ' danbao_view_operator using ((select reporting.sees_the_country()))', table_name);
    if province is not null then
        execute format('create policy own_province on reporting.%I for select to danbao_view_province'
                       ' using (%s = (select reporting.viewer_scope(''province'')))', table_name, province);
    end if;
    if enterprise is not null then
        execute format('create policy own_enterprise on reporting.%I for select to danbao_view_enterprise'
                       ' using (%s = (select reporting.viewer_scope(''enterprise'')))', table_name, enterprise);
    end if;
    execute format('grant select on reporting.%I to danbao_view_national, danbao_view_province,'
                   ' danbao_view_enterprise, danbao_view_worker, danbao_view_operator', table_name);
end $$;

-- An enterprise sees its share of a report, and not the report, whose body holds the rows of others.
select reporting.guard('report', 'province', 'enterprise');
select reporting.guard('share',
    '(select r.province from reporting.report r where r.report_id = share.report_id)',
    'enterprise');
select reporting.guard('delivery',
    '(select r.province from reporting.report r where r.report_id = delivery.report_id)',
    '(select r.enterprise from reporting.report r where r.report_id = delivery.report_id)');
select reporting.guard('receipt',
    '(select r.province from reporting.report r where r.report_id = receipt.report_id)',
    '(select r.enterprise from reporting.report r where r.report_id = receipt.report_id)');
select reporting.guard('statement_issued', 'province', 'enterprise');
select reporting.guard('discrepancy', 'province', 'enterprise');
select reporting.guard('discrepancy_standing', 'province', 'enterprise');
select reporting.guard('day_figure', 'province', 'enterprise');
select reporting.guard('injury_notice', null, null);
select reporting.guard('injury_check', null, null);
select reporting.guard('reported_total', null, null);
select reporting.guard('total_check', null, null);
select reporting.guard('look', null, null);
select reporting.guard('discrepancy_order',
    '(select d.province from reporting.discrepancy d where d.id = discrepancy_order.discrepancy_id)',
    '(select d.enterprise from reporting.discrepancy d where d.id = discrepancy_order.discrepancy_id)');
select reporting.guard('discrepancy_sighting',
    '(select d.province from reporting.discrepancy d where d.id = discrepancy_sighting.discrepancy_id)',
    '(select d.enterprise from reporting.discrepancy d where d.id = discrepancy_sighting.discrepancy_id)');
select reporting.guard('discrepancy_state',
    '(select d.province from reporting.discrepancy d where d.id = discrepancy_state.discrepancy_id)',
    '(select d.enterprise from reporting.discrepancy d where d.id = discrepancy_state.discrepancy_id)');
select reporting.guard('remittance', 'province', 'enterprise');
select reporting.guard('daily_sum', 'province', 'enterprise');
select reporting.guard('daily_reason', 'province', 'enterprise');
select reporting.guard('participation', 'province', 'enterprise');
select reporting.guard('daily_hours', 'province', 'enterprise');
select reporting.guard('first_time', 'province', null);
select reporting.guard('monthly_sum', 'province', 'enterprise');
select reporting.guard('whole_sum', 'province', 'enterprise');
select reporting.guard('monthly_first_time', 'province', null);
select reporting.guard('statement_sum', 'province', 'enterprise');
select reporting.guard('arrival', null, 'enterprise');
-- Which days are in the model is no secret among those who have a ticket.
alter table reporting.day_projected enable row level security, force row level security;
create policy service on reporting.day_projected to danbao_reporting using (true) with check (true);
create policy everything on reporting.day_projected for select to danbao_auditor using (true);
create policy whole_country on reporting.day_projected for select to danbao_view_national, danbao_view_operator
    using ((select reporting.sees_the_country()));
create policy any_province on reporting.day_projected for select to danbao_view_province
    using ((select reporting.viewer_scope('province')) is not null);
create policy any_enterprise on reporting.day_projected for select to danbao_view_enterprise
    using ((select reporting.viewer_scope('enterprise')) is not null);
grant select on reporting.day_projected to danbao_view_national, danbao_view_province, danbao_view_enterprise,
    danbao_view_operator;
grant select on reporting.discrepancy_now to danbao_view_national, danbao_view_province, danbao_view_enterprise,
    danbao_view_worker, danbao_view_operator;

-- access: functions of the portal's login (docs/decisions/0021) ------------------------------------------------------

-- The holder of a session; a request by a person extends it, written once a minute at most.
create function reporting.find_session(digest text, is_asked boolean)
returns table (name text, role text, scope text, must_change boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query select h.name, h.role, h.scope, h.must_change from reporting.session_holder(digest) h;
    if found and is_asked then
        update reporting.session s set last_seen_at = clock_timestamp()
            where s.session_sha256 = digest and s.last_seen_at < clock_timestamp() - interval '1 minute';
    end if;
end $$;

-- End a session, and delete those that are over.
create function reporting.end_session(digest text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from reporting.session where session_sha256 = digest or ends_at <= clock_timestamp()
        or last_seen_at <= clock_timestamp() - interval '30 minutes'
$$;

-- Who shows an API key; its last use is written once a minute at most.
create function reporting.find_key(digest text) returns table (name text, role text, scope text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query select h.name, h.role, h.scope from reporting.key_holder(digest) h;
    if found then
        update reporting.api_key k set last_used_at = clock_timestamp() where k.key_sha256 = digest
            and coalesce(k.last_used_at < clock_timestamp() - interval '1 minute', true);
    end if;
end $$;

-- Log that the credential's holder reads single-order data.
create function reporting.note_look(credential text, what text, subject text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into reporting.look (viewer, role, scope, what, subject)
    select a.name, a.role, a.scope, what, subject
    from reporting.acting(credential, array['national', 'province', 'enterprise', 'worker', 'operator']) a
$$;

-- Add a state to a finding that the credential's holder sees; false where it is in that state already, null where
-- there is none.
create function reporting.change_finding(credential text, finding bigint, new_state text, comment text)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor record;
begin
    select * into actor from reporting.acting(credential, array['national', 'operator', 'province']);
    perform from reporting.discrepancy d
        where d.id = finding and (actor.role <> 'province' or d.province = actor.scope);
    if not found then
        return null;
    end if;
    if new_state = (select s.state from reporting.discrepancy_state s where s.discrepancy_id = finding
                    order by s.id desc limit 1) then
        return false;
    end if;
    insert into reporting.discrepancy_state (discrepancy_id, state, actor, note)
        values (finding, new_state, actor.name, comment);
    return true;
end $$;

create function reporting.list_accounts(credential text)
returns table (name text, role text, scope text, is_disabled boolean, must_change boolean, made_at timestamptz,
    last_sign_in_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select a.name, a.role, a.scope, a.is_disabled, a.must_change, a.made_at,
        (select max(n.noted_at) from reporting.access_note n where n.subject = a.name and n.what = 'signed_in')
    from reporting.account a, reporting.acting(credential, array['operator']) order by a.name
$$;

-- False where there is an account of this name.
create function reporting.add_account(credential text, new_name text, new_role text, new_scope text, new_hash text)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor record;
begin
    select * into actor from reporting.acting(credential, array['operator']);
    insert into reporting.account (name, role, scope, password_hash) values (new_name, new_role, new_scope, new_hash)
        on conflict do nothing;
    if found then
        insert into reporting.access_note (what, subject, actor) values ('account_added', new_name, actor.name);
        return true;
    end if;
    return false;
end $$;

-- Disable an account where there is no new hash, else give it a password that it must change; its sessions end. False
-- where there is no such account.
create function reporting.change_account(credential text, account_name text, new_hash text)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor record;
begin
    select * into actor from reporting.acting(credential, array['operator']);
    if new_hash is null then
        update reporting.account a set is_disabled = true where a.name = account_name;
    else
        update reporting.account a set password_hash = new_hash, must_change = true,
            former_hashes = (array[a.password_hash] || a.former_hashes)[1:4] where a.name = account_name;
    end if;
    if not found then
        return false;
    end if;
    delete from reporting.session s where s.account = account_name;
    insert into reporting.access_note (what, subject, actor) values
        (case when new_hash is null then 'account_disabled' else 'password_changed' end, account_name, actor.name);
    return true;
end $$;

-- The keys of the holder's own scope, all for an operator; links are not among them.
create function reporting.list_keys(credential text)
returns table (key_id bigint, name text, role text, scope text, made_by text, made_at timestamptz, ends_at timestamptz,
    revoked_at timestamptz, last_used_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.key_id, k.name, k.role, k.scope, k.made_by, k.made_at, k.ends_at, k.revoked_at, k.last_used_at
    from reporting.api_key k, reporting.acting(credential, array['operator', 'enterprise']) a
    where k.role <> 'worker' and (a.role = 'operator' or (k.role = a.role and k.scope = a.scope)) order by k.key_id
$$;

-- No row where the holder may not make such a key: an enterprise makes keys for its own scope, and links to its
-- orders.
create function reporting.add_key(credential text, digest text, new_name text, new_role text, new_scope text, days int)
returns table (new_id bigint, new_end timestamptz)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor record;
begin
    select * into actor from reporting.acting(credential, array['operator', 'enterprise']);
    if days not between 1 and (case when new_role = 'worker' then 31 else 366 end)
            or not coalesce(actor.role = 'operator' or (new_role = 'enterprise' and new_scope = actor.scope)
                            or (new_role = 'worker' and split_part(new_scope, ':', 2) = actor.scope), false) then
        return;
    end if;
    insert into reporting.api_key as k (key_sha256, name, role, scope, made_by, ends_at)
        values (digest, new_name, new_role, new_scope, actor.name, clock_timestamp() + make_interval(days => days))
        returning k.key_id, k.ends_at into new_id, new_end;
    insert into reporting.access_note (what, subject, actor) values ('key_added', new_id::text, actor.name);
    return next;
end $$;

-- False where there is no such key of the holder's.
create function reporting.revoke_key(credential text, number bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor record;
begin
    select * into actor from reporting.acting(credential, array['operator', 'enterprise']);
    update reporting.api_key k set revoked_at = coalesce(k.revoked_at, clock_timestamp()) where k.key_id = number
        and (actor.role = 'operator' or (k.role = actor.role and k.scope = actor.scope));
    if not found then
        return false;
    end if;
    insert into reporting.access_note (what, subject, actor) values ('key_revoked', number::text, actor.name);
    return true;
end $$;

-- access: rights -----------------------------------------------------------------------------------------------------

revoke execute on function reporting.guard, reporting.sees_the_country, reporting.view_ticket, reporting.viewer_scope,
    reporting.session_holder, reporting.key_holder, reporting.holder, reporting.acting, reporting.proof_of from public;
grant execute on function reporting.session_holder, reporting.key_holder, reporting.holder, reporting.acting,
    reporting.proof_of to danbao_reporting_access;
grant execute on function reporting.view_ticket to danbao_portal;
grant execute on function reporting.viewer_scope, reporting.sees_the_country to danbao_view_national,
    danbao_view_province, danbao_view_enterprise, danbao_view_worker, danbao_view_operator;
grant select on reporting.view_secret, reporting.file_key, reporting.api_key, reporting.session, reporting.account
    to danbao_reporting_access;
do $$
declare
    called text;
begin
    for called in select p.oid::regprocedure from pg_proc p where p.pronamespace = 'reporting'::regnamespace
            and p.prosecdef and p.proname not in ('view_ticket', 'viewer_scope') loop
        execute format('revoke execute on function %s from public', called);
        execute format('grant execute on function %s to danbao_portal', called);
    end loop;
end $$;
-- Signing in and out is the service's own login's.
grant execute on function reporting.find_session, reporting.end_session to danbao_reporting;

-- Of each table the columns that the functions touch.
grant insert, update (password_hash, former_hashes, must_change, is_disabled) on reporting.account
    to danbao_reporting_access;
grant insert, update (revoked_at, last_used_at) on reporting.api_key to danbao_reporting_access;
grant delete, update (last_seen_at) on reporting.session to danbao_reporting_access;
grant select (subject, what, noted_at), insert on reporting.access_note to danbao_reporting_access;
grant insert on reporting.look to danbao_reporting_access;
create policy added on reporting.look for insert to danbao_reporting_access with check (true);
grant select (id, province, enterprise) on reporting.discrepancy to danbao_reporting_access;
create policy acting on reporting.discrepancy for select to danbao_reporting_access using (true);
grant select, insert on reporting.discrepancy_state to danbao_reporting_access;
create policy acting on reporting.discrepancy_state to danbao_reporting_access using (true) with check (true);
grant select, insert, update on reporting.discrepancy_standing to danbao_reporting_access;
create policy acting on reporting.discrepancy_standing to danbao_reporting_access using (true) with check (true);
