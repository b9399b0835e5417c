"""A stolen login of one service, and what it can do with PostgreSQL alone: nothing beyond the work of that service."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.demo.running.migrate import HISTORIES, ROLES
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.ownership import AUDITOR, AUDITOR_CONNECTIONS, SECOND
from shared.adapters.postgres.pool import with_login
from tests.support.servers import Postgres, drop_database, make_database

PASSWORD = "secret-of-a-test"
OURS = [history for history in HISTORIES if not history.is_own_database]
LOGINS = [role for role in ROLES if role != "national_platform"]


@pytest.fixture(scope="module")
async def url(postgres: Postgres) -> AsyncIterator[str]:
    """The administrator's URL of a database with the three schemas in it."""
    name = await make_database(postgres)
    url = postgres.url(name)
    for history in OURS:
        await migrate(url, history.schema, history.scripts, dict.fromkeys(history.logins, PASSWORD))
    yield url
    await drop_database(postgres, name)


@pytest.fixture
async def administrator(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def as_login(url: str, role: str) -> asyncpg.Connection:
    connection: asyncpg.Connection = await asyncpg.connect(with_login(url, role, PASSWORD))
    return connection


async def test_no_superuser_owns_anything(administrator: asyncpg.Connection) -> None:
    """A superuser's trigger or function would run past every rule; `drop trigger` was one statement away."""
    schemas = [history.schema for history in OURS]
    owned = await administrator.fetch(
        """select n.nspname || '.' || c.relname as name, r.rolname from pg_class c
        join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner
        where n.nspname = any($1) and r.rolsuper
        union all select n.nspname || '.' || p.proname, r.rolname from pg_proc p
        join pg_namespace n on n.oid = p.pronamespace join pg_roles r on r.oid = p.proowner
        where n.nspname = any($1) and r.rolsuper
        union all select n.nspname, r.rolname from pg_namespace n join pg_roles r on r.oid = n.nspowner
        where n.nspname = any($1) and r.rolsuper""",
        schemas,
    )
    assert [tuple(row) for row in owned] == []


async def test_functions_with_their_owners_rights_own_only_what_they_touch(administrator: asyncpg.Connection) -> None:
    owners = await administrator.fetch(
        """select distinct n.nspname, r.rolname, r.rolcanlogin, r.rolcreaterole, r.rolcreatedb
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles r on r.oid = p.proowner
        where p.prosecdef and n.nspname = any($1) order by 1, 2""",
        [history.schema for history in OURS],
    )
    assert {row["rolname"] for row in owners} >= {"danbao_charging_partitions", "danbao_charging_positions"}
    for row in owners:
        assert row["rolname"] != f"danbao_{row['nspname']}_owner"
        assert [row["rolcanlogin"], row["rolcreaterole"], row["rolcreatedb"]] == [False, False, False]
    tables = await administrator.fetch(
        """select r.rolname, c.relname from pg_class c join pg_roles r on r.oid = c.relowner
        where r.rolname in ('danbao_charging_partitions', 'danbao_charging_positions') and c.relkind in ('r', 'p')
        order by 1, 2"""
    )
    assert [tuple(row) for row in tables] == [
        ("danbao_charging_partitions", "entry"),
        ("danbao_charging_positions", "moved_on"),
        ("danbao_charging_positions", "position"),
    ]


async def test_the_definers_rights_reach_no_other_table(administrator: asyncpg.Connection) -> None:
    for role in ("danbao_charging_partitions", "danbao_charging_positions"):
        async with administrator.transaction():
            await administrator.execute(f"set local role {role}")
            for sql in (
                "insert into charging.run (run, purpose) values (repeat('a', 32), 'orders')",
                "select * from charging.manifest",
                "select * from ledger.posting",
                "drop trigger history on charging.manifest",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with administrator.transaction():
                        await administrator.execute(sql)


async def test_public_may_neither_connect_nor_make_temporary_tables(administrator: asyncpg.Connection) -> None:
    rights = await administrator.fetchrow(
        """select has_database_privilege('public', current_database(), 'connect') as may_connect,
            has_database_privilege('public', current_database(), 'temporary') as may_keep,
            has_schema_privilege('public', 'public', 'create') as may_create"""
    )
    assert rights is not None
    assert tuple(rights) == (False, False, False)


async def test_the_other_partys_login_does_not_get_in(url: str, administrator: asyncpg.Connection) -> None:
    await administrator.execute("drop role if exists a_stranger")
    await administrator.execute(f"create role a_stranger login password '{PASSWORD}'")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
            await as_login(url, "a_stranger")
    finally:
        await administrator.execute("drop role a_stranger")


async def test_the_auditor_can_hold_no_lock_and_write_nothing(url: str) -> None:
    """With charging's advisory lock one idle reader held up every close."""
    auditor = await as_login(url, AUDITOR)
    try:
        for call in ("pg_advisory_lock(1)", "pg_try_advisory_lock(1)", "pg_advisory_xact_lock(1, 2)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await auditor.execute(f"select {call}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await auditor.execute("lock table charging.entry in access share mode; lock table charging.manifest")
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)):
            await auditor.execute("create temporary table mine ()")
        assert await auditor.fetchval("show lock_timeout") == "5s"
    finally:
        await auditor.close()


async def test_one_login_cannot_take_all_connections(url: str) -> None:
    held = [await as_login(url, AUDITOR) for _ in range(AUDITOR_CONNECTIONS)]
    try:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await as_login(url, AUDITOR)
        await (await as_login(url, "danbao_charging")).close()
    finally:
        for connection in held:
            await connection.close()


@pytest.mark.parametrize("role", LOGINS)
async def test_a_service_can_change_no_table_and_no_rule(url: str, role: str) -> None:
    login = await as_login(url, role)
    try:
        for sql in (
            "alter table ledger.posting disable trigger all",
            "drop trigger append_only on ledger.posting",
            "create table charging.mine ()" if role != "danbao_archivist" else "create table ledger.mine ()",
            "create function ledger.mine() returns int language sql as 'select 1'",
            "set session_replication_role = replica",
            "create role mine",
            "set role danbao_ledger_owner",
            "copy (select 1) to program 'true'",
        ):
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)):
                await login.execute(sql)
    finally:
        await login.close()


async def test_a_second_login_has_the_rights_of_the_first_until_it_ends(url: str) -> None:
    """A password is changed while the service works: with the second login, which ends afterwards."""
    (charging,) = (history for history in OURS if history.service == "charging")
    second = f"{charging.role}{SECOND}"
    logins: dict[str, str | None] = dict.fromkeys(charging.logins, PASSWORD)
    await migrate(url, charging.schema, charging.scripts, logins | {second: PASSWORD})
    connection = await as_login(url, second)
    await connection.execute("select charging.ensure_partitions('2026-10-03', '2026-10-03')")
    assert await connection.fetchval("select count(*) from charging.entry") == 0
    await connection.close()
    await migrate(url, charging.schema, charging.scripts, logins | {second: None})
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await as_login(url, second)
