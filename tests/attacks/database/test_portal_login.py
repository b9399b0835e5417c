"""Somebody has the database login of the portal's pages, by injected SQL or by its password, and tries raw SQL.

The login sees nothing without a session or key, nobody else's rows with one, and changes nothing but by functions that
identify the actor (docs/decisions/0021).
"""

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest
from asyncpg.exceptions import PostgresError

import services.reporting
from services.reporting.access.file_keys import register_file_keys
from services.reporting.access.viewers import Role
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.ownership import PORTAL, SECOND
from shared.adapters.postgres.pool import with_login
from shared.runtime.access import AccessKeys, Reader, sha256_hex
from tests.attacks.database.portal_login import SEEN, logged_in, refused, seen, ticket_of, view
from tests.integration.reporting.access_harness import access_house, add, add_as_operator, browser, sign_in
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    ROLE_PASSWORD,
    WORKER,
    House,
    migrate_schema,
)
from tests.integration.reporting.viewer_credentials import viewer_with_key
from tests.support.servers import Postgres

Opened = tuple[House, asyncpg.Connection]
VIEWS = [f"danbao_view_{role}" for role in Role]
PLACES = {(BLUE, "44"), (GREEN, "11"), (BLUE, "11"), (GREEN, "44")}
KEPT_FROM_IT = ("account", "api_key", "session", "file_key", "view_secret", "access_note", "kept_key")
ENDED = "no session or key that may do this"
FOUND = """
with new as (insert into reporting.discrepancy (identity_sha256, kind, key, province, enterprise, detail)
             values ($1, 'sequence_gap', $1, $3, $2, 'test') returning id)
insert into reporting.discrepancy_state (discrepancy_id, state, actor, note) select id, 'open', 'test', 'test' from new
"""
READABLE = """
select c.relname from pg_class c where c.relnamespace = 'reporting'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
    and has_any_column_privilege($1, c.oid, 'select') order by 1
"""


@pytest.fixture(scope="module")
async def opened(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Opened]:
    """Two enterprises with a finding in each of two provinces."""
    async with access_house(postgres, tmp_path_factory.mktemp("keys")) as (house, owner):
        for enterprise, province in PLACES:
            await owner.execute(FOUND, secrets.token_hex(32), enterprise, province)
        await owner.execute(
            "insert into reporting.look (viewer, role, what, subject) values ('n', 'national', 'a', 'b')"
        )
        yield house, owner


@pytest.fixture
def house(opened: Opened) -> House:
    return opened[0]


@pytest.fixture
def owner(opened: Opened) -> asyncpg.Connection:
    return opened[1]


@pytest.fixture
async def portal(house: House) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the portal's login."""
    async with logged_in(house) as connection:
        yield connection


async def test_no_setting_by_hand_shows_a_row(portal: asyncpg.Connection, owner: asyncpg.Connection) -> None:
    """Neither the setting that policies once believed, nor a ticket without a proof, in any view role."""
    for role in VIEWS:
        tables = [row[0] for row in await owner.fetch(READABLE, role)]
        assert len(tables) > 25
        kind = role.removeprefix("danbao_view_")
        for forged in ("", "national", "national||", f"{kind}|{BLUE}|{'0' * 64}", f"{kind}|44|", f"{kind}||{None}"):
            async with portal.transaction():
                await portal.execute("select set_config('danbao.scope', $1, true)", BLUE)
                await view(portal, forged, role)
                for table in tables:
                    assert await portal.fetch(f"select 1 from reporting.{table} limit 1") == [], (role, forged, table)
    assert await owner.fetchval("select count(*) from reporting.discrepancy") == len(PLACES)


async def test_without_a_view_role_it_reads_no_table(portal: asyncpg.Connection, owner: asyncpg.Connection) -> None:
    every = "select relname from pg_class where relnamespace = 'reporting'::regnamespace and relkind in ('r', 'v')"
    relations = await owner.fetch(every)
    assert len(relations) > 40
    open_to_it = [row[0] for row in relations if not await refused(portal, f"select from reporting.{row[0]}")]
    assert open_to_it == []


async def test_a_ticket_opens_its_own_scope_in_any_view_role(
    portal: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    """Taking the role of another kind of viewer shows nothing at all."""
    due = {
        (Role.NATIONAL, None): PLACES,
        (Role.OPERATOR, None): PLACES,
        (Role.PROVINCE, "44"): {(BLUE, "44"), (GREEN, "44")},
        (Role.ENTERPRISE, BLUE): {(BLUE, "44"), (BLUE, "11")},
        (Role.WORKER, WORKER): set(),
    }
    whole = {Role.NATIONAL, Role.OPERATOR}
    for (kind, scope), rows in due.items():
        viewer = await viewer_with_key(owner, kind, scope)
        async with portal.transaction():
            ticket = await ticket_of(portal, viewer.credential)
            assert ticket
            for role in Role:
                expected = rows if role is kind or {role, kind} <= whole else set()
                assert await seen(portal, ticket, f"danbao_view_{role}") == expected, (kind, role)


async def test_a_ticket_that_is_changed_shows_nothing(portal: asyncpg.Connection, owner: asyncpg.Connection) -> None:
    viewer = await viewer_with_key(owner, Role.ENTERPRISE, BLUE)
    async with portal.transaction():
        ticket = await ticket_of(portal, viewer.credential)
        assert ticket
        kind, scope, proof = ticket.split("|")
        assert await seen(portal, ticket, "danbao_view_enterprise")
        for changed, role in (
            (f"{kind}|{GREEN}|{proof}", "enterprise"), (f"national|{scope}|{proof}", "national"),
            (f"national||{proof}", "national"), (f"province|44|{proof}", "province"),
            (f"{kind}|{scope}|{proof}|", "enterprise"), (f"{kind}|{scope}|{proof[:-1]}", "enterprise"),
            (f"{kind}|{scope}|{scope}|{proof}", "enterprise"), (f"operator|{kind}|{scope}|{proof}", "operator"),
        ):  # fmt: skip
            assert await seen(portal, changed, f"danbao_view_{role}") == set(), changed


async def test_a_ticket_of_another_transaction_or_connection_shows_nothing(
    house: House, portal: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    viewer = await viewer_with_key(owner, Role.NATIONAL)
    async with portal.transaction():
        ticket = await ticket_of(portal, viewer.credential)
        assert await seen(portal, ticket, "danbao_view_national") == PLACES
        async with logged_in(house) as other, other.transaction():
            assert await seen(other, ticket, "danbao_view_national") == set(), "another connection at the same time"
    async with portal.transaction():
        assert await seen(portal, ticket, "danbao_view_national") == set(), "a later transaction"
    alone = await ticket_of(portal, viewer.credential)
    await portal.execute("select set_config('danbao.view', $1, false)", alone)
    await portal.execute("set role danbao_view_national")
    assert await portal.fetch(SEEN) == [], "a setting that outlives its transaction"


async def test_accounts_sessions_keys_and_the_secret_are_not_readable(
    portal: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    viewer = await viewer_with_key(owner, Role.OPERATOR)
    for role in (PORTAL, *VIEWS):
        async with portal.transaction():
            await view(portal, await ticket_of(portal, viewer.credential), role)
            for table in KEPT_FROM_IT:
                assert await refused(portal, f"select * from reporting.{table}"), (role, table)
                assert await refused(portal, f"insert into reporting.{table} default values"), (role, table)
            for call in ("proof_of('national', '')", "holder('')", "session_holder('')", "key_holder('')",
                         "acting('', array['operator'])", "guard('look', null, null)"):  # fmt: skip
                assert await refused(portal, f"select reporting.{call}"), (role, call)


async def test_the_trail_is_added_to_in_the_viewers_name_and_never_changed(
    house: House, portal: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    for role in (PORTAL, *VIEWS):
        for table in ("look", "access_note"):
            for sql in (
                f"delete from reporting.{table}", f"truncate reporting.{table}",
                f"drop trigger append_only on reporting.{table}",
                f"insert into reporting.{table} default values", f"alter table reporting.{table} disable trigger all",
                f"lock table reporting.{table}",
            ):  # fmt: skip
                assert await refused(portal, f"set local role {role}; {sql}"), (role, sql)
        assert await refused(portal, f"set local role {role}; update reporting.look set viewer = 'x'")
        assert await refused(portal, f"set local role {role}; update reporting.access_note set actor = 'x'")
    with pytest.raises(PostgresError, match=ENDED):
        await portal.execute("select reporting.note_look('', 'order_receipt', 'x')")
    viewer = await viewer_with_key(owner, Role.PROVINCE, "44")
    await portal.execute("select reporting.note_look($1, 'order_receipt', 'x')", viewer.credential)
    newest = "select viewer, role, scope, subject from reporting.look order by id desc limit 1"
    assert tuple(await owner.fetchrow(newest) or ()) == (viewer.name, "province", "44", "x")
    own = await asyncpg.connect(house.service.settings.database.get_secret_value())
    assert await refused(own, "insert into reporting.look (viewer, role, what, subject) values ('x', 'x', 'x', 'x')")
    await own.close()


async def test_nothing_is_created_and_no_lock_is_held(portal: asyncpg.Connection) -> None:
    for sql in (
        "create table reporting.mine ()", "create table public.mine ()", "create temporary table discrepancy ()",
        "create schema mine", "create function pg_temp.mine() returns int language sql as 'select 1'",
        "create view reporting.mine as select 1", "set role danbao_reporting", "set role danbao_reporting_access",
        "set role danbao_auditor", "select pg_advisory_lock(1)", "select pg_try_advisory_xact_lock(1, 2)",
        "alter role danbao_portal createrole", "copy (select 1) to program 'true'",
    ):  # fmt: skip
        assert await refused(portal, sql), sql


async def test_a_session_that_is_over_gives_nothing(
    house: House, portal: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    """By sign-out, idleness, age, a disabled account, or a password that an operator knows."""
    for number, end in enumerate(
        (
            "update reporting.session set last_seen_at = last_seen_at - interval '31 minutes' where account = $1",
            "update reporting.session set ends_at = clock_timestamp() where account = $1",
            "delete from reporting.session where account = $1",
            "update reporting.account set is_disabled = true where name = $1",
            "update reporting.account set must_change = true where name = $1",
        )
    ):
        name = f"ended{number}"
        async with browser(house) as client:
            await add(house, name, "national")
            assert (await sign_in(client, name)).status_code == 303
            credential = sha256_hex(client.cookies["danbao_session"])
        assert await ticket_of(portal, credential)
        await owner.execute(end, name)
        assert await ticket_of(portal, credential) is None, end
        with pytest.raises(PostgresError, match=ENDED):
            await portal.execute("select reporting.note_look($1, 'x', 'x')", credential)
    (await add_as_operator(house, "fresh", "operator")).raise_for_status()
    async with browser(house) as client:
        await sign_in(client, "fresh")
        credential = sha256_hex(client.cookies["danbao_session"])
        assert await ticket_of(portal, credential) is None
        with pytest.raises(PostgresError, match=ENDED):
            await portal.fetch("select * from reporting.list_accounts($1)", credential)


async def test_a_key_that_is_revoked_or_over_gives_nothing(
    house: House, portal: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    for end in ("revoked_at", "ends_at"):
        wish = {"name": "nightly", "role": "national"}
        made = (await house.client.post("/v1/api-keys", json=wish)).raise_for_status().json()
        credential = sha256_hex(made["key"])
        assert await ticket_of(portal, credential)
        await owner.execute(f"update reporting.api_key set {end} = clock_timestamp() where key_id = $1", made["key_id"])
        assert await ticket_of(portal, credential) is None, end
    link = (await house.client.post("/v1/worker-links", json={"worker_id": WORKER})).raise_for_status().json()
    assert await ticket_of(portal, sha256_hex(link["path"].removeprefix("/w/"))) is None, "a link is no session"


async def test_keys_of_the_file_are_those_that_the_service_read_last(house: House, portal: asyncpg.Connection) -> None:
    keys = AccessKeys(
        [
            (sha256_hex("one"), Reader("one", frozenset({"province:44"}))),
            (sha256_hex("several"), Reader("several", frozenset({"province:44", "province:11"}))),
            (sha256_hex("of another"), Reader("of another", frozenset({"operator->ledger"}))),
            (sha256_hex("of ours"), Reader("of ours", frozenset({"operator->reporting"}))),
        ],
        "reporting",
    )
    async with open_engine(house.service.settings.database.get_secret_value(), size=1) as engine:
        await register_file_keys(engine, keys)
        known = {name for name in ("one", "several", "of another", "of ours", "key-national")
                 if await ticket_of(portal, sha256_hex(name))}  # fmt: skip
        assert known == {"one", "of ours"}
        await register_file_keys(engine, house.service.keys)
    assert await ticket_of(portal, sha256_hex("one")) is None
    assert await ticket_of(portal, sha256_hex("key-national"))


async def test_only_an_operators_credential_makes_or_changes_accounts(
    portal: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    hashed = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaA"
    calls = (
        ("select reporting.add_account($1, 'backdoor', 'operator', null, $2)", hashed),
        ("select reporting.change_account($1, 'backdoor', $2)", hashed),
        ("select * from reporting.list_accounts($1) where $2 <> ''", hashed),
    )
    for kind, scope in ((Role.NATIONAL, None), (Role.PROVINCE, "44"), (Role.ENTERPRISE, BLUE), (Role.WORKER, WORKER)):
        credential = (await viewer_with_key(owner, kind, scope)).credential
        for call, value in calls:
            with pytest.raises(PostgresError, match=ENDED):
                await portal.fetch(call, credential, value)
    operator = await viewer_with_key(owner, Role.OPERATOR)
    assert await portal.fetchval(calls[0][0], operator.credential, hashed) is True
    noted = "select actor from reporting.access_note where what = 'account_added' and subject = 'backdoor'"
    assert await owner.fetchval(noted) == operator.name, "whose credential it was, by no argument"


async def test_an_enterprise_makes_no_key_beyond_its_own(portal: asyncpg.Connection, owner: asyncpg.Connection) -> None:
    credential = (await viewer_with_key(owner, Role.ENTERPRISE, BLUE)).credential
    for role, scope, days in (
        ("national", None, 1), ("operator", None, 1), ("enterprise", GREEN, 1), ("enterprise", None, 1),
        ("province", "44", 1), ("worker", WORKER, 1), ("worker", f"{WORKER}:{GREEN}", 1), ("worker", None, 1),
        ("enterprise", BLUE, 367), ("worker", f"{WORKER}:{BLUE}", 32), ("enterprise", BLUE, 0),
    ):  # fmt: skip
        made = "select * from reporting.add_key($1, $2, 'mine', $3, $4, $5)"
        assert await portal.fetch(made, credential, secrets.token_hex(32), role, scope, days) == [], (role, scope)
    number = await owner.fetchval("select key_id from reporting.api_key where scope is distinct from $1 limit 1", BLUE)
    assert await portal.fetchval("select reporting.revoke_key($1, $2)", credential, number) is False


async def test_a_finding_is_changed_within_the_scope_and_in_the_viewers_name(
    portal: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    change = "select reporting.change_finding($1, $2, 'explained', 'because')"
    ours, theirs = [
        await owner.fetchval("select id from reporting.discrepancy where province = $1 limit 1", province)
        for province in ("44", "11")
    ]
    enterprise = await viewer_with_key(owner, Role.ENTERPRISE, BLUE)
    with pytest.raises(PostgresError, match=ENDED):
        await portal.execute(change, enterprise.credential, ours)
    province = await viewer_with_key(owner, Role.PROVINCE, "44")
    assert await portal.fetchval(change, province.credential, theirs) is None
    assert await portal.fetchval(change, province.credential, ours) is True
    assert await portal.fetchval(change, province.credential, ours) is False
    states = await owner.fetch("select actor from reporting.discrepancy_state where state = 'explained'")
    assert [row[0] for row in states] == [province.name]
    for sql in ("delete from reporting.discrepancy_state", "update reporting.discrepancy_standing set state = 'open'"):
        assert await refused(portal, sql)


async def test_the_second_login_has_the_rights_of_the_first(postgres: Postgres, owner: asyncpg.Connection) -> None:
    viewer = await viewer_with_key(owner, Role.PROVINCE, "11")
    administrator = postgres.url(await owner.fetchval("select current_database()"))
    second = f"{PORTAL}{SECOND}"
    await migrate_schema(administrator, "reporting", "danbao_reporting", services.reporting, PORTAL, second)
    connection = await asyncpg.connect(with_login(administrator, second, ROLE_PASSWORD))
    async with connection.transaction():
        rows = await seen(connection, await ticket_of(connection, viewer.credential), "danbao_view_province")
    assert rows == {(BLUE, "11"), (GREEN, "11")}
    assert await refused(connection, "select pg_advisory_lock(1)")
    await connection.close()
