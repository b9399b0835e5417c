"""Settings that only the ledger reads."""

from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from shared.runtime.settings import Settings, split_paths


class LedgerSettings(Settings):
    """Settings that only the ledger reads."""

    log_keys: Annotated[list[Path], NoDecode] = Field(
        default_factory=list,
        description="Ed25519 private keys (PEM) that sign checkpoints, colon-separated; during a change of keys both",
    )
    books_open_on: date | None = Field(None, description="first day of the books; today when migrated without one")
    checkpoint_seconds: float = Field(
        60.0, description="a log that has grown is signed after so long; 0: at every check"
    )
    cosign_timeout_seconds: float = Field(
        300.0, description="a checkpoint without a cosignature for longer raises the alarm checkpoint_unwitnessed"
    )

    @field_validator("log_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return split_paths(value)
