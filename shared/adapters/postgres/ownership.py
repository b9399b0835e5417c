"""Sets who owns a schema and what all others may do in its database.

Migrations run as the administrator, who may be a superuser. Nothing keeps belonging to the administrator: after each
migration the schema and all that is in it go to `danbao_<schema>_owner`, a role that cannot log in and is no superuser.
Functions that run with their owner's rights (SECURITY DEFINER) belong to roles that own only what these functions
touch; a service names them in `migrations/definers.sql`, which runs after each migration.
"""

from pathlib import Path
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

DEFINERS: Final = "definers.sql"
CONNECTIONS: Final = 100
"""Connections of one login; beyond it PostgreSQL refuses, so that one service cannot take all of them."""
AUDITOR_CONNECTIONS: Final = 20
AUDITOR: Final = "danbao_auditor"
PORTAL: Final = "danbao_portal"
"""The login of reporting's pages, which sees nothing without a session or key (docs/decisions/0021)."""
_WITHOUT_LOCKS: Final = {AUDITOR, PORTAL}
SECOND: Final = "_2"
"""Ends the name of a service's second login."""

_OBJECTS: Final = text("""
select case when c.relkind in ('v', 'm') then 'view' when c.relkind = 'S' then 'sequence' else 'table' end as kind,
    format('%I.%I', n.nspname, c.relname) as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = :schema and c.relkind in ('r', 'p', 'v', 'm', 'S') and c.relowner = :administrator
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
        and d.deptype in ('a', 'i') and c.relkind = 'S')
union all
select case p.prokind when 'p' then 'procedure' else 'function' end,
    format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname = :schema and p.proowner = :administrator
""")
_LOCK_FUNCTIONS: Final = text("""
select format('pg_catalog.%I(%s)', proname, pg_get_function_identity_arguments(oid)) from pg_proc
where pronamespace = 'pg_catalog'::regnamespace and proname ~ '^pg_(try_)?advisory_(xact_)?lock(_shared)?$'
""")
_DEFINERS: Final = text("""
select distinct pg_get_userbyid(proowner) from pg_proc
where pronamespace = cast(:schema as regnamespace) and prosecdef order by 1
""")
_ADMINISTRATOR: Final = text("select oid, rolname, rolsuper from pg_roles where rolname = current_user")


async def hand_over(connection: AsyncConnection, schema: str, scripts: Path, logins: list[str]) -> None:
    """Give the schema to its owner, run the service's `definers.sql`, and close the database to everybody but `logins`.

    Runs in the transaction of the migration; a second run changes nothing.
    """
    owner = f"danbao_{schema}_owner"
    administrator, _, is_superuser = (await connection.execute(_ADMINISTRATOR)).one()
    await make_role(connection, owner)
    await _run(connection, f'alter schema "{schema}" owner to "{owner}"')
    objects = await connection.execute(_OBJECTS, {"schema": schema, "administrator": administrator})
    for kind, name in objects.all():
        await _run(connection, f'alter {kind} {name} owner to "{owner}"')
    definers = scripts / DEFINERS
    if definers.exists():
        await _run(connection, definers.read_text(encoding="utf-8"))
    await _close_database(connection, owner, logins)
    if is_superuser:
        definers_of = await connection.scalars(_DEFINERS, {"schema": schema})
        await _keep_locks_from_readers(connection, [owner, *logins, *definers_of.all()])


async def make_role(connection: AsyncConnection, role: str) -> None:
    """Make a role that cannot log in; the administrator becomes a member of it, unless a superuser."""
    await _run(
        connection,
        f"""do $$ begin
            create role "{role}" nologin;
        exception when duplicate_object or unique_violation then null;
        end $$""",
    )
    _, administrator, is_superuser = (await connection.execute(_ADMINISTRATOR)).one()
    if not is_superuser:
        await _run(connection, f'grant "{role}" to "{administrator}" with inherit true, set true')


async def _close_database(connection: AsyncConnection, owner: str, logins: list[str]) -> None:
    """Revoke from PUBLIC what PostgreSQL gives it; a role has what it is granted by name."""
    database = await connection.scalar(text("select quote_ident(current_database())"))
    await _run(connection, f"revoke connect, temporary on database {database} from public")
    await _run(connection, "revoke create on schema public from public")
    for role in (owner, *logins):
        await _run(connection, f'grant connect on database {database} to "{role}"')


async def _keep_locks_from_readers(connection: AsyncConnection, roles: list[str]) -> None:
    """Revoke advisory locks from PUBLIC: with one, a reader could hold up every close. Only a superuser may do it."""
    functions = ", ".join((await connection.scalars(_LOCK_FUNCTIONS)).all())
    holders = ", ".join(f'"{role}"' for role in roles if role.removesuffix(SECOND) not in _WITHOUT_LOCKS)
    await _run(connection, f"revoke execute on function {functions} from public")
    await _run(connection, f"grant execute on function {functions} to {holders}")


async def make_login(connection: AsyncConnection, role: str, password: str | None) -> None:
    """Make a login, or give it this password; without a password an existing one can no longer log in.

    Its connections are limited, and so is the time for which the auditor waits for a lock. A login `<role>_2` has the
    rights of `<role>`, so that a service can use it while the password of the first is changed.
    """
    is_known = await connection.scalar(text("select 1 from pg_roles where rolname = :role"), {"role": role})
    if password is None:
        if is_known:
            await _run(connection, f'alter role "{role}" nologin')
        return
    quoted = await connection.scalar(text("select quote_literal(cast(:password as text))"), {"password": password})
    most = AUDITOR_CONNECTIONS if role == AUDITOR else CONNECTIONS
    verb = "alter" if is_known else "create"
    await _run(connection, f'{verb} role "{role}" login password {quoted} connection limit {most}')
    if role == AUDITOR:
        await _run(connection, f"alter role \"{role}\" set lock_timeout = '5s'")
        await _run(connection, f'alter role "{role}" set default_transaction_read_only = on')
    if role.endswith(SECOND):
        await _run(connection, f'grant "{role.removesuffix(SECOND)}" to "{role}" with inherit true, set true')


async def _run(connection: AsyncConnection, sql: str) -> None:
    raw: Any = (await connection.get_raw_connection()).driver_connection
    await connection.execute(text("select 1"))  # SQLAlchemy opens the transaction with its first statement
    await raw.execute(sql)
