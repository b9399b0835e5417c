"""Settings that only the simulated national platform reads, its faults among them."""

from pathlib import Path

from pydantic import Field

from shared.runtime.settings import Settings


class PlatformSettings(Settings):
    """Settings that only the simulated national platform reads, its faults among them."""

    reporter_public_key: Path | None = Field(
        None, description="Ed25519 public key (PEM) that the national platform checks reports with"
    )
    witness_key: Path | None = Field(
        None, description="Ed25519 private key (PEM) that cosigns checkpoints; without one the platform is no witness"
    )
    fault_delay_seconds: float = 0.0
    fault_error_share: float = Field(0.0, ge=0, le=1, description="share of requests answered 503 unheard")
    fault_lost_reply_share: float = Field(0.0, ge=0, le=1, description="share kept but answered 504")
    fault_duplicate_share: float = Field(0.0, ge=0, le=1, description="share handled twice")
    fault_refusal_share: float = Field(0.0, ge=0, le=1, description="share refused though right")
    fault_seed: int = 1
    platform_roster: Path | None = Field(None, description="CSV of workers insured as employees")
