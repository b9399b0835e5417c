-- The books of the ledger. Money is bigint in units of 0.0001 yuan; a debit is positive, a credit negative.
-- Days are Asia/Shanghai. No row of the books is ever updated or deleted: the role has no such privilege, and a
-- trigger refuses it to everybody else. Only `manifest_inbox` and `outbox` are queues, and `turn` is only a lock.

create table ledger.turn (
    one boolean primary key default true check (one)
);
comment on table ledger.turn is 'One row without a figure: whoever books, closes, bills or settles holds its lock.';
insert into ledger.turn default values;

create table ledger.books (
    one         boolean primary key default true check (one),
    opened_on   date not null,
    recorded_at timestamptz not null default now()
);
comment on table ledger.books is 'When the books begin; the first day that is closed.';

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

create table ledger.manifest_inbox (
    run         text not null,
    number      bigint not null check (number >= 1),
    payload     bytea not null,
    received_at timestamptz not null default now(),
    primary key (run, number)
);
comment on table ledger.manifest_inbox is
    'Manifests that came before an earlier number of their run, or (settlements) while a day is being closed.';

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
comment on table ledger.manifest_booked is 'Every manifest in the books, once; numbers of a run have no gap.';
comment on column ledger.manifest_booked.content_sha256 is
    'Of the message as this project encodes it: the same again is harmless, another one is an alarm.';
comment on column ledger.manifest_booked.closing_day is
    'Set for a settlement written for the close of that day: it is posted there and belongs to its cut.';
create index manifest_booked_closing on ledger.manifest_booked (closing_day) where closing_day is not null;

create table ledger.day_closing (
    day          date not null,
    attempt      integer not null check (attempt >= 1),
    cut          jsonb not null,
    previous_cut jsonb not null,
    as_of        timestamptz not null,
    requested_at timestamptz not null default now(),
    primary key (day, attempt)
);
comment on table ledger.day_closing is 'Frozen cuts, run to last number; every attempt of a day has the same.';

-- Which of charging's deployments charges an enterprise's orders (docs/decisions/0012).
create table ledger.enterprise_deployment (
    enterprise text primary key check (enterprise <> ''),
    deployment text not null check (deployment ~ '^[a-z][a-z0-9-]{0,30}$')
);
comment on table ledger.enterprise_deployment is
    'The deployment that first told of an enterprise, for good: a manifest of another one that names it is not booked.';

create table ledger.day_count (
    day            date not null,
    attempt        integer not null,
    deployment     text not null,
    answer         jsonb not null,
    content_sha256 bytea not null check (length(content_sha256) = 32),
    differences    jsonb not null,
    received_at    timestamptz not null default now(),
    primary key (day, attempt, deployment),
    foreign key (day, attempt) references ledger.day_closing
);
comment on table ledger.day_count is 'Answers of charging''s deployments; every difference from the books with the last.';

create table ledger.day_closed (
    day                    date primary key,
    attempt                integer not null,
    as_of                  timestamptz not null,
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
comment on column ledger.day_closed.cut is 'The frozen cut with the settlements of the close; the next previous_cut.';
comment on column ledger.day_closed.orders is 'Charged less reversed, over the lines posted on the day.';

create table ledger.statement (
    statement_id text primary key,
    enterprise   text not null,
    province     text not null,
    period       text not null check (period ~ '^[0-9]{4}-[0-9]{2}$'),
    as_of        timestamptz not null,
    due_on       date not null,
    orders       bigint not null,
    exact_amount bigint not null,
    amount       bigint not null check (amount % 100 = 0),
    recorded_at  timestamptz not null default now(),
    unique (period, enterprise, province)
);
comment on table ledger.statement is 'What one enterprise owes one province for one month; below zero: a credit.';

create table ledger.statement_line (
    statement_id  text not null references ledger.statement,
    number        integer not null check (number >= 1),
    kind          text not null check (kind in ('line', 'adjustment', 'assessed')),
    insured_month text not null check (insured_month ~ '^[0-9]{4}-[0-9]{2}$'),
    industry      text not null,
    tariff_line   integer not null,
    base_amount   bigint not null,
    orders        bigint not null,
    exact_amount  bigint not null check (exact_amount = orders * base_amount),
    amount        bigint not null check (amount % 100 = 0 and abs(amount - exact_amount) <= 50),
    series        text,
    insured_on    date,
    primary key (statement_id, number),
    check ((kind = 'assessed') = (series is not null) and (series is null) = (insured_on is null))
);
comment on table ledger.statement_line is 'Rounded once, each; an adjustment names the earlier month it belongs to.';

create table ledger.period_issued (
    period      text primary key,
    as_of       timestamptz not null,
    statements  integer not null,
    recorded_at timestamptz not null default now()
);
comment on table ledger.period_issued is 'Months whose statements are all issued, also one without any.';

create table ledger.remittance (
    remittance_id  text primary key,
    enterprise     text not null,
    province       text not null,
    amount         bigint not null check (amount > 0 and amount % 100 = 0),
    received_on    date not null,
    content_sha256 bytea not null check (length(content_sha256) = 32),
    recorded_at    timestamptz not null default now()
);
comment on table ledger.remittance is 'Money received, once per remittance_id.';

create table ledger.journal_entry (
    entry_id      bigint generated always as identity primary key,
    kind          text not null check (kind in ('charge', 'late_charge', 'reversal', 'rounding', 'credit',
                                                'remittance', 'advance', 'late_fee', 'late_fee_release')),
    posting_day   date not null,
    insured_on    date,
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
    check ((kind = 'remittance') = (remittance_id is not null)),
    check ((kind in ('rounding', 'credit', 'late_fee', 'late_fee_release')) <= (statement_id is not null)),
    check (corrects is null or kind in ('charge', 'late_charge', 'reversal'))
);
comment on table ledger.journal_entry is 'Entries; late_charge and reversal are adjustments that name the insured day.';
comment on column ledger.journal_entry.corrects is
    'Of a reversal, and of a charge that orders were rated anew with (manifests of kind correction): the first entry that
     charged the same insured day, when it was booked by then. A manifest''s total does not say in which batch an order was charged; insured_on names all entries that may be corrected.';
create index journal_entry_insured on ledger.journal_entry (insured_on, entry_id)
    where kind in ('charge', 'late_charge');
create index journal_entry_posting_day on ledger.journal_entry (posting_day);

create table ledger.posting (
    entry_id   bigint not null references ledger.journal_entry,
    line       integer not null check (line >= 1),
    account_id bigint not null references ledger.account,
    amount     bigint not null check (amount <> 0),
    primary key (entry_id, line)
);
comment on table ledger.posting is 'Signed lines; those of an entry are written by one statement and sum to zero.';
create index posting_account on ledger.posting (account_id);

create table ledger.day_line (
    line_id     bigint generated always as identity primary key,
    posting_day date not null,
    insured_on  date,
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
comment on table ledger.day_line is
    'The totals of the manifests as booked, one row each; those without money are counted, too. Statements and the close
     are made of these rows.';
create index day_line_posting_day on ledger.day_line (posting_day);
create index day_line_manifest on ledger.day_line (run, number);

create table ledger.allocation (
    allocation_id bigint generated always as identity primary key,
    statement_id  text not null references ledger.statement,
    what          text not null check (what in ('principal', 'late_fee')),
    amount        bigint not null check (amount <> 0),
    effective_on  date not null,
    remittance_id text references ledger.remittance,
    entry_id      bigint not null references ledger.journal_entry
);
comment on table ledger.allocation is
    'What settles a statement: a remittance, or (remittance_id null) an advance. Below zero: a credit that became an
     advance, or late fee released.';
create index allocation_statement on ledger.allocation (statement_id);

create table ledger.late_fee (
    late_fee_id  bigint generated always as identity primary key,
    statement_id text not null references ledger.statement,
    as_of        date not null,
    amount       bigint not null check (amount <> 0 and amount % 100 = 0),
    total        bigint not null check (total >= 0 and total % 100 = 0),
    entry_id     bigint not null references ledger.journal_entry
);
comment on table ledger.late_fee is
    'Increments of a statement''s late fee; total is the sum so far: the fee accrued by the end of as_of, rounded once.';
create index late_fee_statement on ledger.late_fee (statement_id);

create table ledger.refused_message (
    refused_id  bigint generated always as identity primary key,
    topic       text not null,
    reason      text not null check (reason in (
        'undecodable', 'absurd', 'different_content', 'unexpected', 'foreign_enterprise')),
    detail      text not null,
    payload     bytea not null,
    sha256      bytea not null,
    received_at timestamptz not null default now(),
    unique (topic, reason, sha256)
);
comment on table ledger.refused_message is 'Messages that were not taken, whole, with the reason. Each is an alarm.';

create table ledger.refused_review (
    refused_id  bigint primary key references ledger.refused_message,
    reviewer    text not null check (reviewer <> ''),
    note        text not null check (note <> ''),
    recorded_at timestamptz not null default now()
);
comment on table ledger.refused_review is 'A person has looked at a refused message and says what was done; ends its alarm.';

create table ledger.outbox (
    id      bigint generated always as identity primary key,
    topic   text not null,
    key     text not null,
    payload bytea not null,
    written_at timestamptz not null default now()
);
comment on table ledger.outbox is 'What is still to be published, written with the facts it tells.';

-- Invariants -------------------------------------------------------------------------------------------------------

create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'ledger.%: % is refused; the books are only added to', tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation';
end $$;

do $$
declare name text;
begin
    foreach name in array array['books', 'account', 'manifest_booked', 'enterprise_deployment', 'day_closing',
        'day_count', 'day_closed',
        'statement', 'statement_line', 'period_issued', 'remittance', 'journal_entry', 'posting', 'day_line',
        'allocation', 'late_fee', 'refused_message', 'refused_review']
    loop
        execute format('create trigger append_only before update or delete on ledger.%I
                        for each row execute function ledger.refuse_change()', name);
        execute format('create trigger never_emptied before truncate on ledger.%I
                        for each statement execute function ledger.refuse_change()', name);
        execute format('grant select, insert on ledger.%I to danbao_ledger', name);
    end loop;
end $$;

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
-- At once, for each statement: nothing can be added to an entry that stands, and SET CONSTRAINTS opens no way round.
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

-- Who may do what --------------------------------------------------------------------------------------------------

grant usage on schema ledger to danbao_ledger, danbao_auditor;
grant select, insert, delete on ledger.manifest_inbox to danbao_ledger;
-- The outbox is read with FOR UPDATE SKIP LOCKED, and so is the turn: PostgreSQL wants the privilege for the lock.
grant select, insert, update, delete on ledger.outbox to danbao_ledger;
grant select, update on ledger.turn to danbao_ledger;
grant select on all tables in schema ledger to danbao_auditor;
