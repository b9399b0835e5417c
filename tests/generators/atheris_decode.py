"""Coverage-guided fuzzing of decoder and reader, for who has atheris (`pip install atheris`; no dependency of ours).

    .venv/bin/python -m tests.generators.atheris_decode FOLDER -max_total_time=300

FOLDER keeps what it found interesting; begin with the samples of `docs/contracts/samples` in it. What stops it becomes
a file of `tests/corpus`.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

TOPIC = "orders.v1.91000000FAKE00004Q"
NOON_MS = 1_790_827_200_000


def main(arguments: Sequence[str]) -> None:
    """Run until the time is over or something breaks."""
    atheris: Any = importlib.import_module("atheris")
    # Nothing of ours is imported before this: what is, is not followed.
    with atheris.instrument_imports(include=["services.charging", "shared.domain", "shared.contracts"]):
        house = importlib.import_module("tests.contract.test_decode")
    reader = house.reader()

    def take(data: bytes) -> None:
        batch = reader.read([house.Record(TOPIC, 0, 0, NOON_MS, b"k", data)], 1)
        assert len(batch.rows) + len(batch.parked) + len(batch.declarations) == len(batch.totals) == 1

    atheris.Setup([*arguments], take)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
