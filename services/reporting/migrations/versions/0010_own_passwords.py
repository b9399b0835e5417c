"""An account's password is its person's own: who set it last, and the hashes of those before."""

from shared.adapters.postgres.migrations import run_script

revision = "0010"
down_revision = "0009"

_OWN = """
-- Until now operators set all passwords, and so know them: the default holds for the accounts that there are, too.
alter table reporting.account
    add column must_change boolean not null default true,
    add column former_hashes text[] not null default '{}'
        constraint account_former_hashes check (cardinality(former_hashes) <= 4);
grant update (must_change, former_hashes) on reporting.account to danbao_reporting;
grant select (must_change) on reporting.account to danbao_auditor;
"""


def upgrade() -> None:
    """Add who must change the password, and what it was before."""
    run_script(_OWN)
