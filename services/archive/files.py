"""An archived day as files: `index.json`, `workers.parquet`, `batches.parquet` and `rows-0001.parquet`, `rows-0002…`.

The index names every other file with its SHA-256; the hash of the index is stored in `charging.archive`. A file of rows
has whole batches, each sorted by time (`services.archive.time_order`); `worker` is the place of the token in
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

VERSION: Final = 2
_READ: Final = (1, 2)
"""Versions that are read: the first had rows by leaf (`services.archive.time_order`) and no `recorded_at`."""
INDEX: Final = "index.json"
WORKERS: Final = "workers.parquet"
BATCHES: Final = "batches.parquet"
_RISING: Final = ("batch", "accepted_at", "ended_at", "sequence", "recorded_at")
"""Runs on within a batch: differences are written."""
_RANDOM: Final = ("worker",)
"""Numbers below a bound that is far below their type's: first bytes apart from second ones, and so on."""
_REPEATED: Final = (*(column.name for column in columns_of(Piece.TEMPLATE, Piece.VARIABLE)), "region", RUN, SKIPPED)
_LEVEL: Final = 1
"""Of zstd: higher ones made random digits larger, hardly anything smaller, and took up to six times as long."""


@dataclass(frozen=True, slots=True)
class File:
    """One file: its name, SHA-256 in hex, and how much it holds."""

    name: str
    sha256: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Index:
    """What a day's folder holds; `enterprises` are the small numbers that rows have for them."""

    day: date
    rows: int
    enterprises: dict[int, str]
    files: tuple[File, ...]

    def encode(self) -> bytes:
        """As it is written."""
        reported = asdict(self) | {"version": VERSION, "day": self.day.isoformat()}
        return json.dumps(reported, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> "Index":
        """What `encode` made; `Refused` for anything else."""
        try:
            reported = json.loads(text)
            if reported["version"] not in _READ:
                raise Refused(f"an archive of version {reported['version']}, and this program reads up to {VERSION}")
            enterprises = {int(number): str(uscc) for number, uscc in reported["enterprises"].items()}
            files = tuple(File(**file) for file in reported["files"])
            return cls(date.fromisoformat(reported["day"]), int(reported["rows"]), enterprises, files)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Refused(f"an archive's index does not read: {error!r}") from error

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(file.bytes for file in self.files)

    @property
    def rows_files(self) -> list[str]:
        """The names of the files that hold rows, in order."""
        return [file.name for file in self.files if file.name.startswith("rows-")]


def digest(text: bytes) -> str:
    """SHA-256 in hex."""
    return sha256(text).hexdigest()


def measure(folder: Path, name: str) -> File:
    """A written file as the index names it; it is on the disk when this returns."""
    path = folder / name
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        sha256_hex = file_digest(stream, "sha256").hexdigest()
    return File(name, sha256_hex, path.stat().st_size, pq.read_metadata(path).num_rows)


def read_index(folder: Path, expected: str) -> Index:
    """The index of a day whose SHA-256 is `expected`; `Refused` where it is missing or another one."""
    try:
        text = (folder / INDEX).read_bytes()
    except OSError as error:
        raise Refused(f"{folder}: the archive is not there: {error}") from error
    if (actual := digest(text)) != expected:
        raise Refused(f"{folder / INDEX}: SHA-256 {actual}, and {expected} was archived")
    return Index.decode(text)


def check_files(folder: Path, index: Index) -> None:
    """Every file has the SHA-256 that the index names; `Refused` names the first that has not."""
    for file in index.files:
        try:
            with (folder / file.name).open("rb") as stream:
                actual = file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise Refused(f"{folder / file.name}: {error}") from error
        if actual != file.sha256:
            raise Refused(f"{folder / file.name}: SHA-256 {actual}, and {file.sha256} was archived")


def write_tokens(folder: Path, tokens: pa.ChunkedArray) -> None:
    """The day's workers; they are random, so nothing makes them smaller."""
    _write(folder / WORKERS, pa.table({"worker": tokens}), (), ())


def read_tokens(folder: Path) -> pa.ChunkedArray:
    """The day's workers, by their places."""
    return pq.read_table(folder / WORKERS)["worker"]


def write_rows(path: Path, rows: pa.Table, tokens: pa.ChunkedArray) -> None:
    """Rows with whole tokens; `Refused` for a worker who is not among the day's."""
    places = pc.index_in(rows["worker"], tokens.combine_chunks())
    if places.null_count:
        raise Refused(f"{path.name}: {places.null_count} rows of workers who were not there before")
    rows = rows.set_column(rows.schema.get_field_index("worker"), "worker", places)
    _write(path, sort_by_time(rows), _RISING, _REPEATED)


def read_rows_file(path: Path, tokens: pa.ChunkedArray) -> pa.Table:
    """The rows with whole tokens, as `services.archive.rows.read_rows` gives them."""
    rows = sort_by_leaf(pq.read_table(path))
    if (late := SCHEMA.field("recorded_at")).name not in rows.column_names:
        rows = rows.append_column(late, pa.nulls(rows.num_rows, late.type))
    place = rows.schema.get_field_index("worker")
    return exact(rows.set_column(place, "worker", tokens.take(rows["worker"])))


def write_batches(folder: Path, batches: Sequence[dict[str, Any]]) -> None:
    """A row for each batch: batch, run, number, leaves, root, rows, others, file."""
    schema = pa.schema(
        [
            ("batch", pa.int64()), ("run", pa.string()), ("number", pa.int32()), ("leaves", pa.int32()),
            ("root", pa.binary()), ("rows", pa.int32()), ("others", pa.binary()), ("file", pa.string()),
        ]
    )  # fmt: skip
    _write(folder / BATCHES, pa.Table.from_pylist(list(batches), schema), ("batch",), ("run", "file"))


def read_batches(folder: Path) -> list[dict[str, Any]]:
    """What `write_batches` wrote."""
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
