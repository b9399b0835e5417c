"""Positions of the topics that the ledger reads, and a quarantine that knows where a message came from."""

from pathlib import Path

from shared.adapters.postgres.migrations import run_script

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table, add the columns."""
    run_script(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
