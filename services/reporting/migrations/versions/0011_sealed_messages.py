"""The bytes of quarantined messages are sealed under a key a day, which is destroyed in time (docs/decisions/0019)."""

from shared.adapters.postgres.migrations import run_script, run_step
from shared.adapters.postgres.sealing.sealed_messages import ADD_SEALED, DROP_CLEAR, seal_quarantine

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Seal what is there, drop what was in clear."""
    run_script(ADD_SEALED.format("reporting"))
    run_step(lambda connection: seal_quarantine(connection, "reporting"))
    run_script(DROP_CLEAR.format("reporting"))
