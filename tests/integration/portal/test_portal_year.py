"""The cost of a page does not grow with the data: a few indexed queries, with a year in the model as with two
months, counted as blocks that PostgreSQL touches."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.access.viewers import Role
from shared.adapters.postgres.engine import open_engine
from tests.integration.portal.portal_rules import RULES
from tests.integration.portal.read_model_harness import projected
from tests.integration.portal.read_model_year import LAST, a_day, copies_agree, copy_back, open_some
from tests.integration.portal.test_portal_api import SCHEME
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import BLUE, House, make_keys, reporting_house, statement
from tests.integration.reporting.test_reporting_roles import client_as

pytestmark = pytest.mark.exhaustive

MOST_STATEMENTS: Final = 16
"""Statements of a page with its authentication: the viewer, the connection's scope, and the queries."""
MOST_GROWTH: Final = 1.5
"""Blocks touched with a year in the model over those with two months: indexes get deeper, and no more than that."""
MONTHS_SHOWN: Final = 150
"""Blocks more: thirteen months of sums are shown, and the short model has only three."""
LOOKED_UP: Final = 5
"""Blocks more per row shown: its related rows are fetched by index, where two months are quicker read whole."""
MOST_SCANNED: Final = 1_000
"""Rows that may be read sequentially: a scan of so small a table is quicker than an index."""
SHORT, LONG = 61, 365
"""Days in the model: the two months that the page of a month compares; a year."""
PERIOD: Final = f"{LAST:%Y-%m}"
FILLED: Final = {
    "code": "44", "uscc": BLUE, "name": "instant_delivery", "day": str(LAST), "period": PERIOD,
    "statement_id": f"{PERIOD}.44.{BLUE}", "discrepancy_id": "7", "report_id": f"coverage.{LAST}.44",
}  # fmt: skip
OF_ITS_OWN: Final = {
    "GET /provinces/{code}": ("", f"?day={LAST}", f"?enterprise={BLUE}"),
    "GET /enterprises/{uscc}": ("", f"?day={LAST}", "?province=44"),
    "GET /statements": ("", f"?period={PERIOD}", f"?enterprise={BLUE}", "?province=44", "?state=overdue"),
    "GET /discrepancies": ("", "?state=open", "?state=explained", "?kind=undeliverable", f"?day={LAST}",
                           "?province=44", f"?enterprise={BLUE}", f"?period={PERIOD}", "?state=open&kind=refused"),
    "GET /v1/sheets": (f"?first={LAST}", f"?first={PERIOD}-01&last={LAST}", f"?first={LAST}&province=44"),
    "GET /v1/statements": ("", f"?after=2026-09.44.{BLUE}", f"?enterprise={BLUE}", "?province=44"),
    "GET /v1/remittances": ("", f"?after=paid-2026-09.44.{BLUE}", f"?enterprise={BLUE}", "?province=44"),
    "GET /v1/reports": ("", "?kind=declaration", f"?kind=coverage&period={PERIOD}", "?province=44", "?kind=payment"),
    "GET /v1/discrepancies": ("?limit=50", "?limit=50&state=open", "?limit=50&kind=undeliverable"),
}  # fmt: skip
"""Addresses of a route that has several forms."""
ELSEWHERE: Final = re.compile(
    r"healthz|readyz|metrics|openapi|parked|/evidence|/series|acknowledgements|receipt|/w/|/static/"
)
"""Routes that other services answer, or that need no data."""


@dataclass(frozen=True, slots=True)
class Executed:
    """A statement as a page executed it, and what its connection took its role with (None: the portal's own)."""

    sql: str
    values: Any
    role: tuple[str, Any] | None


PAGE: ContextVar[list[Executed] | None] = ContextVar("page", default=None)
"""Statements that the page of this context has executed so far; the service's loops run in others."""


@contextmanager
def noticing() -> Iterator[None]:
    """Every statement that is executed for a page goes to its list."""
    roles: dict[int, tuple[str, Any]] = {}

    def begin(connection: Any) -> None:
        roles.pop(id(connection), None)

    def note(connection: Any, _: Any, sql: str, values: Any, *__: Any) -> None:
        if (page := PAGE.get()) is not None:
            page.append(Executed(sql, values, roles.get(id(connection))))
            if "set_config('role'" in sql:
                roles[id(connection)] = (sql, values)

    event.listen(Engine, "begin", begin)
    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(Engine, "begin", begin)
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[House]:
    folder = tmp_path / "scheme"
    folder.mkdir()
    for name, text in SCHEME.items():
        (folder / name).write_text(text, encoding="utf-8")
    others = OtherServices()
    async with reporting_house(database, platform_database, make_keys(tmp_path), others, scheme=[folder]) as house:
        yield house


@pytest.fixture
async def owner(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_a_page_costs_the_same_with_a_year_in_the_model(house: House, owner: asyncpg.Connection) -> None:
    await house.receive(*(a_day(LAST.replace(day=LAST.day - back)) for back in (1, 0)), statement(12_341))
    await house.settled()
    await house.examined()
    await projected(house)
    assert await copies_agree(owner) == []
    await copy_back(owner, 2, SHORT - 1)
    await open_some(owner)
    short = await measure(house, owner)
    await copy_back(owner, SHORT, LONG - 1)
    long = await measure(house, owner)
    wrong = [f"{page}: {short[page]} {cost}" for page, cost in long.items() if not is_fair(short[page], cost)]
    assert not wrong, "\n".join(wrong)


@dataclass(slots=True)
class Cost:
    """Of a page: statements, blocks touched, rows that came of them, large tables that were read from end to end."""

    statements: int
    blocks: int
    rows: int
    scanned: set[str]


def is_fair(short: Cost, long: Cost) -> bool:
    """A list that is not full yet with two months may be longer with a year: it costs more by its rows, and one
    statement more, which counts a list of several pages."""
    growth = MOST_GROWTH * max(1.0, long.rows / short.rows)
    is_same = long.blocks <= growth * short.blocks + LOOKED_UP * long.rows + MONTHS_SHOWN
    is_as_many = short.statements <= long.statements <= min(short.statements + 1, MOST_STATEMENTS)
    return is_same and not long.scanned and is_as_many


async def measure(house: House, owner: asyncpg.Connection) -> dict[str, Cost]:
    """Measure every page that the read model fills, for each kind of office."""
    rows = await owner.fetch("select relname, reltuples from pg_class where relnamespace = 'reporting'::regnamespace")
    large = {row["relname"] for row in rows if row["reltuples"] > MOST_SCANNED}
    costs = {}
    login = house.service.settings.portal_database.get_secret_value()
    async with open_engine(login, size=1) as engine:
        for role in (Role.NATIONAL, Role.PROVINCE, Role.ENTERPRISE):
            async with client_as(house, role) as client:
                for path in addresses(role):
                    executed: list[Executed] = []
                    token = PAGE.set(executed)
                    with noticing():
                        answer = await client.get(path)
                    PAGE.reset(token)
                    expected = {200, 303} if role is Role.NATIONAL else {200, 303, 404}  # what is another's
                    assert answer.status_code in expected, (role, path, answer.text[:300])
                    async with engine.connect() as connection:
                        costs[f"{role} {path}"] = await cost_of(connection, executed, large)
    return costs


def addresses(role: Role) -> Iterator[str]:
    """Every page and API path that the role may request."""
    for name, roles in RULES.items():
        method, _, path = name.partition(" ")
        if method == "GET" and roles and role in roles and not ELSEWHERE.search(path):
            filled = re.sub(r"{(\w+)}", lambda match: FILLED[match[1]], path)
            yield from (filled + query for query in OF_ITS_OWN.get(name, ("",)))


async def cost_of(connection: AsyncConnection, executed: list[Executed], large: set[str]) -> Cost:
    cost = Cost(len(executed), 0, 0, set())
    for query in executed:
        if query.role is not None:
            await connection.exec_driver_sql(*query.role)
        explained = f"explain (analyze, buffers, timing off, format json) {query.sql}"
        reported = (await connection.exec_driver_sql(explained, query.values)).scalar_one()
        (plan,) = json.loads(reported) if isinstance(reported, str) else reported
        await connection.rollback()
        cost.blocks += plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
        cost.rows += int(plan["Plan"]["Actual Rows"])
        cost.scanned |= {name for node in nodes(plan["Plan"]) if (name := node.get("Relation Name")) in large
                         and node["Node Type"] == "Seq Scan"}  # fmt: skip
    return cost


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
