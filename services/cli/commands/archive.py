"""`danbao archive`: sealed days as files that prove themselves, and back. Logs in as danbao_archivist."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.commands.operator import AsOf, Json, State
from shared.runtime.exits import Exit

if TYPE_CHECKING:
    from datetime import date

    from services.archive.archive import Archive
    from services.archive.files import Index
    from shared.runtime.command_settings import CommandSettings

Day = Annotated[str, typer.Argument(help="An insured day, such as 2026-10-03.")]


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    words = "Sealed days as files that prove themselves, and back (docs/operating.md)."
    archive = typer.Typer(help=words, no_args_is_help=True)
    archive.command("days")(archive_days)
    archive.command("restore")(restore)
    archive.command("verify")(verify)
    archive.command("list")(show)
    archive.command("prune")(prune)
    app.add_typer(archive, name="archive")


def archive_days(state: State = None) -> int:
    """Archive every day that is old enough, oldest first; goes on where it was cut short. 1 names days that failed."""
    from services.archive.day_by_day import try_days
    from services.demo.progress import progress_bar
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.adapters.postgres.faults import Fault

    async def work() -> Exit:
        async with _open(settings_from(state)) as archive:

            async def archive_one(day: "date") -> "Index":
                with progress_bar(f"archiving {day}", None) as bar:
                    return await archive.archive(day, bar.advance)

            days = await archive.due()
            failed = 0
            async for day, done in try_days(days, archive_one):
                if isinstance(done, Fault):
                    failed += 1
                    print(f"{day} FAILED, its rows stay in the table: {done.reason}: {done.detail}")
                    continue
                share = done.bytes / max(1, done.rows)
                print(f"{day}: {done.rows:,} rows in {len(done.rows_files)} files, {share:.1f} bytes a row")
            print(f"{len(days) - failed} days archived" if days else "no day is old enough")
        return Exit.FAILED if failed else Exit.OK

    return run_work(work())


def restore(day: Day, state: State = None) -> int:
    """Bring an archived day back into the table, every row checked."""
    from services.demo.progress import progress_bar
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.domain.times import read_day

    async def work() -> bool:
        async with _open(settings_from(state)) as archive:
            with progress_bar(f"restoring {day}", None) as bar:
                return await archive.restore(read_day(day), bar.advance)

    print(f"{day} is in the table again" if run_work(work()) else f"{day} is in the table")
    return Exit.OK


def verify(
    day: Annotated[str, typer.Argument(help="An archived day; all of them when not given.")] = "", state: State = None
) -> int:
    """Check archived files: their hashes, and every batch's root worked out from their rows. 1 names what is wrong."""
    from services.demo.progress import progress_bar
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.domain.errors import Refused
    from shared.domain.times import read_day

    async def work() -> Exit:
        status = Exit.OK
        async with _open(settings_from(state)) as archive:
            kept = [row["day"] for row in await archive.states() if row["is_kept"]]
            for archived_on in map(read_day, [day] if day else kept):
                with progress_bar(f"checking {archived_on}", None) as bar:
                    try:
                        index = await archive.verify(archived_on, bar.advance)
                    except Refused as error:
                        status = Exit.FAILED
                        print(f"{archived_on} FAILED: {error}")
                        continue
                print(f"{archived_on} passed: {index.rows:,} rows give the roots of their manifests")
        return status

    return run_work(work())


def show(state: State = None, as_json: Json = False) -> int:
    """List the days that were ever archived."""
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    async def work() -> list[dict[str, object]]:
        async with _open(settings_from(state)) as archive:
            return await archive.states()

    days = run_work(work())
    if as_json:
        print(json.dumps({"days": days}))
    for row in [] if as_json else days:
        print(f"{row['day']}  {row['state']:<12} {row['rows']:>12,} rows {row['bytes']:>14,} bytes")
    return Exit.OK


def prune(
    is_agreed: Annotated[bool, typer.Option("--yes", help="Delete them. Without it they are only listed.")] = False,
    as_of: AsOf = "",
    state: State = None,
) -> int:
    """Delete archived days that are older than DANBAO_RETENTION_DAYS. They cannot be proved or restored afterwards."""
    from services.cli.operations.service_requests import parse_instant
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    settings, today = settings_from(state), parse_instant(as_of).date()

    async def work() -> None:
        async with _open(settings) as archive:
            days = await archive.past_retention(today, settings.retention_days)
            for day in days:
                if is_agreed:
                    await archive.prune(day)
                print(f"{day} {'deleted' if is_agreed else 'would be deleted: --yes does it'}")
            print(f"{len(days)} days older than {settings.retention_days} days on {today}")

    run_work(work())
    return Exit.OK


@asynccontextmanager
async def _open(settings: "CommandSettings") -> "AsyncIterator[Archive]":
    from services.demo.running.state import require_database
    from shared.adapters.postgres.pool import open_pool
    from shared.domain.errors import Refused

    require_database(settings)
    try:
        from services.archive.archive import LOCK, Archive
    except ImportError as error:
        raise Refused(f"danbao archive needs the extra `archive` (pip install 'danbao[archive]'): {error}") from error
    if settings.archive_after_days <= settings.max_age_days:
        raise Refused(
            f"DANBAO_ARCHIVE_AFTER_DAYS has to be more than DANBAO_MAX_AGE_DAYS ({settings.max_age_days}):"
            " orders that come late would find no part"
        )
    url = settings.database.get_secret_value()
    async with open_pool(url, size=1) as pool, pool.acquire() as connection:
        if not await connection.fetchval("select pg_try_advisory_lock($1)", LOCK):
            raise Refused("another danbao archive is at work")
        yield Archive(url, connection, Path(settings.archive), settings.archive_after_days, settings.archive_processes)
