"""The evidence log: entries, roots of full subtrees, checkpoints and who cosigned them."""

from pathlib import Path

from shared.adapters.postgres.migrations import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the script beside this file."""
    run_script(Path(__file__).with_suffix(".sql").read_text())
