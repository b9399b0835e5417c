"""The books: what may stand in them is decided here, before any code."""

from pathlib import Path

from shared.adapters.postgres.migrations import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the script beside this file; role and auditor exist already."""
    run_script(Path(__file__).with_suffix(".sql").read_text())
