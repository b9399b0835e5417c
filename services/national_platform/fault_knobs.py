"""Fault knobs: what goes wrong on purpose, decided by a seed, so that a run can be repeated.

A decision depends on the seed, the fault, the idempotency key and how often that key was heard before, and on
nothing else: not on the order in which reports arrive.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Final

from services.national_platform.settings import PlatformSettings

_SPAN: Final = 2**64


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults injected into one request."""

    delay_seconds: float
    is_unheard: bool
    is_reply_lost: bool
    is_duplicated: bool
    is_refused: bool


class FaultKnobs:
    """Draws the faults of each request from the settings' shares."""

    def __init__(self, settings: PlatformSettings) -> None:
        self._settings = settings
        self._heard: Counter[str] = Counter()

    def draw(self, key: str) -> Faults:
        """The faults of the next request under this idempotency key."""
        settings = self._settings
        self._heard[key] += 1
        return Faults(
            settings.fault_delay_seconds,
            self._falls("error", key, settings.fault_error_share),
            self._falls("lost_reply", key, settings.fault_lost_reply_share),
            self._falls("duplicate", key, settings.fault_duplicate_share),
            self._falls("refusal", key, settings.fault_refusal_share),
        )

    def _falls(self, fault: str, key: str, share: float) -> bool:
        if not share:
            return False
        text = f"{self._settings.fault_seed}\n{fault}\n{self._heard[key]}\n{key}"
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        return number < share * _SPAN
