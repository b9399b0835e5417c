"""Signatures of enterprises' manifests of a day, with the very bytes that they are over."""

from shared.adapters.postgres.migrations import run_script

revision = "0015"
down_revision = "0014"

DDL = """
-- All four or none: what an enterprise had to sign is kept so that its signature can be checked again.
alter table charging.declaration
    add column revision bigint check (revision between 0 and 2147483647),
    add column key_id bytea check (length(key_id) = 4),
    add column signature bytea check (length(signature) = 64),
    add column signed_data bytea,
    add constraint declaration_signed check (num_nulls(revision, key_id, signature, signed_data) in (0, 4));
"""


def upgrade() -> None:
    """Add the columns."""
    run_script(DDL)
