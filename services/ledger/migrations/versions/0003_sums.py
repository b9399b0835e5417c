"""What the lines of a closed day come to: statements are drawn up from it."""

from pathlib import Path

from shared.adapters.postgres.migrations import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table, its triggers and privileges."""
    run_script(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
