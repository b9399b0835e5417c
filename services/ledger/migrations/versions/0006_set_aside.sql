create table ledger.set_aside (
    step        text not null check (step in ('bill', 'late_fee', 'duty')),
    item        text not null,
    reason      text not null check (reason in
                    ('refused', 'undecodable', 'out_of_range', 'constraint', 'wrong_answer', 'unexpected')),
    detail      text not null,
    attempts    integer not null default 1 check (attempts > 0),
    first_at    timestamptz not null default clock_timestamp(),
    last_at     timestamptz not null default clock_timestamp(),
    next_at     timestamptz not null,
    resolved_at timestamptz,
    primary key (step, item)
);
comment on table ledger.set_aside is
    'Items of background work whose content makes them impossible; an alarm until resolved_at is set. A state, not part
     of the books: it is updated.';
create index set_aside_open on ledger.set_aside (first_at) where resolved_at is null;
grant select, insert, update on ledger.set_aside to danbao_ledger;
grant select on ledger.set_aside to danbao_auditor;
