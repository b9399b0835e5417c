"""The bytes of quarantined messages are sealed under a key a day, which is destroyed in time (docs/decisions/0019)."""

from pathlib import Path

from shared.adapters.postgres.migrations import run_script, run_step
from shared.adapters.postgres.sealed_messages import ADD_SEALED, DROP_CLEAR, seal_quarantine

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the keys' table, seal what is there, drop what was in clear."""
    run_script(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
    run_script(ADD_SEALED.format("ledger"))
    run_step(lambda connection: seal_quarantine(connection, "ledger"))
    run_script(DROP_CLEAR.format("ledger"))
