"""A charging worker without evidence: no hash of the received bytes, no leaf, no root. Only to be measured against.

Everything else is the worker as it is: `benchmarks/evidence.py` races the two.
"""

import sys
from collections.abc import Sequence

from services.charging.compose import compose
from services.charging.ingest import batch_reader
from services.charging.rows import row_encoding
from services.charging.settings import ChargingSettings
from services.charging.store import leaf_groups
from shared.adapters.run_service import run_service
from shared.domain.evidence.merkle import EMPTY_ROOT

_NOTHING = bytes(32)


def _hash_none(*pieces: Sequence[bytes]) -> list[bytes]:
    return [_NOTHING] * len(pieces[0])


def take_evidence_out() -> None:
    """The rest of this process charges without."""
    for place, name, stand_in in (
        (batch_reader, "hash_all", _hash_none),
        (row_encoding, "hash_all", _hash_none),
        (leaf_groups, "subtree_roots", lambda leaves, height, _: [_NOTHING] * -(-len(leaves) >> height)),
        (leaf_groups, "root", lambda _: EMPTY_ROOT),
    ):
        setattr(place, name, stand_in)


if __name__ == "__main__":
    take_evidence_out()
    sys.exit(run_service("charging", ChargingSettings, compose))
