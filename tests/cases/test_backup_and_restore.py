"""The commands that docs/operating.md gives for a backup and its way back work, on new servers."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from pydantic import SecretStr

from deploy.embedded.postgres import OWNER, EmbeddedPostgres, find_binaries
from services.demo.running.migrate import ROLES, migrate_all
from shared.adapters.postgres.pool import with_login
from shared.runtime.command_settings import CommandSettings
from tests.tidy.source import ROOT

PAGE: Final = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
COMMAND: Final = re.compile(
    r"^docker compose exec -T (?P<server>[a-z-]+) (?P<words>pg_\w+ .*) [<>] (?P<file>\S+)$", re.MULTILINE
)
DATABASES: Final = {"postgres": "danbao", "platform-postgres": "national_platform"}
PASSWORDS: Final = dict.fromkeys(ROLES, "a-password-of-a-login")


def commands(program: str) -> dict[str, tuple[list[str], str]]:
    """The page's command with this program for each server: its words, and its file."""
    matches = [match for match in COMMAND.finditer(PAGE) if match["words"].startswith(f"{program} ")]
    return {match["server"]: (shlex.split(match["words"]), match["file"]) for match in matches}


def run(server: EmbeddedPostgres, words: list[str], stdin: int | None = None, stdout: int | None = None) -> None:
    """Run a program of PostgreSQL as `docker compose exec` would, at this server."""
    program = find_binaries() / "bin" / words[0]
    where = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGPASSWORD": server.password}
    done = subprocess.run(
        [program, *words[1:]], env={**os.environ, **where}, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


async def migrate(server: EmbeddedPostgres) -> None:
    """`docker compose run --rm migrate`"""
    urls = {name: SecretStr(server.url(name)) for name in DATABASES.values()}
    settings = CommandSettings(database=urls["danbao"], platform_database=urls["national_platform"])
    await migrate_all(settings, PASSWORDS)


async def connect_charging(server: EmbeddedPostgres) -> asyncpg.Connection:
    """Log in as charging does."""
    role = "danbao_charging"
    url = with_login(server.url("danbao"), role, PASSWORDS[role])
    connection: asyncpg.Connection = await asyncpg.connect(url)
    return connection


async def state(server: EmbeddedPostgres) -> dict[str, list[tuple[object, ...]]]:
    """Owner, rights and number of rows of each table."""
    rows: dict[str, list[tuple[object, ...]]] = {}
    for database in DATABASES.values():
        connection = await asyncpg.connect(server.url(database))
        try:
            rows[database] = [
                (*row, await connection.fetchval(f"select count(*) from {row['name']}"))
                for row in await connection.fetch(
                    """select format('%I.%I', nspname, relname) as name, relowner::regrole::text, relacl::text
                    from pg_class c join pg_namespace n on n.oid = relnamespace
                    where relkind in ('r', 'p') and nspname !~ '^(pg_|information_schema)' order by 1"""
                )
            ]
        finally:
            await connection.close()
    return rows


@pytest.mark.exhaustive
async def test_both_databases_come_back_on_new_servers(tmp_path: Path) -> None:
    """Found with containers: `exec` without -T damaged the dump, and no command brought one back."""
    dumps, restores = commands("pg_dump"), commands("pg_restore")
    assert dumps.keys() == restores.keys() == DATABASES.keys()
    with EmbeddedPostgres() as old:
        for database in DATABASES.values():
            old.create_database(database)
        await migrate(old)
        connection = await connect_charging(old)
        await connection.execute("insert into charging.enterprise (uscc) values ('91000000FAKE00001F')")
        await connection.close()
        before = await state(old)
        for words, file in dumps.values():
            with (tmp_path / file).open("wb") as dump:
                run(old, words, stdout=dump.fileno())
    with EmbeddedPostgres() as new:
        for database in DATABASES.values():
            new.create_database(database)
        await migrate(new)
        for words, file in restores.values():
            with (tmp_path / file).open("rb") as dump:
                run(new, words, stdin=dump.fileno())
        await migrate(new)
        assert await state(new) == before
        connection = await connect_charging(new)
        assert await connection.fetchval("select uscc from charging.enterprise") == "91000000FAKE00001F"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("delete from charging.enterprise")
        await connection.close()


def test_the_page_names_the_owner_and_both_servers() -> None:
    """A dump of one of them alone is no backup."""
    for program in ("pg_dump", "pg_restore"):
        for server, (words, _) in commands(program).items():
            assert words[words.index("-U") + 1] == OWNER
            assert DATABASES[server] in words
