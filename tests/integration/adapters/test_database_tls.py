"""`verify-full` to PostgreSQL, by every driver of the project: the right authority and name, or no connection."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from deploy.certificates import issue, make_authority
from deploy.tls_files import make_internal_authority, make_server_file
from shared.adapters.arrow.database import open_arrow
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.pool import open_pool
from shared.runtime.clock import now
from tests.support.debian_postgres import TlsPostgres, tls_postgres
from tests.support.servers import Postgres
from tests.support.tools import needs
from tests.support.waiting import eventually_async

pytestmark = needs("postgresql")
IS_ENCRYPTED = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"


@dataclass(frozen=True, slots=True)
class Town:
    """A server whose certificate names `localhost`, and the file of its authority."""

    postgres: TlsPostgres
    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "authority" / "ca.pem"

    def url(self, mode: str = "verify-full", host: str = "localhost", ca: Path | None = None) -> str:
        plain = self.postgres.server.url("postgres").replace("127.0.0.1", host)
        return f"{plain}?sslmode={mode}" + (f"&sslrootcert={ca or self.ca}" if mode.startswith("verify") else "")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("tls")
    make_server_file(make_internal_authority(folder / "authority", now()), folder / "tls.pem", ("localhost",), now())
    with tls_postgres(folder / "tls.pem") as postgres:
        yield Town(postgres, folder)


async def by_pool(url: str) -> object:
    async with open_pool(url, size=1) as pool:
        return await pool.fetchval(IS_ENCRYPTED)


async def by_engine(url: str) -> object:
    async with open_engine(url, size=1) as engine, engine.connect() as connection:
        return await connection.scalar(text(IS_ENCRYPTED))


async def by_arrow(url: str) -> object:
    def read() -> object:
        with open_arrow(url) as database:
            return database.read(IS_ENCRYPTED).to_pylist()[0]["ssl"]

    return await asyncio.to_thread(read)


@pytest.mark.parametrize("read", [by_pool, by_engine, by_arrow])
async def test_every_driver_checks_authority_and_name(
    town: Town, read: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(read)
    assert await read(town.url()) is True
    assert await read(town.url().replace("postgresql:", "postgresql+asyncpg:")) is True
    other = town.folder / "other.pem"
    other.write_bytes(make_authority("another", now()).certificate)
    for url in (town.url(ca=other), town.url(host="127.0.0.1"), town.url(mode="disable")):
        with pytest.raises(Exception, match=r"(?i)certificate|no encryption|no pg_hba|mismatch") as refused:
            await asyncio.wait_for(read(url), 20)
        assert town.postgres.server.password not in str(refused.value)
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(town.ca))
    plain = town.url().partition("?")[0]
    assert await read(plain) is True
    monkeypatch.setenv("PGSSLROOTCERT", str(other))
    with pytest.raises(Exception, match=r"(?i)certificate"):
        await asyncio.wait_for(read(plain), 20)


async def test_a_certificate_and_an_authority_change_under_load(town: Town, tmp_path: Path) -> None:
    """The new authority joins the old one in the file, the server takes its certificate, the old authority goes."""
    ca, new = tmp_path / "ca.pem", make_authority("new", now())
    ca.write_bytes(town.ca.read_bytes())
    pair = issue(new, "localhost", ("localhost",), now())
    (tmp_path / "tls.pem").write_bytes(pair.key + pair.certificate)
    opened, is_over = 0, asyncio.Event()

    async def load(url: str) -> None:
        nonlocal opened
        while not is_over.is_set():
            connection = await asyncpg.connect(url)
            assert await connection.fetchval(IS_ENCRYPTED)
            await connection.close()
            opened += 1

    async def connections(what: str) -> None:
        wanted = opened + 5

        async def has_connected() -> bool:
            assert not loading.done(), loading.exception()
            return opened >= wanted

        await eventually_async(has_connected, f"connections {what}")

    async with open_pool(town.url(ca=ca), size=1) as pool:
        loading = asyncio.gather(load(town.url(ca=ca)), load(town.url(ca=ca)))
        await connections("by the old authority")
        ca.write_bytes(town.ca.read_bytes() + new.certificate)
        town.postgres.take(tmp_path / "tls.pem")
        await connections("meanwhile")

        async def is_new() -> bool:
            try:
                connection = await asyncpg.connect(town.url(ca=town.ca))
            except OSError:
                return True
            await connection.close()
            return False

        await eventually_async(is_new, "the server to show the new certificate")
        ca.write_bytes(new.certificate)
        await connections("by the new authority alone")
        assert await pool.fetchval(IS_ENCRYPTED), "a connection from before goes on"
        is_over.set()
        await loading


async def test_the_wheels_server_says_that_it_has_no_tls(postgres: Postgres) -> None:
    url = postgres.url("postgres")
    if "sslmode" in url:
        pytest.skip("not the wheel's server")
    with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
        await asyncpg.connect(f"{url}?sslmode=require")
