"""A password of the database is replaced under load: two logins of equal rights, and `danbao migrate` between them."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from services.demo.running.migrate import migrate_all, read_passwords
from services.demo.running.system import settings_of
from shared.adapters.postgres.pool import with_login
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive
FIRST, SECOND = "danbao_ledger", "danbao_ledger_2"


class Rotation:
    """A service that logs in all the time with the login and the file that it is configured with."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        self.login, self.answered = FIRST, 0

    async def connect(self, login: str, password: str) -> asyncpg.Connection:
        connection: asyncpg.Connection = await asyncpg.connect(with_login(self.database, login, password))
        return connection

    async def load(self) -> None:
        """Every connection and every statement has to succeed."""
        while True:
            login = self.login
            connection = await self.connect(login, (self.folder / login).read_text().strip())
            await connection.fetchval("select count(*) from ledger.posting")
            await connection.close()
            self.answered += 1

    async def goes_on(self, loading: asyncio.Task[None]) -> None:
        wanted = self.answered + 3

        async def has_answered() -> bool:
            assert not loading.done(), loading.exception()
            return self.answered >= wanted

        await eventually_async(has_answered, "statements by the login")


async def test_a_password_changes_under_load_and_no_login_is_refused(
    database: str, platform_database: str, tmp_path: Path
) -> None:
    settings = settings_of({"DANBAO_DATABASE": database, "DANBAO_PLATFORM_DATABASE": platform_database})
    (tmp_path / SECOND).write_text("the second login's password\n")

    async def migrate() -> Mapping[str, str]:
        passwords, _ = read_passwords(tmp_path)
        await migrate_all(settings, passwords)
        return passwords

    before = await migrate()
    rotation = Rotation(tmp_path, database)
    loading = asyncio.create_task(rotation.load())
    try:
        await rotation.goes_on(loading)
        rotation.login = SECOND  # LEDGER_DATABASE_LOGIN, and the ledger started again
        await rotation.goes_on(loading)
        (tmp_path / FIRST).unlink()
        after = await migrate()
        await rotation.goes_on(loading)
        assert before[FIRST] != after[FIRST]
        with pytest.raises(asyncpg.InvalidPasswordError):
            await rotation.connect(FIRST, before[FIRST])
        rotation.login = FIRST
        await rotation.goes_on(loading)
        (tmp_path / SECOND).unlink()
        await migrate()
        await rotation.goes_on(loading)
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await rotation.connect(SECOND, before[SECOND])
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
