"""Run the audit: read every schema as `danbao_auditor`, in one snapshot, and trust no total.

I1 to I8 as far as rows can show them. The national platform's database is read after the others, so that it may hold
more than reporting knows of, never less.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from services.audit.books.billing import check_billing
from services.audit.books.bookings import Books
from services.audit.books.day_counts import check_counts
from services.audit.books.evidence_log import Views, check_log
from services.audit.charging.assessments import check_assessments
from services.audit.charging.assignments import check_assignments
from services.audit.charging.deployments import Charging, join_facts, join_workers
from services.audit.charging.identities import check_identities
from services.audit.charging.manifests import check_manifests
from services.audit.charging.outside import check_decisions, check_outside
from services.audit.charging.quarantine import check_quarantine
from services.audit.charging.row_contents import ARCHIVE, RowReader
from services.audit.charging.settlements import check_settlements
from services.audit.facts import PATIENCE, read_facts
from services.audit.reporting.portal import check_portal
from services.audit.reporting.register import check_register
from services.audit.reporting.reports import Reports
from services.audit.verdict import Verdict
from shared.adapters.crypto.signing import is_signed
from shared.adapters.files.scheme import load_scheme
from shared.adapters.files.vkeys import read_authors, read_vkeys
from shared.adapters.postgres.pool import Connection, open_pool
from shared.domain.errors import Refused
from shared.domain.evidence.authors import Authors
from shared.runtime.command_settings import CommandSettings
from shared.runtime.deployments import load_deployments

CHARGING_DATABASES: Final = "DANBAO_AUDIT_CHARGING_DATABASES"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the audit reads: URLs of the databases, the scheme's directories, the log's keys, archived days.

    `patience`: what waits for another service is missing only when it has waited so long. `charging`: the database of
    each deployment by its name, whose archive is the folder of that name; empty where one database has both schemas.
    """

    database: str
    platform_database: str
    scheme: tuple[Path, ...]
    vkeys: Path | None = None
    archive: Path = ARCHIVE
    patience: timedelta = PATIENCE
    charging: Mapping[str, str] = field(default_factory=dict)


def sources_from(settings: CommandSettings) -> Sources:
    """DANBAO_AUDIT_DATABASE and DANBAO_AUDIT_PLATFORM_DATABASE, else the URLs of the settings.

    Where charging is several deployments, DANBAO_AUDIT_CHARGING_DATABASES has `name=URL` of each, separated by spaces.
    Raises Refused where that is not all of them: what some databases hold is not what the books say.
    """
    names = load_deployments(settings).names
    parts = settings.audit_charging_databases.get_secret_value().split()
    if not all(re.match(r"[\w-]+=", part) for part in parts):
        raise Refused(f"{CHARGING_DATABASES} is not name=URL of each deployment, separated by spaces")
    charging = dict(part.partition("=")[::2] for part in parts)
    if charging.keys() != (names if len(names) > 1 else set()):
        raise Refused(f"{CHARGING_DATABASES} names {_listed(charging)}; the deployments are {_listed(names)}")
    return Sources(
        (settings.audit_database or settings.database).get_secret_value(),
        (settings.audit_platform_database or settings.platform_database).get_secret_value(),
        tuple(settings.scheme),
        settings.vkeys,
        settings.archive,
        charging=charging,
    )


async def audit_all(sources: Sources) -> Verdict:
    """Run every check; raises what the databases raise when they do not answer."""
    verdict = Verdict()
    vkeys = read_vkeys(sources.vkeys) if sources.vkeys else None
    authors = Authors(read_authors(sources.vkeys) if sources.vkeys else (), is_signed)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(_snapshot(sources.database))
        charging = await _read_charging(stack, sources, connection, verdict)
        platform = await stack.enter_async_context(_snapshot(sources.platform_database))
        later = await stack.enter_async_context(_connection(sources.database))
        for part in charging:
            await _check_charging(part, verdict)
        facts = join_facts([part.facts for part in charging])
        workers, books = join_workers([part.rows.workers for part in charging]), Books(facts, verdict)
        rows = [part.connection for part in charging]
        for name, work in {
            "books": lambda: books.check(connection),
            "counts": lambda: check_counts(connection, charging, verdict),
            "outside": lambda: check_outside(connection, charging, facts, verdict),
            "billing": lambda: check_billing(connection, facts, books, verdict),
            "reports": lambda: Reports(facts, workers, verdict).check(connection, platform, later),
            "the log": lambda: check_log(Views(connection, platform, later), facts, verdict, vkeys, authors),
            "register": lambda: check_register(connection, rows, verdict, facts.patience),
            "the portal": lambda: check_portal(connection, facts, verdict),
            "quarantine": lambda: check_quarantine(connection, rows, verdict),
            "identities": lambda: check_identities(connection, rows, verdict),
        }.items():
            async with verdict.part(name):
                await work()
    verdict.checks.sort(key=lambda check: (check.invariant[0] != "I", int(check.invariant[1:])))
    return verdict


async def _read_charging(
    stack: AsyncExitStack, sources: Sources, books: Connection, verdict: Verdict
) -> list[Charging]:
    """Read every row of every deployment, each in one snapshot that is not older than the books'."""
    scheme = load_scheme(sources.scheme)
    reads = verdict.check("I4", "every kept message reads as what it is")
    rates = verdict.check("I4", "every acceptance re-rated from the scheme files has the stored premium and line")
    if not sources.charging:
        facts = await read_facts(books, scheme, reads, sources.patience)
        deployments = [Charging(books, facts, RowReader(facts, rates))]
    else:
        deployments = []
    for name, url in sources.charging.items():
        connection = await stack.enter_async_context(_snapshot(url))
        facts = await read_facts(books, scheme, reads, sources.patience, connection)
        if facts.deployment != name:
            raise Refused(f"the database that {CHARGING_DATABASES} names for {name} is that of {facts.deployment}")
        deployments.append(Charging(connection, facts, RowReader(facts, rates)))
    for deployment in deployments:
        archive = sources.archive / deployment.facts.deployment if sources.charging else sources.archive
        await deployment.rows.read(deployment.connection, archive)
    return deployments


async def _check_charging(charging: Charging, verdict: Verdict) -> None:
    """Check one deployment's database against itself."""
    connection, facts = charging.connection, charging.facts
    for name, work in {
        "manifests": lambda: check_manifests(connection, facts, charging.rows, verdict),
        "assessments": lambda: check_assessments(connection, facts, verdict),
        "decisions": lambda: check_decisions(connection, facts, verdict),
        "settlements": lambda: check_settlements(connection, facts, verdict),
        "assignments": lambda: check_assignments(connection, facts, verdict),
    }.items():
        async with verdict.part(name):
            await work()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


@asynccontextmanager
async def _snapshot(url: str) -> AsyncIterator[Connection]:
    """Open a connection inside one read-only snapshot."""
    async with _connection(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield connection


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[Connection]:
    async with open_pool(url, size=1) as pool, pool.acquire() as connection:
        yield connection
