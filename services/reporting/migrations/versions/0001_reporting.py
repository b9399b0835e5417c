"""The schema of reporting: everything in the SQL file of the same name."""

from shared.adapters.postgres.migrations import run_script_of

revision = "reporting_0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL file."""
    run_script_of(__file__)
