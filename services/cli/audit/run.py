"""The audit: reads every schema as `danbao_auditor`, in one snapshot, and trusts no total.

I1 to I8 as far as rows can show them. The national platform's database is read after the others, so that it may hold
more than reporting knows of, never less.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.cli.audit.assessments import check_assessments
from services.cli.audit.billing import check_billing
from services.cli.audit.books import Books
from services.cli.audit.evidence_log import Views, check_log
from services.cli.audit.facts import PATIENCE, read_facts
from services.cli.audit.identity import check_identities
from services.cli.audit.manifests import check_counts, check_manifests
from services.cli.audit.portal import check_portal
from services.cli.audit.register import check_register
from services.cli.audit.reports import Reports
from services.cli.audit.rows import ARCHIVE, RowReader
from services.cli.audit.settlements import check_settlements
from services.cli.audit.verdict import Verdict
from shared.adapters.postgres import Connection, open_pool
from shared.adapters.scheme_files import load_scheme
from shared.adapters.vkey_files import read_vkeys
from shared.domain.errors import Refused
from shared.runtime.deployments import load_deployments
from shared.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the audit reads: URLs of both databases, the scheme's directories, the log's keys, archived days.

    `patience`: what waits for another service is missing only when it has waited so long.
    """

    database: str
    platform_database: str
    scheme: tuple[Path, ...]
    vkeys: Path | None = None
    archive: Path = ARCHIVE
    patience: timedelta = PATIENCE


def sources_from(settings: Settings) -> Sources:
    """DANBAO_AUDIT_DATABASE and DANBAO_AUDIT_PLATFORM_DATABASE, else the URLs of the settings.

    Raises Refused for several charging deployments: what one database holds is not what the books say.
    """
    if len(load_deployments(settings).names) > 1:
        raise Refused("the audit reads the rows of one charging deployment, and DANBAO_DEPLOYMENTS names several")
    return Sources(
        os.environ.get("DANBAO_AUDIT_DATABASE") or settings.database.get_secret_value(),
        os.environ.get("DANBAO_AUDIT_PLATFORM_DATABASE") or settings.platform_database.get_secret_value(),
        tuple(settings.scheme),
        settings.vkeys,
        settings.archive,
    )


async def audit_all(sources: Sources) -> Verdict:
    """Every check; raises what the databases raise when they do not answer."""
    verdict = Verdict()
    scheme, vkeys = load_scheme(sources.scheme), read_vkeys(sources.vkeys) if sources.vkeys else None
    async with (
        _snapshot(sources.database) as connection,
        _snapshot(sources.platform_database) as platform,
        _connection(sources.database) as later,
    ):
        reads = verdict.check("I4", "every kept message reads as what it is")
        facts = await read_facts(connection, scheme, reads, sources.patience)
        rates = verdict.check("I4", "every acceptance rated anew from the scheme files has the stored premium and line")
        rows, books = RowReader(facts, rates), Books(facts, verdict)
        await rows.read(connection, sources.archive)
        for name, work in {
            "manifests": lambda: check_manifests(connection, facts, rows, verdict),
            "assessments": lambda: check_assessments(connection, facts, verdict),
            "settlements": lambda: check_settlements(connection, facts, verdict),
            "books": lambda: books.check(connection),
            "counts": lambda: check_counts(connection, facts, rows, verdict),
            "billing": lambda: check_billing(connection, facts, books, verdict),
            "reports": lambda: Reports(facts, rows, verdict).check(connection, platform, later),
            "the log": lambda: check_log(Views(connection, platform, later), facts, verdict, vkeys),
            "register": lambda: check_register(connection, verdict, facts.patience),
            "the portal": lambda: check_portal(connection, facts, verdict),
            "identities": lambda: check_identities(connection, verdict),
        }.items():
            async with verdict.part(name):
                await work()
    verdict.checks.sort(key=lambda check: (check.invariant[0] != "I", int(check.invariant[1:])))
    return verdict


@asynccontextmanager
async def _snapshot(url: str) -> AsyncIterator[Connection]:
    """A connection inside one read-only snapshot."""
    async with _connection(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield connection


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[Connection]:
    async with open_pool(url, size=1) as pool, pool.acquire() as connection:
        yield connection
