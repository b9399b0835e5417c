-- The schema of the ledger. Money is bigint in units of 0.0001 yuan; a debit is positive, a credit negative.
-- Days are Asia/Shanghai. No row of the books is ever updated or deleted: the role has no such privilege, and a
-- trigger refuses it to everybody else. `manifest_inbox` and `outbox` are queues, `turn` is a lock, `topic_position`
-- and `set_aside` are states; all other tables are only added to.

-- books -------------------------------------------------------------------------------------------------------------

create table ledger.turn (
    one boolean primary key default true check (one)
);
comment on table ledger.turn is 'The ledger lock: one row; who books, closes, bills or settles locks it.';
comment on column ledger.turn.one is 'Always true: there is one row.';
insert into ledger.turn default values;

create table ledger.books (
    one         boolean primary key default true check (one),
    opened_on   date not null check (isfinite(opened_on)),
    recorded_at timestamptz not null default now()
);
comment on table ledger.books is 'When the books begin; the first day that is closed.';
comment on column ledger.books.one is 'Always true: there is one row.';
comment on column ledger.books.opened_on is 'The first day of the books.';
comment on column ledger.books.recorded_at is 'When the row was written.';

create table ledger.account (
    account_id bigint generated always as identity primary key,
    kind       text not null check (kind in ('cash', 'rounding', 'receivable', 'premium_income', 'advances',
                                             'late_fee_receivable', 'late_fee_income')),
    enterprise text,
    province   text,
    check ((kind in ('cash', 'rounding')) = (enterprise is null)),
    check ((enterprise is null) = (province is null)),
    unique nulls not distinct (kind, enterprise, province)
);
comment on table ledger.account is 'Chart of accounts; opened when first posted to.';
comment on column ledger.account.account_id is 'Number of the account.';
comment on column ledger.account.kind is 'Kind of account (shared/domain/books/journal.py).';
comment on column ledger.account.enterprise is 'USCC of the enterprise; null for accounts of the whole.';
comment on column ledger.account.province is 'Two digits of GB/T 2260; null for accounts of the whole.';

create table ledger.manifest_inbox (
    run         text not null,
    number      bigint not null check (number >= 1),
    payload     bytea not null,
    received_at timestamptz not null default now(),
    primary key (run, number)
);
comment on table ledger.manifest_inbox is
    'Manifests that wait for an earlier number of their run, or (settlements) for a close to end.';
comment on column ledger.manifest_inbox.run is 'Run of the worker that wrote the manifest, 32 hex digits.';
comment on column ledger.manifest_inbox.number is 'Number of the manifest in its run, from 1.';
comment on column ledger.manifest_inbox.payload is 'The manifest, as received.';
comment on column ledger.manifest_inbox.received_at is 'When it was received.';

create table ledger.manifest_booked (
    run            text not null,
    number         bigint not null check (number >= 1),
    kind           text not null check (kind in ('orders', 'settlement', 'correction', 'assessment')),
    leaves         bigint not null check (leaves >= 0),
    root           text not null check (root ~ '^[0-9a-f]{64}$'),
    content_sha256 bytea not null check (length(content_sha256) = 32),
    closing_day    date,
    booked_at      timestamptz not null default now(),
    primary key (run, number)
);
create index manifest_booked_closing on ledger.manifest_booked (closing_day) where closing_day is not null;
comment on table ledger.manifest_booked is 'Every booked manifest, once; the numbers of a run have no gap.';
comment on column ledger.manifest_booked.run is 'Run of the worker that wrote the manifest, 32 hex digits.';
comment on column ledger.manifest_booked.number is 'Number of the manifest in its run, from 1.';
comment on column ledger.manifest_booked.kind is
    'What its rows are: orders, or derived by a close, a re-rating, an assessment.';
comment on column ledger.manifest_booked.leaves is 'Number of leaves of its tree.';
comment on column ledger.manifest_booked.root is 'Root of the tree over its rows, in hex.';
comment on column ledger.manifest_booked.content_sha256 is
    'Of the message as this project encodes it: the same again is harmless, another one is an alarm.';
comment on column ledger.manifest_booked.closing_day is
    'Set for a settlement written for the close of that day: it is posted there and belongs to its cut.';
comment on column ledger.manifest_booked.booked_at is 'When it was booked.';

create table ledger.enterprise_deployment (
    enterprise text primary key check (enterprise <> ''),
    deployment text not null check (deployment ~ '^[a-z][a-z0-9-]{0,30}$')
);
comment on table ledger.enterprise_deployment is
    'The deployment that first reported an enterprise, for good; manifests of others are not booked.';
comment on column ledger.enterprise_deployment.enterprise is 'USCC of the enterprise.';
comment on column ledger.enterprise_deployment.deployment is 'Name of the deployment of charging.';

-- decisions ---------------------------------------------------------------------------------------------------------

create table ledger.decision (
    decision_id bigint generated always as identity primary key,
    decided_at  timestamptz not null default clock_timestamp(),
    person      text not null check (person <> ''),
    request     text not null check (request <> ''),
    content     jsonb not null
);
comment on table ledger.decision is 'What a person ordered the ledger to do, stored before it is done.';
comment on column ledger.decision.decision_id is 'Number of the decision.';
comment on column ledger.decision.decided_at is 'When it was stored.';
comment on column ledger.decision.person is 'Account of the person whose signed assertion came with the request.';
comment on column ledger.decision.request is 'Method and path of the request.';
comment on column ledger.decision.content is 'Body of the request; empty where it had none.';

-- editions of data files --------------------------------------------------------------------------------------------

create table ledger.edition (
    edition  text primary key check (edition ~ '^[0-9a-f]{64}$'),
    subject  text not null check (subject in ('calendar')),
    taken_at timestamptz not null default now()
);
comment on table ledger.edition is 'Editions of data files that the books rest on, each stored whole.';
comment on column ledger.edition.edition is
    'Name: SHA-256 of the list of its files'' hashes, as `sha256sum FILES | sha256sum` prints it.';
comment on column ledger.edition.subject is 'What the files hold: calendar, the working days.';
comment on column ledger.edition.taken_at is 'When it was first used.';

create table ledger.edition_file (
    edition text not null references ledger.edition,
    name    text not null check (name ~ '^[a-z0-9.-]{1,64}$'),
    content bytea not null,
    primary key (edition, name)
);
comment on table ledger.edition_file is 'Files of an edition, as they were loaded.';
comment on column ledger.edition_file.edition is 'The edition.';
comment on column ledger.edition_file.name is 'Name of the file.';
comment on column ledger.edition_file.content is 'Its bytes.';

-- close -------------------------------------------------------------------------------------------------------------

create table ledger.day_closing (
    day          date not null check (isfinite(day)),
    attempt      integer not null check (attempt >= 1),
    cut          jsonb not null,
    previous_cut jsonb not null,
    as_of        timestamptz not null check (isfinite(as_of)),
    requested_at timestamptz not null default now(),
    decision_id  bigint references ledger.decision,
    primary key (day, attempt)
);
comment on table ledger.day_closing is 'Questions to charging: the frozen cut of each attempt to close a day.';
comment on column ledger.day_closing.day is 'The day to close.';
comment on column ledger.day_closing.attempt is 'Number of the attempt to close the day, from 1.';
comment on column ledger.day_closing.cut is 'The frozen cut: run to last number; every attempt of a day has the same.';
comment on column ledger.day_closing.previous_cut is 'The cut of the day before.';
comment on column ledger.day_closing.as_of is 'The instant up to which facts count.';
comment on column ledger.day_closing.requested_at is 'When the count was requested from charging.';
comment on column ledger.day_closing.decision_id is 'The decision to close; null where the clock did.';

create table ledger.day_count (
    day            date not null check (isfinite(day)),
    attempt        integer not null,
    deployment     text not null,
    answer         jsonb not null,
    content_sha256 bytea not null check (length(content_sha256) = 32),
    differences    jsonb not null,
    received_at    timestamptz not null default now(),
    primary key (day, attempt, deployment),
    foreign key (day, attempt) references ledger.day_closing
);
comment on table ledger.day_count is 'Answers of chargings deployments to a close.';
comment on column ledger.day_count.day is 'The day.';
comment on column ledger.day_count.attempt is 'Number of the attempt to close the day, from 1.';
comment on column ledger.day_count.deployment is 'Name of the deployment of charging.';
comment on column ledger.day_count.answer is 'The answer, as received.';
comment on column ledger.day_count.content_sha256 is 'SHA-256 of the answer as this project encodes it.';
comment on column ledger.day_count.differences is
    'Every difference from the books; with the last deployments answer only.';
comment on column ledger.day_count.received_at is 'When it was received.';

create table ledger.day_closed (
    day                    date primary key check (isfinite(day)),
    attempt                integer not null,
    as_of                  timestamptz not null check (isfinite(as_of)),
    cut                    jsonb not null,
    orders                 bigint not null,
    premium                bigint not null,
    totals                 jsonb not null,
    workers                jsonb not null,
    first_time             jsonb not null,
    hours                  jsonb not null,
    resends                bigint not null,
    unmatched_cancellations bigint not null,
    recorded_at            timestamptz not null default now(),
    foreign key (day, attempt) references ledger.day_closing
);
comment on table ledger.day_closed is 'Closed days, in order without a gap. A closed day is never opened again.';
comment on column ledger.day_closed.day is 'The closed day.';
comment on column ledger.day_closed.attempt is 'The attempt that closed it.';
comment on column ledger.day_closed.as_of is 'The instant up to which facts count.';
comment on column ledger.day_closed.cut is 'The frozen cut with the settlements of the close; the next previous_cut.';
comment on column ledger.day_closed.orders is 'Charged less reversed, over the lines posted on the day.';
comment on column ledger.day_closed.premium is 'Premium charged less reversed, over the lines posted on the day.';
comment on column ledger.day_closed.totals is 'Totals by insured day, place, outcome and reason.';
comment on column ledger.day_closed.workers is 'Insured workers by place.';
comment on column ledger.day_closed.first_time is 'Workers insured for the first time, by place.';
comment on column ledger.day_closed.hours is 'Orders by hour of acceptance and place.';
comment on column ledger.day_closed.resends is 'Orders that came under two acceptance times.';
comment on column ledger.day_closed.unmatched_cancellations is 'Cancellations that still wait for their order.';
comment on column ledger.day_closed.recorded_at is 'When the row was written.';

create table ledger.day_sum (
    posting_day date not null references ledger.day_closed (day),
    insured_on  date not null,
    enterprise  text not null,
    province    text not null,
    industry    text not null,
    tariff_line integer not null,
    outcome     text not null check (outcome in ('charged', 'reversed')),
    reason      text,
    base_amount bigint not null,
    orders      bigint not null check (orders > 0),
    premium     bigint not null check (abs(premium) = orders * base_amount),
    unique nulls not distinct (posting_day, insured_on, enterprise, province, industry, tariff_line, outcome, reason,
                               base_amount)
);
comment on table ledger.day_sum is
    'Sums of the lines with money of a closed day, so that billing reads days and not manifests.';
comment on column ledger.day_sum.posting_day is 'The day that it is posted on.';
comment on column ledger.day_sum.insured_on is 'The insured day of the orders.';
comment on column ledger.day_sum.enterprise is 'USCC of the enterprise.';
comment on column ledger.day_sum.province is 'Two digits of GB/T 2260.';
comment on column ledger.day_sum.industry is 'The industry (shared/domain/scheme/industry.py).';
comment on column ledger.day_sum.tariff_line is 'Id of the tariff line that the orders were rated by; 0 for none.';
comment on column ledger.day_sum.outcome is 'Whether the orders were charged or reversed.';
comment on column ledger.day_sum.reason is 'Why they were reversed; null for charges.';
comment on column ledger.day_sum.base_amount is 'Premium of one order, in 0.0001 yuan.';
comment on column ledger.day_sum.orders is 'Number of orders.';
comment on column ledger.day_sum.premium is 'Their premium; negative for reversals.';

-- billing -----------------------------------------------------------------------------------------------------------

create table ledger.outside_declaration (
    posting_day date not null references ledger.day_closed (day),
    insured_on  date not null check (isfinite(insured_on)),
    enterprise  text not null,
    province    text not null,
    industry    text not null,
    tariff_line integer not null,
    base_amount bigint not null check (base_amount > 0),
    orders      bigint not null check (orders <> 0),
    primary key (posting_day, insured_on, enterprise, province, industry, tariff_line, base_amount),
    check (insured_on <= posting_day)
);
comment on table ledger.outside_declaration is
    'Charged orders outside the signed declaration of their insured day, as a close counted them.';
comment on column ledger.outside_declaration.posting_day is 'The closed day whose count said so.';
comment on column ledger.outside_declaration.insured_on is 'Insured day of the orders.';
comment on column ledger.outside_declaration.enterprise is 'USCC of the enterprise.';
comment on column ledger.outside_declaration.province is 'Province, two digits.';
comment on column ledger.outside_declaration.industry is 'The industry (shared/domain/scheme/industry.py).';
comment on column ledger.outside_declaration.tariff_line is 'Id of the tariff line that the orders were rated by.';
comment on column ledger.outside_declaration.base_amount is 'Premium of one order, in 0.0001 yuan.';
comment on column ledger.outside_declaration.orders is
    'Number of orders; of an insured day before posting_day the change since the close before, which may be negative.';
create index outside_declaration_insured on ledger.outside_declaration (insured_on);

create table ledger.statement (
    statement_id text primary key,
    enterprise   text not null,
    province     text not null,
    period       text not null check (period ~ '^[0-9]{4}-[0-9]{2}$'),
    as_of        timestamptz not null check (isfinite(as_of)),
    due_on       date not null check (isfinite(due_on)),
    due_on_is_provisional boolean not null,
    calendar     text not null references ledger.edition,
    orders       bigint not null,
    exact_amount bigint not null,
    amount       bigint not null check (amount % 100 = 0),
    recorded_at  timestamptz not null default now(),
    unique (period, enterprise, province)
);
comment on table ledger.statement is 'What one enterprise owes one province for one month; below zero: a credit.';
comment on column ledger.statement.statement_id is 'Id of the statement.';
comment on column ledger.statement.enterprise is 'USCC of the enterprise.';
comment on column ledger.statement.province is 'Two digits of GB/T 2260.';
comment on column ledger.statement.period is 'The billing period, YYYY-MM.';
comment on column ledger.statement.as_of is 'The instant up to which facts count.';
comment on column ledger.statement.due_on is 'Last day to pay without a late fee, as issued.';
comment on column ledger.statement.due_on_is_provisional is
    'Whether a notice of holidays may still move it; no late fee before that is settled.';
comment on column ledger.statement.calendar is 'Edition of the calendar that it was worked out with.';
comment on column ledger.statement.orders is 'Sum of its lines.';
comment on column ledger.statement.exact_amount is 'Sum of its lines before rounding.';
comment on column ledger.statement.amount is 'Sum of its lines, each rounded to the fen.';
comment on column ledger.statement.recorded_at is 'When the row was written.';

create table ledger.due_date_change (
    change_id    bigint generated always as identity primary key,
    statement_id text not null references ledger.statement,
    calendar     text not null references ledger.edition,
    due_on       date not null check (isfinite(due_on)),
    due_on_is_provisional boolean not null,
    notice       text not null check (notice <> ''),
    recorded_at  timestamptz not null default now(),
    unique (statement_id, calendar)
);
comment on table ledger.due_date_change is
    'What a later edition of the calendar changed about a due date: moved it later, or settled it. The newest row holds.';
comment on column ledger.due_date_change.change_id is 'Number of the change.';
comment on column ledger.due_date_change.statement_id is 'The statement.';
comment on column ledger.due_date_change.calendar is 'Edition of the calendar that changed it.';
comment on column ledger.due_date_change.due_on is 'Last day to pay without a late fee; never before the one it follows.';
comment on column ledger.due_date_change.due_on_is_provisional is 'Whether a notice may still move it.';
comment on column ledger.due_date_change.notice is 'The notice of holidays that says what the day before it is.';
comment on column ledger.due_date_change.recorded_at is 'When the row was written.';

create table ledger.statement_line (
    statement_id  text not null references ledger.statement,
    number        integer not null check (number >= 1),
    kind          text not null check (kind in ('line', 'adjustment', 'assessed', 'outside_declaration')),
    insured_month text not null check (insured_month ~ '^[0-9]{4}-[0-9]{2}$'),
    industry      text not null,
    tariff_line   integer not null,
    base_amount   bigint not null,
    orders        bigint not null,
    exact_amount  bigint not null check (exact_amount = orders * base_amount),
    amount        bigint not null check (amount % 100 = 0),
    series        text,
    insured_on    date check (isfinite(insured_on)),
    primary key (statement_id, number),
    check ((kind = 'assessed') = (series is not null) and (series is null) = (insured_on is null)),
    check (abs(amount - exact_amount) <= case kind when 'outside_declaration' then 100 else 50 end)
);
comment on table ledger.statement_line is 'Lines of a statement, each rounded once.';
comment on column ledger.statement_line.statement_id is 'The statement.';
comment on column ledger.statement_line.number is 'Number of the line, from 1.';
comment on column ledger.statement_line.kind is
    'line: of this month; adjustment: of an earlier one; assessed: presumed orders; outside_declaration: orders outside
     the signed declaration, of any month.';
comment on column ledger.statement_line.insured_month is 'Month of the insured days, YYYY-MM.';
comment on column ledger.statement_line.industry is 'The industry (shared/domain/scheme/industry.py).';
comment on column ledger.statement_line.tariff_line is
    'Id of the tariff line that the orders were rated by; 0 for none.';
comment on column ledger.statement_line.base_amount is 'Premium of one order, in 0.0001 yuan.';
comment on column ledger.statement_line.orders is 'Number of orders.';
comment on column ledger.statement_line.exact_amount is 'orders times base_amount.';
comment on column ledger.statement_line.amount is
    'The same, rounded half up to the fen; of outside_declaration the rest of the rounded sum with its other line.';
comment on column ledger.statement_line.series is 'Series of presumed orders; else null.';
comment on column ledger.statement_line.insured_on is 'Insured day of presumed orders; else null.';

create table ledger.period_issued (
    period      text primary key,
    as_of       timestamptz not null check (isfinite(as_of)),
    statements  integer not null,
    recorded_at timestamptz not null default now(),
    decision_id bigint references ledger.decision
);
comment on table ledger.period_issued is 'Months whose statements are all issued, also months without any.';
comment on column ledger.period_issued.period is 'The billing period, YYYY-MM.';
comment on column ledger.period_issued.as_of is 'The instant up to which facts count.';
comment on column ledger.period_issued.statements is 'Number of statements of the month.';
comment on column ledger.period_issued.recorded_at is 'When the row was written.';
comment on column ledger.period_issued.decision_id is 'The decision to bill; null where the clock did.';

create table ledger.remittance (
    remittance_id  text primary key,
    enterprise     text not null,
    province       text not null,
    amount         bigint not null check (amount <> 0 and amount % 100 = 0),
    received_on    date not null check (isfinite(received_on)),
    content_sha256 bytea not null check (length(content_sha256) = 32),
    recorded_at    timestamptz not null default now(),
    reverses       text unique references ledger.remittance,
    reason         text check (reason in ('wrong_day', 'wrong_amount', 'wrong_party', 'twice', 'returned')),
    authority      text,
    check ((reverses is null) = (amount > 0)),
    check ((reverses is null) = (reason is null) and (reverses is null) = (authority is null))
);
comment on table ledger.remittance is 'Money received, once a remittance_id; or the reversal of one.';
comment on column ledger.remittance.remittance_id is 'Id that the collecting authority gave.';
comment on column ledger.remittance.enterprise is 'USCC of the enterprise.';
comment on column ledger.remittance.province is 'Two digits of GB/T 2260.';
comment on column ledger.remittance.amount is 'Amount received; below zero for a reversal.';
comment on column ledger.remittance.received_on is
    'Day on which the money was received; of a reversal the day of what it takes back.';
comment on column ledger.remittance.content_sha256 is 'SHA-256 of the message as this project encodes it.';
comment on column ledger.remittance.recorded_at is 'When the row was written.';
comment on column ledger.remittance.reverses is 'The remittance that it takes back; null for money.';
comment on column ledger.remittance.reason is 'Why it takes it back.';
comment on column ledger.remittance.authority is 'Number of the order to take it back.';

-- books: the journal ------------------------------------------------------------------------------------------------

create table ledger.journal_entry (
    entry_id      bigint generated always as identity primary key,
    kind          text not null check (kind in ('charge', 'late_charge', 'reversal', 'rounding', 'credit',
                                                'remittance', 'remittance_reversal', 'advance', 'late_fee',
                                                'late_fee_release')),
    posting_day   date not null check (isfinite(posting_day)),
    insured_on    date check (isfinite(insured_on)),
    run           text,
    number        bigint,
    statement_id  text references ledger.statement,
    remittance_id text references ledger.remittance,
    corrects      bigint references ledger.journal_entry,
    recorded_at   timestamptz not null default now(),
    foreign key (run, number) references ledger.manifest_booked,
    check ((kind in ('charge', 'late_charge', 'reversal')) = (run is not null)),
    check ((run is null) = (number is null) and (run is null) = (insured_on is null)),
    check (insured_on <= posting_day),
    check (kind <> 'charge' or insured_on = posting_day),
    check ((kind in ('remittance', 'remittance_reversal')) = (remittance_id is not null)),
    check ((kind in ('rounding', 'credit', 'late_fee', 'late_fee_release')) <= (statement_id is not null)),
    check (corrects is null or kind in ('charge', 'late_charge', 'reversal', 'remittance_reversal'))
);
create index journal_entry_insured on ledger.journal_entry (insured_on, entry_id)
    where kind in ('charge', 'late_charge');
create index journal_entry_posting_day on ledger.journal_entry (posting_day);
comment on table ledger.journal_entry is
    'Journal entries; late_charge and reversal are adjustments that name the insured day.';
comment on column ledger.journal_entry.entry_id is 'Number of the entry.';
comment on column ledger.journal_entry.kind is 'Kind of entry (shared/domain/books/journal.py).';
comment on column ledger.journal_entry.posting_day is 'The day that it is posted on.';
comment on column ledger.journal_entry.insured_on is 'Insured day of the orders; null where it is not about orders.';
comment on column ledger.journal_entry.run is 'Run of the manifest that caused it; else null.';
comment on column ledger.journal_entry.number is 'Number of that manifest.';
comment on column ledger.journal_entry.statement_id is 'The statement that it is about; else null.';
comment on column ledger.journal_entry.remittance_id is 'The remittance that caused it; else null.';
comment on column ledger.journal_entry.corrects is
    'Of a reversal or a re-rated charge: the first entry that charged the same insured day, if booked.';
comment on column ledger.journal_entry.recorded_at is 'When the row was written.';

create table ledger.posting (
    entry_id   bigint not null references ledger.journal_entry,
    line       integer not null check (line >= 1),
    account_id bigint not null references ledger.account,
    amount     bigint not null check (amount <> 0),
    primary key (entry_id, line)
);
create index posting_account on ledger.posting (account_id);
comment on table ledger.posting is 'Signed lines; those of an entry are written by one statement and sum to zero.';
comment on column ledger.posting.entry_id is 'The journal entry.';
comment on column ledger.posting.line is 'Number of the line in its entry, from 1.';
comment on column ledger.posting.account_id is 'The account.';
comment on column ledger.posting.amount is 'Debit positive, credit negative.';

create table ledger.day_line (
    line_id     bigint generated always as identity primary key,
    posting_day date not null check (isfinite(posting_day)),
    insured_on  date check (isfinite(insured_on)),
    enterprise  text not null,
    province    text,
    industry    text,
    tariff_line integer,
    outcome     text not null check (outcome in ('charged', 'excluded', 'recorded', 'parked', 'repeat', 'conflict',
                                                 'reversed')),
    reason      text,
    orders      bigint not null check (orders > 0),
    premium     bigint not null,
    run         text not null,
    number      bigint not null,
    entry_id    bigint references ledger.journal_entry,
    foreign key (run, number) references ledger.manifest_booked,
    check (insured_on <= posting_day),
    check (outcome not in ('charged', 'reversed')
           or (insured_on is not null and province is not null and industry is not null and tariff_line is not null)),
    check (outcome <> 'excluded' or insured_on is not null),
    check (case outcome when 'charged' then premium >= 0 when 'reversed' then premium <= 0 else premium = 0 end),
    check ((premium = 0) = (entry_id is null))
);
create index day_line_posting_day on ledger.day_line (posting_day);
create index day_line_manifest on ledger.day_line (run, number);
comment on table ledger.day_line is
    'The totals of booked manifests, one row each, also those without money. Statements and the close are made '
    'of them.';
comment on column ledger.day_line.line_id is 'Number of the line.';
comment on column ledger.day_line.posting_day is 'The day that it is posted on.';
comment on column ledger.day_line.insured_on is 'Insured day; null for events without an order.';
comment on column ledger.day_line.enterprise is 'USCC of the enterprise.';
comment on column ledger.day_line.province is 'Two digits of GB/T 2260; null where not known.';
comment on column ledger.day_line.industry is 'The industry; null where not known.';
comment on column ledger.day_line.tariff_line is 'Id of the tariff line; 0 for none, null where not known.';
comment on column ledger.day_line.outcome is 'What became of the events.';
comment on column ledger.day_line.reason is 'Why, for outcomes that have a reason.';
comment on column ledger.day_line.orders is 'Number of events.';
comment on column ledger.day_line.premium is 'Their premium; negative for reversals, zero for other outcomes.';
comment on column ledger.day_line.run is 'Run of the worker that wrote the manifest, 32 hex digits.';
comment on column ledger.day_line.number is 'Number of the manifest in its run, from 1.';
comment on column ledger.day_line.entry_id is 'The journal entry of lines with money.';

-- billing: what settles a statement ---------------------------------------------------------------------------------

create table ledger.allocation (
    allocation_id bigint generated always as identity primary key,
    statement_id  text not null references ledger.statement,
    what          text not null check (what in ('principal', 'late_fee')),
    amount        bigint not null check (amount <> 0),
    effective_on  date not null check (isfinite(effective_on)),
    remittance_id text references ledger.remittance,
    entry_id      bigint not null references ledger.journal_entry
);
create index allocation_statement on ledger.allocation (statement_id);
comment on table ledger.allocation is 'What settles a statement: a remittance or an advance.';
comment on column ledger.allocation.allocation_id is 'Number of the allocation.';
comment on column ledger.allocation.statement_id is 'The statement.';
comment on column ledger.allocation.what is 'Whether the premium or the late fee is settled.';
comment on column ledger.allocation.amount is
    'Amount; below zero for a credit that became an advance, or late fee released.';
comment on column ledger.allocation.effective_on is 'Day from which it counts against arrears.';
comment on column ledger.allocation.remittance_id is 'The remittance; null for an advance.';
comment on column ledger.allocation.entry_id is 'The journal entry.';

create table ledger.late_fee (
    late_fee_id  bigint generated always as identity primary key,
    statement_id text not null references ledger.statement,
    as_of        date not null check (isfinite(as_of)),
    amount       bigint not null check (amount <> 0 and amount % 100 = 0),
    total        bigint not null check (total >= 0 and total % 100 = 0),
    entry_id     bigint not null references ledger.journal_entry
);
create index late_fee_statement on ledger.late_fee (statement_id);
comment on table ledger.late_fee is 'Increments of a statements late fee.';
comment on column ledger.late_fee.late_fee_id is 'Number of the increment.';
comment on column ledger.late_fee.statement_id is 'The statement.';
comment on column ledger.late_fee.as_of is 'Day by whose end it had accrued.';
comment on column ledger.late_fee.amount is 'The increment.';
comment on column ledger.late_fee.total is 'The fee accrued by the end of as_of, rounded once.';
comment on column ledger.late_fee.entry_id is 'The journal entry.';

-- log: the evidence log (docs/decisions/0006), append-only, hashed as RFC 6962, read as C2SP tlog-tiles -------------

create table ledger.log_entry (
    index     bigint primary key check (index >= 0),
    run       text not null,
    number    bigint not null,
    entry     bytea not null
        check (length(entry) = case get_byte(entry, 0) when 1 then 90 when 2 then 162 end),
    leaf_hash bytea not null generated always as (sha256('\x00'::bytea || entry)) stored,
    unique (run, number),
    foreign key (run, number) references ledger.manifest_booked,
    check (encode(substr(entry, 3, 16), 'hex') = run),
    check (substr(entry, 19, 4) = substr(int8send(number), 5) and number < 4294967296)
);
comment on table ledger.log_entry is
    'The log: the head of every booked manifest, in the order of booking, from index 0 without a gap.';
comment on column ledger.log_entry.index is 'Index in the log, from 0 without a gap.';
comment on column ledger.log_entry.run is 'Run of the worker that wrote the manifest, 32 hex digits.';
comment on column ledger.log_entry.number is 'Number of the manifest in its run, from 1.';
comment on column ledger.log_entry.entry is
    'Head of the manifest, version 1 or 2 (shared/domain/evidence/manifest_head.py).';
comment on column ledger.log_entry.leaf_hash is 'SHA-256 of 0x00 and the entry (RFC 6962).';

create table ledger.log_node (
    level smallint not null check (level between 1 and 7),
    index bigint not null check (index >= 0),
    hash  bytea not null check (length(hash) = 32),
    primary key (level, index)
);
comment on table ledger.log_node is 'Roots of full tiles, computed from log_entry.leaf_hash.';
comment on column ledger.log_node.level is 'Level of the tile.';
comment on column ledger.log_node.index is 'Index of the full tile on its level.';
comment on column ledger.log_node.hash is 'Root over the 256^level entries below it.';

create table ledger.checkpoint (
    size      bigint primary key check (size >= 0),
    origin    text not null,
    root      bytea not null check (length(root) = 32),
    note      bytea not null,
    signed_at timestamptz not null default now()
);
comment on table ledger.checkpoint is 'Signed checkpoints, one a size, each larger than the one before.';
comment on column ledger.checkpoint.size is 'Number of entries that the checkpoint covers.';
comment on column ledger.checkpoint.origin is 'The logs name.';
comment on column ledger.checkpoint.root is 'Root of the tree over the entries.';
comment on column ledger.checkpoint.note is 'The signed note with the signatures of the log''s own keys.';
comment on column ledger.checkpoint.signed_at is 'When it was signed.';

create table ledger.day_checkpoint (
    day  date primary key references ledger.day_closed,
    size bigint not null references ledger.checkpoint
);
comment on table ledger.day_checkpoint is
    'The first checkpoint at or after the close of a day: it covers every manifest of the day''s cut.';
comment on column ledger.day_checkpoint.day is 'The closed day.';
comment on column ledger.day_checkpoint.size is 'Size of the checkpoint.';

create table ledger.cosignature (
    size        bigint not null references ledger.checkpoint,
    name        text not null,
    key_id      bytea not null check (length(key_id) = 4),
    line        text not null,
    cosigned_at timestamptz not null check (isfinite(cosigned_at)),
    recorded_at timestamptz not null default now(),
    primary key (size, name, key_id)
);
comment on table ledger.cosignature is 'Signature lines of witnesses, as received.';
comment on column ledger.cosignature.size is 'Number of entries that the checkpoint covers.';
comment on column ledger.cosignature.name is 'Name of the witnesss key.';
comment on column ledger.cosignature.key_id is 'Id of that key.';
comment on column ledger.cosignature.line is 'The signature line, as received.';
comment on column ledger.cosignature.cosigned_at is 'The time that the witness states.';
comment on column ledger.cosignature.recorded_at is 'When the row was written.';

create table ledger.log_fault (
    fault_id bigint generated always as identity primary key,
    kind     text not null check (kind in ('inconsistent', 'refused_by_witness')),
    size     bigint not null,
    detail   text not null,
    found_at timestamptz not null default now(),
    unique (kind, size, detail)
);
comment on table ledger.log_fault is 'Why a checkpoint was not signed or not cosigned: an alarm until a later one is.';
comment on column ledger.log_fault.fault_id is 'Number of the fault.';
comment on column ledger.log_fault.kind is 'inconsistent: the log is not what was signed before; refused_by_witness.';
comment on column ledger.log_fault.size is 'Size of the checkpoint.';
comment on column ledger.log_fault.detail is 'The reason in words.';
comment on column ledger.log_fault.found_at is 'When it was found.';

-- messages ----------------------------------------------------------------------------------------------------------

create table ledger.topic_position (
    cluster_id  text not null,
    topic       text not null,
    partition   integer not null check (partition >= 0),
    next_offset bigint not null check (next_offset >= 0),
    topic_id    uuid,
    primary key (cluster_id, topic, partition)
);
comment on table ledger.topic_position is 'How far each partition is handled, moved by compare-and-set.';
comment on column ledger.topic_position.cluster_id is 'Id of the Kafka cluster.';
comment on column ledger.topic_position.topic is 'Name of the topic.';
comment on column ledger.topic_position.partition is 'Number of the partition.';
comment on column ledger.topic_position.next_offset is 'Offset of the next record to handle.';
comment on column ledger.topic_position.topic_id is 'Id of the topic, where the broker gives one.';

create table ledger.refused_message (
    refused_id    bigint generated always as identity primary key,
    topic         text not null,
    partition     integer,
    record_offset bigint,
    reason        text not null check (reason in (
        'undecodable', 'absurd', 'different_content', 'unexpected', 'foreign_enterprise', 'unstorable', 'expired',
        'unprocessable', 'identity_in_clear', 'unsigned', 'wrong_author', 'unreadable', 'lost', 'out_of_time')),
    detail        text not null,
    sha256        bytea not null,
    bytes         integer not null,
    redacted      text not null,
    sealed        bytea not null,
    sealed_on     date not null,
    received_at   timestamptz not null default now(),
    recorded_at   timestamptz not null default now(),
    constraint refused_message_once unique (topic, reason, sha256, sealed_on)
);
comment on table ledger.refused_message is
    'Quarantined messages, sealed, with the reason. Each is an alarm until it is reviewed.';
comment on column ledger.refused_message.refused_id is 'Number of the message.';
comment on column ledger.refused_message.topic is 'Name of the topic, or of the route that it came by.';
comment on column ledger.refused_message.partition is 'Its partition; null where it came over HTTP.';
comment on column ledger.refused_message.record_offset is 'Its offset; null where it came over HTTP.';
comment on column ledger.refused_message.reason is 'Why it was not taken (shared/contracts/quarantine.py).';
comment on column ledger.refused_message.detail is 'The reason in words, redacted.';
comment on column ledger.refused_message.sha256 is 'SHA-256 of the message.';
comment on column ledger.refused_message.bytes is 'Length of the message.';
comment on column ledger.refused_message.redacted is 'A redacted form, to read.';
comment on column ledger.refused_message.sealed is 'The message and its headers, encrypted under the key of sealed_on.';
comment on column ledger.refused_message.sealed_on is 'The day whose key seals it.';
comment on column ledger.refused_message.received_at is 'When it was received.';
comment on column ledger.refused_message.recorded_at is 'Time of the record in Kafka, or of its receipt.';

create table ledger.refused_review (
    refused_id  bigint primary key references ledger.refused_message,
    reviewer    text not null check (reviewer <> ''),
    note        text not null check (note <> ''),
    recorded_at timestamptz not null default now()
);
comment on table ledger.refused_review is 'A persons review of a quarantined message; ends its alarm.';
comment on column ledger.refused_review.refused_id is 'The message.';
comment on column ledger.refused_review.reviewer is 'Who reviewed it.';
comment on column ledger.refused_review.note is 'What was done.';
comment on column ledger.refused_review.recorded_at is 'When the row was written.';

create table ledger.kept_key (
    day          date primary key,
    key          bytea,
    made_at      timestamptz not null default clock_timestamp(),
    destroyed_at timestamptz,
    constraint kept_key_length check (length(key) = 32),
    constraint kept_key_destroyed check ((key is null) = (destroyed_at is not null))
);
comment on table ledger.kept_key is
    'Keys of quarantined messages, one a day of keeping. Without its key a message cannot be read.';
comment on column ledger.kept_key.day is 'Day of keeping (Asia/Shanghai).';
comment on column ledger.kept_key.key is 'The key, 32 bytes; null once destroyed.';
comment on column ledger.kept_key.made_at is 'When it was made.';
comment on column ledger.kept_key.destroyed_at is 'When it was destroyed.';

create table ledger.outbox (
    id      bigint generated always as identity primary key,
    topic   text not null,
    key     text not null,
    payload bytea not null,
    written_at timestamptz not null default now(),
    refusal text,
    refused_at timestamptz,
    check ((refusal is null) = (refused_at is null))
);
comment on table ledger.outbox is
    'Messages still to publish, written in the transaction of the facts that they report.';
comment on column ledger.outbox.id is 'Number of the message; published in this order.';
comment on column ledger.outbox.topic is 'Name of the topic.';
comment on column ledger.outbox.key is 'Key of the record.';
comment on column ledger.outbox.payload is 'Value of the record.';
comment on column ledger.outbox.refusal is 'Why the broker refused it; null where it did not.';
comment on column ledger.outbox.refused_at is 'When the broker refused it last.';
comment on column ledger.outbox.written_at is 'When it was written.';

-- operations --------------------------------------------------------------------------------------------------------

create table ledger.set_aside (
    step        text not null check (step in ('bill', 'late_fee', 'duty')),
    item        text not null,
    reason      text not null check (reason in
                    ('refused', 'undecodable', 'out_of_range', 'constraint', 'wrong_answer', 'archived', 'unanswered',
                    'unexpected')),
    detail      text not null,
    attempts    integer not null default 1 check (attempts > 0),
    first_at    timestamptz not null default clock_timestamp(),
    last_at     timestamptz not null default clock_timestamp(),
    next_at     timestamptz not null,
    resolved_at timestamptz,
    primary key (step, item)
);
create index set_aside_open on ledger.set_aside (first_at) where resolved_at is null;
comment on table ledger.set_aside is
    'Items of background work that cannot be done as they are; an alarm until resolved. A state, so it is '
    'updated.';
comment on column ledger.set_aside.step is 'The step of background work.';
comment on column ledger.set_aside.item is 'What of it: a statement, a party, a duty.';
comment on column ledger.set_aside.reason is 'The reason, from the closed list above.';
comment on column ledger.set_aside.detail is 'The failure in words.';
comment on column ledger.set_aside.attempts is 'Number of attempts.';
comment on column ledger.set_aside.first_at is 'Time of the first attempt.';
comment on column ledger.set_aside.last_at is 'Time of the last attempt.';
comment on column ledger.set_aside.next_at is
    'Time of the next attempt; equal to the last one while the item only fails for what is expected to pass.';
comment on column ledger.set_aside.resolved_at is 'When it was done; null while it is open.';

-- history is only added to ------------------------------------------------------------------------------------------

create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'ledger.%: % is refused; the books are only added to', tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation';
end $$;

do $$
declare name text;
begin
    foreach name in array array[
        'books', 'account', 'decision', 'edition', 'edition_file', 'manifest_booked', 'enterprise_deployment',
        'day_closing', 'day_count', 'day_closed', 'day_sum', 'outside_declaration', 'statement', 'due_date_change',
        'statement_line', 'period_issued', 'remittance', 'journal_entry', 'posting', 'day_line', 'allocation', 'late_fee', 'log_entry', 'log_node',
        'checkpoint', 'day_checkpoint', 'cosignature', 'log_fault', 'refused_message', 'refused_review']
    loop
        execute format('create trigger append_only before update or delete on ledger.%I
                        for each row execute function ledger.refuse_change()', name);
        execute format('create trigger never_emptied before truncate on ledger.%I
                        for each statement execute function ledger.refuse_change()', name);
        execute format('grant select, insert on ledger.%I to danbao_ledger', name);
    end loop;
end $$;

-- The key of a day is destroyed once its time is over, and never changed.
create function ledger.refuse_key_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if old.key is not null and new.key is null and (new.day, new.made_at) = (old.day, old.made_at)
                and old.day < (clock_timestamp() at time zone 'Asia/Shanghai')::date - 1 then
            return new;
        end if;
    end if;
    raise exception '% of ledger.kept_key: a key is destroyed two days after its day at the earliest, never changed',
        tg_op using errcode = 'integrity_constraint_violation';
end $$;
create trigger append_only before update or delete on ledger.kept_key
    for each row execute function ledger.refuse_key_change();
create trigger never_emptied before truncate on ledger.kept_key
    for each statement execute function ledger.refuse_key_change();

-- invariants --------------------------------------------------------------------------------------------------------

create function ledger.check_entry_balances() returns trigger language plpgsql as $$
declare total numeric; lines bigint;
begin
    select coalesce(sum(amount), 0), count(*) into total, lines from ledger.posting where entry_id = new.entry_id;
    if total <> 0 or lines < 2 then
        raise exception 'entry %: % postings that sum to %', new.entry_id, lines, total
            using errcode = 'check_violation';
    end if;
    return null;
end $$;
-- At commit, once for each entry: postings that are missing altogether are found here.
create constraint trigger entry_balances after insert on ledger.journal_entry
    deferrable initially deferred for each row execute function ledger.check_entry_balances();

create function ledger.check_postings_whole() returns trigger language plpgsql as $$
declare bad bigint;
begin
    select a.entry_id into bad
    from (select entry_id, sum(amount) as total, count(*) as lines from added group by entry_id) a
    where a.total <> 0 or a.lines < 2
       or a.lines <> (select count(*) from ledger.posting p where p.entry_id = a.entry_id)
    limit 1;
    if bad is not null then
        raise exception 'entry %: its postings come together and sum to zero', bad using errcode = 'check_violation';
    end if;
    return null;
end $$;
-- At once, for each statement: nothing can be added to an existing entry, and SET CONSTRAINTS opens no way round.
create trigger postings_whole after insert on ledger.posting referencing new table as added
    for each statement execute function ledger.check_postings_whole();

create function ledger.check_statement_whole() returns trigger language plpgsql as $$
declare bad text;
begin
    select s.statement_id into bad
    from ledger.statement s
    left join (select statement_id, sum(orders) as orders, sum(exact_amount) as exact, sum(amount) as amount
               from ledger.statement_line group by statement_id) l using (statement_id)
    where s.statement_id = new.statement_id
      and (s.orders, s.exact_amount, s.amount) is distinct from (l.orders, l.exact, l.amount);
    if bad is not null then
        raise exception 'statement %: its sums are not those of its lines', bad using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger statement_whole after insert on ledger.statement
    deferrable initially deferred for each row execute function ledger.check_statement_whole();
create constraint trigger statement_line_whole after insert on ledger.statement_line
    deferrable initially deferred for each row execute function ledger.check_statement_whole();

-- At commit: the name of an edition is that of its files, so none can be altered, left out or added.
create function ledger.check_edition_whole() returns trigger language plpgsql as $$
declare list text;
begin
    select string_agg(encode(sha256(content), 'hex') || '  ' || name || E'\n', '' order by name collate "C") into list
    from ledger.edition_file where edition = new.edition;
    if new.edition is distinct from encode(sha256(convert_to(coalesce(list, ''), 'utf8')), 'hex') then
        raise exception 'edition %: its files have another name', new.edition using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger edition_whole after insert on ledger.edition
    deferrable initially deferred for each row execute function ledger.check_edition_whole();
create constraint trigger edition_file_whole after insert on ledger.edition_file
    deferrable initially deferred for each row execute function ledger.check_edition_whole();

-- A due date is moved later or settled; it never comes earlier, and what is settled stays so.
create function ledger.check_due_date_change() returns trigger language plpgsql as $$
declare before record;
begin
    select due_on, due_on_is_provisional into before from (
        select 0 as change_id, due_on, due_on_is_provisional from ledger.statement
        where statement_id = new.statement_id
        union all
        select change_id, due_on, due_on_is_provisional from ledger.due_date_change
        where statement_id = new.statement_id) known
    order by change_id desc limit 1;
    if new.due_on < before.due_on or new.due_on_is_provisional > before.due_on_is_provisional
       or (new.due_on, new.due_on_is_provisional) = (before.due_on, before.due_on_is_provisional) then
        raise exception 'statement %: due on % is moved later or settled, not changed to %',
            new.statement_id, before.due_on, new.due_on using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger due_date_stands before insert on ledger.due_date_change
    for each row execute function ledger.check_due_date_change();

create function ledger.check_remittance_reversal() returns trigger language plpgsql as $$
begin
    if not exists (select from ledger.remittance r where r.remittance_id = new.reverses and r.reverses is null
                   and (r.enterprise, r.province, r.amount, r.received_on)
                       = (new.enterprise, new.province, -new.amount, new.received_on)) then
        raise exception 'remittance %: it repeats no remittance %', new.remittance_id, new.reverses
            using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger remittance_reversal before insert on ledger.remittance
    for each row when (new.reverses is not null) execute function ledger.check_remittance_reversal();

create function ledger.check_day_open() returns trigger language plpgsql as $$
declare bad date;
begin
    select min(posting_day) into bad from added
    where posting_day <= (select max(day) from ledger.day_closed)
       or posting_day < (select opened_on from ledger.books);
    if bad is not null then
        raise exception 'ledger.%: % is not open', tg_table_name, bad using errcode = 'check_violation';
    end if;
    return null;
end $$;
create trigger day_open after insert on ledger.journal_entry referencing new table as added
    for each statement execute function ledger.check_day_open();
create trigger day_open after insert on ledger.day_line referencing new table as added
    for each statement execute function ledger.check_day_open();

create function ledger.check_manifest_follows() returns trigger language plpgsql as $$
begin
    if new.number > 1 and not exists (select from ledger.manifest_booked
                                      where run = new.run and number = new.number - 1) then
        raise exception 'run %: number % does not follow a booked one', new.run, new.number
            using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger manifest_follows before insert on ledger.manifest_booked
    for each row execute function ledger.check_manifest_follows();

create function ledger.check_day_follows() returns trigger language plpgsql as $$
declare expected date;
begin
    select coalesce((select max(day) + 1 from ledger.day_closed), opened_on) into expected from ledger.books;
    if new.day is distinct from expected then
        raise exception 'day % cannot be closed before %', new.day, expected using errcode = 'check_violation';
    end if;
    if not exists (select from ledger.day_count where (day, attempt) = (new.day, new.attempt)) then
        raise exception 'day % was not counted', new.day using errcode = 'foreign_key_violation';
    end if;
    return new;
end $$;
create trigger day_follows before insert on ledger.day_closed
    for each row execute function ledger.check_day_follows();

-- invariants of the log ---------------------------------------------------------------------------------------------

create function ledger.check_log_follows() returns trigger language plpgsql as $$
begin
    if new.index > 0 and not exists (select from ledger.log_entry where index = new.index - 1) then
        raise exception 'the log has no entry before %', new.index using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger log_follows before insert on ledger.log_entry
    for each row execute function ledger.check_log_follows();

-- At commit: a manifest is in the books and in the log, or in neither.
create function ledger.check_manifest_logged() returns trigger language plpgsql as $$
begin
    if not exists (select from ledger.log_entry where run = new.run and number = new.number) then
        raise exception 'manifest %/% is not in the log', new.run, new.number using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger manifest_logged after insert on ledger.manifest_booked
    deferrable initially deferred for each row execute function ledger.check_manifest_logged();

create function ledger.check_checkpoint_follows() returns trigger language plpgsql as $$
begin
    if exists (select from ledger.checkpoint where size >= new.size)
       or (new.size > 0 and not exists (select from ledger.log_entry where index = new.size - 1)) then
        raise exception 'a checkpoint of % does not follow', new.size using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger checkpoint_follows before insert on ledger.checkpoint
    for each row execute function ledger.check_checkpoint_follows();

-- Every new entry has an author (docs/decisions/0018); version 1 has none.
create function ledger.refuse_unsigned_entry() returns trigger language plpgsql as $$
begin
    if get_byte(new.entry, 0) < 2 then
        raise exception 'manifest %/% has no author', new.run, new.number using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger signed_entry before insert on ledger.log_entry
    for each row execute function ledger.refuse_unsigned_entry();


-- rights ------------------------------------------------------------------------------------------------------------

grant usage on schema ledger to danbao_ledger, danbao_auditor;
grant select, insert, delete on ledger.manifest_inbox to danbao_ledger;
-- The outbox is read with FOR UPDATE SKIP LOCKED, and the row of `turn` is locked: PostgreSQL wants UPDATE for that.
grant select, insert, update, delete on ledger.outbox to danbao_ledger;
grant select, update on ledger.turn to danbao_ledger;
grant select, insert on ledger.topic_position to danbao_ledger;
grant update (next_offset, topic_id) on ledger.topic_position to danbao_ledger;
grant select, insert, update on ledger.set_aside to danbao_ledger;
grant select, insert, update (key, destroyed_at), maintain on ledger.kept_key to danbao_ledger;
revoke execute on function ledger.refuse_key_change from public;
grant select on all tables in schema ledger to danbao_auditor;
revoke select on ledger.kept_key from danbao_auditor;
grant select (day, made_at, destroyed_at) on ledger.kept_key to danbao_auditor;
