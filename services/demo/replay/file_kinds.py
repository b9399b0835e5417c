"""Decide by a file's name how `danbao replay` reads it."""

from pathlib import Path
from typing import Final

from shared.domain.errors import Refused

NDJSON: Final = None
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t", ".ndjson": NDJSON, ".jsonl": NDJSON}


def delimiter_of(file: Path) -> str | None:
    """Return what separates the columns of a table, or None for NDJSON; raises Refused for any other name.

    The case of the letters does not matter, and each may be packed by gzip.
    """
    name = file.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in _DELIMITERS:
        known = ", ".join(_DELIMITERS)
        raise Refused(f"{file}: not a kind of file that replay reads; it reads {known}, each also with .gz behind it")
    return _DELIMITERS[suffix]
