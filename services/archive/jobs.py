"""Write, check and restore one file of rows, each job in a separate process.

A job gets everything it needs and returns its result; it changes no record. `Refused` says what does not agree.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from services.archive import files
from services.archive.other_tables import OtherLeaves
from services.archive.read_archive import LEAVES_AT_ONCE, read_rows
from services.archive.rows import fixed_bytes, leaf_hashes
from shared.adapters.arrow.database import open_arrow
from shared.adapters.arrow.hashing import merkle_root
from shared.adapters.crypto.hashing import check_hashing
from shared.domain.errors import Refused
from shared.domain.evidence.partial_tree import fold, free_ranks, pack, unpack, whole_root

_HASH: Final = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """A manifest in the database, with the insured days of its rows."""

    batch: int
    run: str
    number: int
    leaves: int
    root: bytes
    days: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One file of a day: its folder and its batches."""

    url: str
    day: date
    folder: Path
    name: str
    enterprises: Mapping[int, str]
    batches: Sequence[Batch]


@dataclass(frozen=True, slots=True)
class Written:
    """A written and proved file; `nodes`: by batch of several days, the subtrees over this day's rows."""

    file: files.File
    batches: list[dict[str, Any]]
    nodes: dict[int, bytes]


def write_file(job: Job) -> Written:
    """Write rows from the database to a file, read them back, and compute every root from the file."""
    tokens = files.read_tokens(job.folder)
    with open_arrow(job.url) as database:
        rows = read_rows(database, part_of(job.day), {batch.batch: batch.leaves for batch in job.batches})
        files.write_rows(job.folder / job.name, rows, tokens)
        counts = Counter({number: to - at for number, (at, to) in _spans(rows["batch"]).items()})
        there = [batch for batch in job.batches if counts[batch.batch]]
        mixed = [batch for batch in there if counts[batch.batch] < batch.leaves]
        others = OtherLeaves(database, job.day, job.enterprises, mixed).read(_leaf_indexes(rows, mixed))
    reported = [
        {
            "batch": batch.batch, "run": batch.run, "number": batch.number, "leaves": batch.leaves, "root": batch.root,
            "rows": counts[batch.batch], "others": pack(others.get(batch.batch, {})), "file": job.name,
        }
        for batch in there
    ]  # fmt: skip
    own = check_file(job, tokens, reported)
    several = {batch.batch for batch in there if len(batch.days) > 1}
    nodes = {number: pack(subtrees) for number, subtrees in own.items() if number in several}
    return Written(files.measure(job.folder, job.name), reported, nodes)


def check_file(
    job: Job, tokens: pa.ChunkedArray, reported: Sequence[Mapping[str, Any]], rows: pa.Table | None = None
) -> dict[int, dict[tuple[int, int], bytes]]:
    """Compute the root of each batch from the file's rows and the stored subtrees; compare it with the manifest's.

    Returns the subtrees over the file's rows of batches that have other leaves, too.
    """
    check_hashing()
    rows = files.read_rows_file(job.folder / job.name, tokens) if rows is None else rows
    hashes = np.frombuffer(leaf_hashes(rows, job.enterprises), np.uint8).reshape(-1, _HASH)
    manifests = {batch.batch: batch for batch in job.batches}
    spans = _spans(rows["batch"])
    counts = [(batch, to - at) for batch, (at, to) in spans.items()]
    if [(entry["batch"], entry["rows"]) for entry in reported] != counts:
        raise Refused(f"{job.name}: {rows.num_rows} rows, which are not those of its batches")
    own: dict[int, dict[tuple[int, int], bytes]] = {}
    for entry in reported:
        at, to = spans[entry["batch"]]
        leaves = hashes[at:to]
        manifest, others = manifests.get(entry["batch"]), unpack(entry["others"])
        if manifest is None or (entry["leaves"], entry["root"]) != (manifest.leaves, manifest.root):
            raise Refused(f"{job.name}: run {entry['run']} number {entry['number']} has another manifest, or none")
        if others:
            ranks = free_ranks(manifest.leaves, others)
            own[entry["batch"]] = fold({(0, rank): leaf.tobytes() for rank, leaf in zip(ranks, leaves, strict=False)})
            root = whole_root(manifest.leaves, own[entry["batch"]] | others) if len(ranks) == len(leaves) else b""
        else:
            root = merkle_root(leaves)
        if root != manifest.root or (not others and len(leaves) != manifest.leaves):
            raise Refused(f"{job.name}: the rows of run {entry['run']} number {entry['number']} do not give its root")
    return own


def check_again(job: Job) -> int:
    """Check a file of an archived day and return the number of its rows."""
    reported = [batch for batch in files.read_batches(job.folder) if batch["file"] == job.name]
    check_file(job, files.read_tokens(job.folder), reported)
    return sum(int(entry["rows"]) for entry in reported)


def bring_back(job: Job) -> int:
    """Check a file, copy its rows into the table that is being restored, and read them back from there."""
    tokens = files.read_tokens(job.folder)
    reported = [batch for batch in files.read_batches(job.folder) if batch["file"] == job.name]
    rows = files.read_rows_file(job.folder / job.name, tokens)
    check_file(job, tokens, reported, rows)
    with open_arrow(job.url) as database:
        database.append("charging", restoring_of(job.day), _stored(rows))
        database.read(f"select brin_summarize_new_values('charging.{restoring_of(job.day)}_by_batch')")
        # Larger groups than elsewhere: each query scans rows that other jobs are copying, which no index covers yet.
        wanted = {entry["batch"]: entry["rows"] for entry in reported}
        back = read_rows(database, restoring_of(job.day), wanted, 4 * LEAVES_AT_ONCE)
    if not back.equals(rows):
        raise Refused(f"{job.name}: the rows that were brought back are not those of the file")
    return int(rows.num_rows)


def part_of(day: date) -> str:
    """Return the name of a day's partition."""
    return f"entry_{day:%Y%m%d}"


def restoring_of(day: date) -> str:
    """Return the name of the table that is attached as the partition after a restore."""
    return f"restoring_{day:%Y%m%d}"


def _stored(rows: pa.Table) -> pa.Table:
    """Split the token into the table's two columns: its first eight bytes as a signed number, and the rest."""
    tokens = fixed_bytes(rows["worker"])
    key = pa.array(np.ascontiguousarray(tokens[:, :8]).view(">i8").reshape(-1).astype(np.int64))
    rest = pa.Array.from_buffers(
        pa.binary(24), rows.num_rows, [None, pa.py_buffer(np.ascontiguousarray(tokens[:, 8:]).tobytes())]
    )
    received = rows["received"].cast(pa.binary())
    kept = rows.drop_columns(["worker", "received"])
    return (
        kept.append_column("worker_key", key)
        .append_column("worker_rest", rest.cast(pa.binary()))
        .append_column("received", received)
    )


def _spans(batches: pa.ChunkedArray) -> dict[int, tuple[int, int]]:
    """Return where the rows of each batch begin and end, in a table sorted by batch."""
    numbers = batches.to_numpy()
    first = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]]) if len(numbers) else np.zeros(0, np.int64)
    ends = [*first[1:].tolist(), len(numbers)]
    return dict(zip(numbers[first].tolist(), zip(first.tolist(), ends, strict=False), strict=True))


def _leaf_indexes(rows: pa.Table, mixed: Sequence[Batch]) -> dict[int, list[int]]:
    """Return the leaf indexes of the rows of these batches."""
    wanted = {batch.batch for batch in mixed}
    indexes: dict[int, list[int]] = defaultdict(list)
    if wanted:
        for number, index in zip(rows["batch"].to_pylist(), rows["leaf_index"].to_pylist(), strict=True):
            if number in wanted:
                indexes[number].append(index)
    return indexes
