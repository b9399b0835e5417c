"""When a batch's acceptances were sent, for delays and for what came after an injury notice."""

from shared.adapters.postgres.migrations import run_script

revision = "0002"
down_revision = "0001"

DDL = """
-- The earliest record time among an enterprise's acceptances in a batch: each of them was sent then or later.
create table charging.batch_received (
    batch bigint not null references charging.manifest deferrable initially deferred,
    enterprise smallint not null,
    first_record_at timestamptz not null,
    primary key (batch, enterprise)
);
create trigger history before update or delete on charging.batch_received
    for each row execute function charging.refuse_change();
create trigger history_whole before truncate on charging.batch_received
    for each statement execute function charging.refuse_change();
grant select, insert on charging.batch_received to danbao_charging;
grant select on charging.batch_received to danbao_auditor;
"""


def upgrade() -> None:
    """Make the table."""
    run_script(DDL)
