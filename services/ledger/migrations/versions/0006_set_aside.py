"""Statements, late fees and duties of the clock that cannot be done and are kept out of the way of the others."""

from pathlib import Path

from shared.adapters.postgres.migrations import run_script

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table and its privileges."""
    run_script(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
