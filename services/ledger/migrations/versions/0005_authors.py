"""Entries of the log with an author, and reasons for messages that have none."""

from pathlib import Path

from shared.adapters.postgres.migrations import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Change the constraints."""
    run_script(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
