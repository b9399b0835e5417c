"""Assessed numbers: what is charged for orders that are presumed not to have been sent (docs/decisions/0007)."""

from shared.adapters.postgres.migrations import run_script

revision = "0005"
down_revision = "0004"

DDL = """
-- Numbers of a series that are charged though nothing bears them, and what takes them back (of_batch and of_leaf name
-- the row it takes from). Rows of manifests of kind assessment, one leaf each. base_amount is 0.0001 yuan a number.
create table charging.assessment (
    batch bigint not null references charging.manifest deferrable initially deferred,
    leaf_index integer not null,
    enterprise smallint not null,
    series text collate "C" not null,
    first bigint not null check (first >= 1),
    last bigint not null check (last >= first),
    insured_on date not null,
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
create trigger history before update or delete on charging.assessment
    for each row execute function charging.refuse_change();
create trigger history_whole before truncate on charging.assessment
    for each statement execute function charging.refuse_change();
grant select on charging.assessment to danbao_charging, danbao_auditor;
grant insert on charging.assessment to danbao_charging;
"""


def upgrade() -> None:
    """Make the table."""
    run_script(DDL)
