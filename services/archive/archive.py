"""`danbao archive`: move days from the table to files, verify them there, restore them, and prune them at last.

Resumable at every point: docs/decisions/0009 has what remains where, and what the next run does with it.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, TypeVar

from services.archive import days as table
from services.archive import files
from services.archive.jobs import Job, Written, bring_back, check_again, part_of, write_file
from shared.adapters.arrow.database import TOKEN, open_arrow
from shared.adapters.postgres.pool import Connection
from shared.domain.errors import Refused

FILE_LEAVES: Final = 500_000
"""The size bound of a file: what a job holds in memory, some 400 MB, and about 20 MB on the disk."""
LOCK: Final = 0x61726368697665
"""Session-level advisory lock: one archive runs at a time."""
Progress = Callable[[int], None]
"""Called with the number of rows done since the last call."""
T = TypeVar("T")


class Archive:
    """A folder of archived days, and the database they come from, reached as `danbao_archivist`."""

    def __init__(
        self, url: str, connection: Connection, folder: Path, after_days: int, workers: int, leaves: int = FILE_LEAVES
    ) -> None:
        self._url, self._connection, self._folder = url, connection, folder
        self._after, self._workers, self._leaves = after_days, workers, leaves

    async def due(self) -> list[date]:
        """Return the days that may be archived now, oldest first."""
        return (await table.read_days(self._connection)).due(self._after)

    async def count(self, day: date) -> int:
        """Count the rows of a day in the table."""
        return await table.count_rows(self._connection, day)

    async def archive(self, day: date, progress: Progress) -> files.Index:
        """Write, check and record the day, detach and drop its partition; resumes an interrupted run.

        `Refused` leaves the partition as it is.
        """
        days = await table.read_days(self._connection)
        if day not in days.attached | days.leaving | days.detached:
            raise Refused(f"{day} is archived" if days.is_archived(day) else f"there are no rows of {day}")
        await table.check_day(self._connection, day, self._after, days.last_closed)
        record = days.records.get(day)
        if record is not None and record.what == "archived" and await self._is_as_archived(day, record):
            index = files.read_index(self._of(day), record.index_sha256)
            files.check_files(self._of(day), index)
        elif day in days.attached:
            index = await self.write(day, progress)
        else:
            raise Refused(
                f"charging.{part_of(day)} is no partition of the table and differs from the archive; check it by hand"
            )
        if not await table.let_go(self._connection, day, days):
            raise Refused(f"{day} got rows while it was archived; it is in the table as before. Archive it again")
        return index

    async def _is_as_archived(self, day: date, record: table.Record) -> bool:
        return await table.count_rows(self._connection, day) == record.rows

    async def write(self, day: date, progress: Progress) -> files.Index:
        """Write and prove all files of the day, rename the folder to its final name, then record the day."""
        partial = self._of(day).with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        await table.index_late_rows(self._connection, day)
        jobs = await self._jobs(day, partial)
        with _processes(self._workers) as pool:
            await asyncio.to_thread(self._write_tokens, day, partial)
            written = await _run(pool, write_file, jobs, lambda one: progress(one.file.rows))
        index = await self._write_index(day, partial, jobs, written)
        shutil.rmtree(self._of(day), ignore_errors=True)
        partial.rename(self._of(day))
        _sync(self._folder)
        nodes = {batch: packed for one in written for batch, packed in one.nodes.items()}
        await table.note_archived(self._connection, index, files.digest(index.encode()), nodes)
        return index

    async def _jobs(self, day: date, folder: Path) -> list[Job]:
        batches = await table.read_batches(self._connection, day)
        enterprises = await table.read_enterprises(self._connection)
        return [
            Job(self._url, day, folder, f"rows-{number:04}.parquet", enterprises, group)
            for number, group in enumerate(table.split(batches, self._leaves), 1)
        ]

    def _write_tokens(self, day: date, folder: Path) -> None:
        with open_arrow(self._url) as database:
            sql = f"select distinct int8send(worker_key) || worker_rest as worker from charging.{part_of(day)}"
            files.write_tokens(folder, database.read(f"{sql} order by 1")["worker"].cast(TOKEN))

    async def _write_index(
        self, day: date, folder: Path, jobs: Sequence[Job], written: Sequence[Written]
    ) -> files.Index:
        files.write_batches(folder, [batch for one in written for batch in one.batches])
        rows = sum(one.file.rows for one in written)
        if (stored := await table.count_rows(self._connection, day)) != rows:
            raise Refused(f"{day} has {stored} rows, and its batches have {rows}: run danbao audit")
        others = (files.measure(folder, name) for name in (files.WORKERS, files.BATCHES))
        enterprises = dict(jobs[0].enterprises) if jobs else {}
        index = files.Index(day, rows, enterprises, (*others, *(one.file for one in written)))
        with (folder / files.INDEX).open("wb") as stream:
            stream.write(index.encode())
            stream.flush()
            os.fsync(stream.fileno())
        _sync(folder)
        return index

    async def verify(self, day: date, progress: Progress) -> files.Index:
        """Check every file of an archived day against its index and against the current roots of the manifests."""
        index, jobs = await self._archived_jobs(day)
        with _processes(self._workers) as pool:
            await _run(pool, check_again, jobs, progress)
        return index

    async def restore(self, day: date, progress: Progress) -> bool:
        """Restore an archived day to the table; False when it is there already: missing indexes are built."""
        if day in (await table.read_days(self._connection)).attached:
            await table.seal(self._connection, day)
            return False
        _, jobs = await self._archived_jobs(day)
        await table.begin_restoring(self._connection, day)
        with _processes(self._workers) as pool:
            await _run(pool, bring_back, jobs, progress)
        await table.end_restoring(self._connection, day)
        return True

    async def _archived_jobs(self, day: date) -> tuple[files.Index, list[Job]]:
        """Return the recorded files of an archived day and a job for each, with batches from the database."""
        days = await table.read_days(self._connection)
        record = days.records.get(day)
        if record is None or not days.is_archived(day):
            raise Refused(f"{day} is not archived")
        if record.what == "pruned":
            raise Refused(f"the archive of {day} was pruned after its retention period")
        index = files.read_index(self._of(day), record.index_sha256)
        await asyncio.to_thread(files.check_files, self._of(day), index)
        jobs = await self._jobs(day, self._of(day))
        whole = [batch for job in jobs for batch in job.batches]
        names = index.rows_files
        reported = {entry["batch"]: entry["file"] for entry in files.read_batches(self._of(day))}
        by_file = {name: [batch for batch in whole if reported.get(batch.batch) == name] for name in names}
        one = Job(self._url, day, self._of(day), "", index.enterprises, ())
        return index, [replace(one, name=name, batches=by_file[name]) for name in names]

    async def states(self) -> list[dict[str, Any]]:
        """Return state, rows and file bytes of every day that was ever archived."""
        days = await table.read_days(self._connection)
        return [
            {
                "day": record.day.isoformat(),
                "state": record.what if days.is_archived(record.day) else "in the table",
                "rows": record.rows,
                "bytes": record.bytes,
                "is_kept": record.what == "archived" and days.is_archived(record.day),
            }
            for record in sorted(days.records.values(), key=lambda each: each.day)
        ]

    async def past_retention(self, today: date, retention_days: int) -> list[date]:
        """Return archived days past their retention period, and days whose files outlived their record."""
        days = await table.read_days(self._connection)
        return sorted(
            day
            for day in days.records
            if days.is_archived(day)
            and day + timedelta(days=retention_days) < today
            and (days.records[day].what == "archived" or self._of(day).exists())
        )

    async def prune(self, day: date) -> None:
        """Record the day as pruned, then delete its files."""
        record = (await table.read_days(self._connection)).records[day]
        if record.what == "archived":
            await table.note(self._connection, day, "pruned", record.rows, record.bytes, record.index_sha256)
        shutil.rmtree(self._of(day))

    def _of(self, day: date) -> Path:
        return self._folder / day.isoformat()


async def _run(
    pool: ProcessPoolExecutor, work: Callable[[Job], T], jobs: Sequence[Job], done: Callable[[T], None]
) -> list[T]:
    """Run jobs in parallel processes; results are in the jobs' order. The first failure ends the run."""
    loop = asyncio.get_running_loop()

    async def one(job: Job) -> T:
        result = await loop.run_in_executor(pool, work, job)
        done(result)
        return result

    return list(await asyncio.gather(*(one(job) for job in jobs)))


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Start spawned processes, not forks of this one with its connections; a failure cancels waiting jobs.

    They start and import at once, while the caller still prepares their jobs.
    """
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))
    try:
        for _ in range(count):
            pool.submit(part_of, date.min)
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _sync(folder: Path) -> None:
    """Flush a folder's entries to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
