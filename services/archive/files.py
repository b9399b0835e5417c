"""Read and write an archived day as files.

The files are `index.json`, `workers.parquet`, `batches.parquet` and `rows-0001.parquet`, `rows-0002…`. The index
names every other file with its SHA-256; the hash of the index is stored in `charging.archive`. A file of rows has
whole batches, each sorted by time (`services.archive.time_order`); `worker` is the index of the token in
`workers.parquet`, which is sorted.
`batches.parquet` has a row for each batch of the day: what its manifest says, how many rows of the day it has, and the
subtrees over its other leaves (`shared.domain.evidence.partial_tree.pack`).
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.archive.rows import SCHEMA, exact
from services.archive.time_order import RUN, SKIPPED, sort_by_leaf, sort_by_time
from services.charging.rows.order_columns import Piece, columns_of
from shared.domain.errors import Refused
from shared.domain.times import read_day

VERSION: Final = 2
_READ: Final = (1, 2)
"""Readable versions: the first had rows by leaf (`services.archive.time_order`) and no `recorded_at`."""
INDEX: Final = "index.json"
WORKERS: Final = "workers.parquet"
BATCHES: Final = "batches.parquet"
_RISING: Final = ("batch", "accepted_at", "ended_at", "sequence", "recorded_at")
"""Columns that rise within a batch, delta-encoded."""
_RANDOM: Final = ("worker",)
"""Numbers below a bound that is far below their type's: first bytes apart from second ones, and so on."""
_REPEATED: Final = (*(column.name for column in columns_of(Piece.TEMPLATE, Piece.VARIABLE)), "region", RUN, SKIPPED)
_LEVEL: Final = 1
"""Of zstd: higher ones made random digits larger, hardly anything smaller, and took up to six times as long."""


@dataclass(frozen=True, slots=True)
class File:
    """Name, SHA-256 in hex, bytes and rows of a file."""

    name: str
    sha256: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Index:
    """Contents of a day's folder; `enterprises` maps the numbers in rows to USCCs."""

    day: date
    rows: int
    enterprises: dict[int, str]
    files: tuple[File, ...]

    def encode(self) -> bytes:
        """Return the JSON text of `index.json`."""
        reported = asdict(self) | {"version": VERSION, "day": self.day.isoformat()}
        return json.dumps(reported, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> "Index":
        """Parse the result of `encode`; `Refused` for anything else."""
        try:
            reported = json.loads(text)
            if reported["version"] not in _READ:
                raise Refused(f"an archive of version {reported['version']}, and this program reads up to {VERSION}")
            enterprises = {int(number): str(uscc) for number, uscc in reported["enterprises"].items()}
            files = tuple(File(**file) for file in reported["files"])
            return cls(read_day(reported["day"]), int(reported["rows"]), enterprises, files)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Refused(f"an archive's index does not read: {error!r}") from error

    @property
    def bytes(self) -> int:
        """Total bytes of all files."""
        return sum(file.bytes for file in self.files)

    @property
    def rows_files(self) -> list[str]:
        """The names of the files that hold rows, in order."""
        return [file.name for file in self.files if file.name.startswith("rows-")]


def digest(text: bytes) -> str:
    """Return the SHA-256 in hex."""
    return sha256(text).hexdigest()


def measure(folder: Path, name: str) -> File:
    """Flush a written file to disk and return its index entry."""
    path = folder / name
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        sha256_hex = file_digest(stream, "sha256").hexdigest()
    return File(name, sha256_hex, path.stat().st_size, pq.read_metadata(path).num_rows)


def read_index(folder: Path, expected: str) -> Index:
    """Read a day's index; `Refused` when it is missing or its SHA-256 is not `expected`."""
    try:
        text = (folder / INDEX).read_bytes()
    except OSError as error:
        raise Refused(f"{folder}: the archive is not there: {error}") from error
    if (actual := digest(text)) != expected:
        raise Refused(f"{folder / INDEX}: SHA-256 {actual}, and {expected} was archived")
    return Index.decode(text)


def check_files(folder: Path, index: Index) -> None:
    """Check every file against its SHA-256 in the index; `Refused` names the first that differs."""
    for file in index.files:
        try:
            with (folder / file.name).open("rb") as stream:
                actual = file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise Refused(f"{folder / file.name}: {error}") from error
        if actual != file.sha256:
            raise Refused(f"{folder / file.name}: SHA-256 {actual}, and {file.sha256} was archived")


def write_tokens(folder: Path, tokens: pa.ChunkedArray) -> None:
    """Write the day's worker tokens; they are random, so no encoding makes them smaller."""
    _write(folder / WORKERS, pa.table({"worker": tokens}), (), ())


def read_tokens(folder: Path) -> pa.ChunkedArray:
    """Read the day's worker tokens, in the order of their indexes."""
    return pq.read_table(folder / WORKERS)["worker"]


def write_rows(path: Path, rows: pa.Table, tokens: pa.ChunkedArray) -> None:
    """Write rows, each token replaced by its index; `Refused` for a token that is not among the day's."""
    places = pc.index_in(rows["worker"], tokens.combine_chunks())
    if places.null_count:
        raise Refused(f"{path.name}: {places.null_count} rows of workers who were not there before")
    rows = rows.set_column(rows.schema.get_field_index("worker"), "worker", places)
    _write(path, sort_by_time(rows), _RISING, _REPEATED)


def read_rows_file(path: Path, tokens: pa.ChunkedArray) -> pa.Table:
    """Read rows with whole tokens, in the schema and order of `services.archive.read_archive.read_rows`."""
    rows = sort_by_leaf(pq.read_table(path))
    if (late := SCHEMA.field("recorded_at")).name not in rows.column_names:
        rows = rows.append_column(late, pa.nulls(rows.num_rows, late.type))
    place = rows.schema.get_field_index("worker")
    return exact(rows.set_column(place, "worker", tokens.take(rows["worker"])))


def write_batches(folder: Path, batches: Sequence[dict[str, Any]]) -> None:
    """Write a row for each batch: batch, run, number, leaves, root, rows, others, file."""
    schema = pa.schema(
        [
            ("batch", pa.int64()), ("run", pa.string()), ("number", pa.int32()), ("leaves", pa.int32()),
            ("root", pa.binary()), ("rows", pa.int32()), ("others", pa.binary()), ("file", pa.string()),
        ]
    )  # fmt: skip
    _write(folder / BATCHES, pa.Table.from_pylist(list(batches), schema), ("batch",), ("run", "file"))


def read_batches(folder: Path) -> list[dict[str, Any]]:
    """Read the rows that `write_batches` wrote."""
    batches: list[dict[str, Any]] = pq.read_table(folder / BATCHES).to_pylist()
    return batches


def _write(path: Path, table: pa.Table, rising: Sequence[str], repeated: Sequence[str]) -> None:
    encodings = dict.fromkeys(rising, "DELTA_BINARY_PACKED")
    if "order_id" in table.column_names:
        encodings |= dict.fromkeys(_RANDOM, "BYTE_STREAM_SPLIT") | {"order_id": "DELTA_BYTE_ARRAY"}
    pq.write_table(
        table, path, compression="zstd", compression_level=_LEVEL, row_group_size=max(1, table.num_rows),
        use_dictionary=list(repeated), column_encoding=encodings, write_statistics=False,
    )  # fmt: skip
