"""Whose database this is (docs/decisions/0012)."""

from shared.adapters.postgres.migrations import run_script

revision = "0008"
down_revision = "0007"

DDL = """
-- One row, written by the first worker that starts; a worker of another deployment stops.
create table charging.deployment (
    one boolean primary key default true check (one),
    name text collate "C" not null check (name ~ '^[a-z][a-z0-9-]{0,30}$')
);
create trigger history before update or delete on charging.deployment
    for each row execute function charging.refuse_change();
create trigger history_whole before truncate on charging.deployment
    for each statement execute function charging.refuse_change();
grant select on charging.deployment to danbao_charging, danbao_auditor;
grant insert on charging.deployment to danbao_charging;
"""


def upgrade() -> None:
    """Make the table."""
    run_script(DDL)
