-- The simulated national platform: what it received and answered (reports), what it cosigned (witnessing).
-- Amounts are 0.0001 yuan. Every table is append-only: a trigger refuses changes, for the owner, too.

create function national_platform.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append only', tg_table_name using errcode = 'restrict_violation';
end $$;

-- reports ------------------------------------------------------------------------------------------------------------

create table national_platform.delivery (
    id              bigint generated always as identity primary key,
    received_at     timestamptz not null default clock_timestamp(),
    reporter        text not null,
    idempotency_key text,
    signature       text,
    body            bytea not null,
    body_sha256     text not null check (body_sha256 ~ '^[0-9a-f]{64}$'),
    report_id       text,
    outcome         text not null check (outcome in ('taken', 'repeat', 'refused')),
    reason          text check (reason in ('bad_signature', 'bad_schema', 'bad_sums', 'different_content',
                                           'wrong_province', 'refused_by_setting')),
    detail          text,
    check ((outcome = 'refused') = (reason is not null)),
    check (outcome = 'refused' or report_id is not null)
);
create index delivery_alarm on national_platform.delivery (id) where reason = 'different_content';
comment on table national_platform.delivery is 'Every request with a report, byte for byte, accepted or refused.';
comment on column national_platform.delivery.id is 'Number of the delivery.';
comment on column national_platform.delivery.received_at is 'When the request was received.';
comment on column national_platform.delivery.reporter is 'Name of the key that sent it.';
comment on column national_platform.delivery.idempotency_key is 'The header Idempotency-Key, as sent.';
comment on column national_platform.delivery.signature is 'The header with the reporter''s signature, as sent.';
comment on column national_platform.delivery.body is 'The body, as sent.';
comment on column national_platform.delivery.body_sha256 is 'SHA-256 of the body, in hex.';
comment on column national_platform.delivery.report_id is 'The report''s id; null where the body could not be read.';
comment on column national_platform.delivery.outcome is 'taken: a new report; repeat: the same bytes again; refused.';
comment on column national_platform.delivery.reason is 'Why it was refused.';
comment on column national_platform.delivery.detail is 'The first fault, in words.';

create table national_platform.report (
    report_id   text primary key,
    delivery_id bigint not null unique references national_platform.delivery,
    kind        text not null check (kind in ('coverage', 'registration', 'declaration', 'payment')),
    province    text not null check (province ~ '^[0-9]{2}$'),
    enterprise  text check (enterprise ~ '^[0-9A-Z]{18}$'),
    day         date check (isfinite(day)),
    period      text not null check (period ~ '^[0-9]{4}-[0-9]{2}$'),
    check ((kind in ('coverage', 'registration')) = (day is not null)),
    check ((kind = 'declaration') = (enterprise is not null))
);
create index report_by_share on national_platform.report (period, province, report_id);
comment on table national_platform.report is 'A report that was accepted.';
comment on column national_platform.report.report_id is 'Id of the report, given by its reporter.';
comment on column national_platform.report.delivery_id is 'The delivery that brought it first.';
comment on column national_platform.report.kind is 'What it reports (shared/contracts/reports.py).';
comment on column national_platform.report.province is 'Two digits of GB/T 2260.';
comment on column national_platform.report.enterprise is 'USCC of the enterprise of a declaration; else null.';
comment on column national_platform.report.day is 'The day of a daily report; else null.';
comment on column national_platform.report.period is 'The billing period, YYYY-MM.';

create table national_platform.receipt (
    report_id   text primary key references national_platform.report,
    receipt_id  text not null unique,
    body_sha256 text not null,
    received_at timestamptz not null check (isfinite(received_at)),
    unconfirmed text not null
);
comment on table national_platform.receipt is 'The receipt that was answered for a report; a repeat gets the same one.';
comment on column national_platform.receipt.report_id is 'The report.';
comment on column national_platform.receipt.receipt_id is 'Id of the receipt.';
comment on column national_platform.receipt.body_sha256 is 'SHA-256 of the report''s body, in hex.';
comment on column national_platform.receipt.received_at is 'When the report was received.';
comment on column national_platform.receipt.unconfirmed is
    'JSON, as answered: workers whose exclusion as employees the roster does not confirm.';

create table national_platform.coverage_line (
    report_id  text not null references national_platform.report,
    number     int not null,
    period     text not null,
    province   text not null,
    enterprise text not null,
    insured_on date not null check (isfinite(insured_on)),
    orders     bigint not null,
    premium    bigint not null,
    primary key (report_id, number)
);
create index coverage_line_by_share on national_platform.coverage_line (period, province, enterprise);
comment on table national_platform.coverage_line is 'The lines of coverage reports, for reconciliation.';
comment on column national_platform.coverage_line.report_id is 'The report.';
comment on column national_platform.coverage_line.number is 'Number of the line in its report, from 0.';
comment on column national_platform.coverage_line.period is 'Month of the report''s day (the posting month), YYYY-MM.';
comment on column national_platform.coverage_line.province is 'Two digits of GB/T 2260.';
comment on column national_platform.coverage_line.enterprise is 'USCC of the enterprise.';
comment on column national_platform.coverage_line.insured_on is 'The insured day of the orders.';
comment on column national_platform.coverage_line.orders is 'Charged orders, less reversed ones.';
comment on column national_platform.coverage_line.premium is 'Their premium, in 0.0001 yuan.';

create table national_platform.declaration (
    report_id  text primary key references national_platform.report,
    period     text not null,
    province   text not null,
    enterprise text not null,
    orders     bigint not null,
    exact      bigint not null,
    amount     bigint not null
);
create index declaration_by_share on national_platform.declaration (period, province, enterprise);
comment on table national_platform.declaration is 'The figures of monthly declarations, for reconciliation.';
comment on column national_platform.declaration.report_id is 'The report.';
comment on column national_platform.declaration.period is 'The billing period, YYYY-MM.';
comment on column national_platform.declaration.province is 'Two digits of GB/T 2260.';
comment on column national_platform.declaration.enterprise is 'USCC of the enterprise.';
comment on column national_platform.declaration.orders is 'Charged orders, less reversed ones.';
comment on column national_platform.declaration.exact is 'Premium before rounding, in 0.0001 yuan.';
comment on column national_platform.declaration.amount is 'Premium rounded to the fen, in 0.0001 yuan.';

-- witnessing ---------------------------------------------------------------------------------------------------------

create table national_platform.witnessed (
    origin      text not null,
    size        bigint not null check (size >= 0),
    root        bytea not null check (length(root) = 32),
    note        bytea not null,
    cosigned_at timestamptz not null check (isfinite(cosigned_at)),
    signed_from bigint check (signed_from >= 0),
    primary key (origin, size)
);
comment on table national_platform.witnessed is 'Every checkpoint cosigned; the largest of an origin is the last.';
comment on column national_platform.witnessed.origin is 'The log''s name.';
comment on column national_platform.witnessed.size is 'Number of entries that the checkpoint covers.';
comment on column national_platform.witnessed.root is 'Root of the tree over them.';
comment on column national_platform.witnessed.note is 'The checkpoint with the log''s verified signatures and our own.';
comment on column national_platform.witnessed.cosigned_at is 'When it was cosigned.';
comment on column national_platform.witnessed.signed_from is
    'Index of the first entry that its author signed; null while there is none. No unsigned entry may follow on it.';

create table national_platform.witness_alarm (
    alarm_id   bigint generated always as identity primary key,
    origin     text not null,
    reason     text not null check (reason in ('forked', 'smaller', 'not_consistent', 'author_not_proved')),
    size       bigint not null,
    root       bytea not null,
    known_size bigint not null,
    note       bytea not null,
    raised_at  timestamptz not null default clock_timestamp(),
    unique (origin, reason, size, root)
);
comment on table national_platform.witness_alarm is 'Checkpoints of a log that contradict the ones that were cosigned.';
comment on column national_platform.witness_alarm.alarm_id is 'Number of the alarm.';
comment on column national_platform.witness_alarm.origin is 'The log''s name.';
comment on column national_platform.witness_alarm.reason is 'How it contradicts them.';
comment on column national_platform.witness_alarm.size is 'Number of entries that the checkpoint claims.';
comment on column national_platform.witness_alarm.root is 'The root that it claims.';
comment on column national_platform.witness_alarm.known_size is 'Entries of the newest checkpoint that was cosigned.';
comment on column national_platform.witness_alarm.note is 'The checkpoint, signed by the log: the proof of what it said.';
comment on column national_platform.witness_alarm.raised_at is 'When the alarm was raised.';

create function national_platform.check_witnessed_follows() returns trigger language plpgsql as $$
begin
    if exists (select from national_platform.witnessed where origin = new.origin and size >= new.size) then
        raise exception 'a checkpoint of % does not follow', new.size using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger witnessed_follows before insert on national_platform.witnessed
    for each row execute function national_platform.check_witnessed_follows();

-- rights -------------------------------------------------------------------------------------------------------------

do $$
declare
    name text;
begin
    foreach name in array array['delivery', 'report', 'receipt', 'coverage_line', 'declaration', 'witnessed',
                                'witness_alarm'] loop
        execute format('create trigger append_only before update or delete or truncate on national_platform.%I'
                       ' for each statement execute function national_platform.refuse_change()', name);
        execute format('grant select, insert on national_platform.%I to national_platform', name);
        execute format('grant select on national_platform.%I to danbao_auditor', name);
    end loop;
end $$;
grant usage on schema national_platform to national_platform, danbao_auditor;
