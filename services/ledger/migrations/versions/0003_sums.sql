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
    'What the lines with money of a closed day come to, written when it is closed: a month has as many of them as days
     and places, however many manifests it had.';
create trigger append_only before update or delete on ledger.day_sum
    for each row execute function ledger.refuse_change();
create trigger never_emptied before truncate on ledger.day_sum
    for each statement execute function ledger.refuse_change();
grant select, insert on ledger.day_sum to danbao_ledger;
grant select on ledger.day_sum to danbao_auditor;
