"""A remittance that is named by a person is refused for that reason."""

from pathlib import Path

from shared.adapters.postgres.migrations import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the reason to the closed list."""
    run_script(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
