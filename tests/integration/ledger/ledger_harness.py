"""A ledger under test, and a charging that is real code but simple: it keeps manifests and counts over them."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

import services.ledger
from services.ledger.books.booking import take_manifest
from services.ledger.books.clocks import Clocks
from services.ledger.books.open_days import open_books
from services.ledger.close.close_day import CloseResult, close_day
from services.ledger.close.compare_count import take_count
from services.ledger.close.deployment_counts import CountingDeployments
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import with_login
from shared.contracts.manifests import DayClosing, DayCounted, Outcome, PremiumsCharged, Total, sign_manifest
from shared.domain.calendar import day_start
from shared.domain.evidence.authors import Authors
from shared.domain.evidence.manifest_head import LARGEST
from tests.support.authors import ALL, AUTHORS

OPENED_ON = date(2026, 10, 1)
ENTERPRISE = "91110000TESTTEST1X"
OTHER = "91310000TESTTEST2Y"
COUNTERS = CountingDeployments(AUTHORS)
"""One deployment."""
MIGRATIONS = Path(services.ledger.__file__).parent / "migrations"


def total(
    outcome: Outcome = Outcome.CHARGED,
    orders: int = 1,
    *,
    day: date | None = OPENED_ON,
    base: int = 700,
    enterprise: str = ENTERPRISE,
    province: str = "44",
    line: int = 3,
    reason: str | None = None,
) -> Total:
    """One total; money for charged and reversed, `base` units an order."""
    sign = {Outcome.CHARGED: 1, Outcome.REVERSED: -1}.get(outcome, 0)
    return Total(
        insured_on=day,
        enterprise=enterprise,
        province=province,
        industry="instant_delivery",
        outcome=outcome,
        reason=reason or ("cancelled" if sign < 0 else None),
        tariff_line=line if sign else None,
        orders=orders,
        premium=sign * orders * base,
    )


def manifest(run: str, number: int, totals: Iterable[Total]) -> PremiumsCharged:
    """A manifest of the totals; its kind follows from them."""
    lines = list(totals)
    kind = "settlement" if any(one.outcome is Outcome.REVERSED for one in lines) else "orders"
    leaves = sum(one.orders for one in lines)
    unsigned = PremiumsCharged(
        run=run,
        number=number,
        kind="settlement" if kind == "settlement" else "orders",
        leaves=leaves,
        root=secrets.token_hex(32),
        totals=lines,
    )
    return signed(unsigned) if 0 <= leaves <= LARGEST else unsigned


def signed(one: PremiumsCharged, author: AuthorSigner | None = None) -> PremiumsCharged:
    """The manifest with the signature of its deployment, unless somebody else signs it."""
    signer = author or next(signer for signer in ALL if signer.author.identity == one.deployment)
    return sign_manifest(one, signer.key_id, signer.sign)


def new_run() -> str:
    """The id of a run."""
    return secrets.token_hex(16)


@dataclass
class Charging:
    """Every manifest it ever wrote, by run and number; answers a close by counting over them."""

    manifests: dict[tuple[str, int], PremiumsCharged] = field(default_factory=dict)
    settlements: dict[date, PremiumsCharged] = field(default_factory=dict)

    def write(self, run: str, *totals: Total) -> PremiumsCharged:
        """The next manifest of a run."""
        number = 1 + max((known for other, known in self.manifests if other == run), default=0)
        written = self.manifests[run, number] = manifest(run, number, totals)
        return written

    def settle_at_close(self, day: date, *totals: Total) -> None:
        """What the close of that day will reverse."""
        self.settlements[day] = self.write(new_run(), *totals)

    def count(self, closing: DayClosing) -> DayCounted:
        """Count over exactly the cut and this close's settlement."""
        settlement = self.settlements.get(closing.day)
        cut = dict(closing.cut)
        if settlement:
            cut[settlement.run] = settlement.number
        inside = [one for key, one in self.manifests.items() if _reaches(cut, key)]
        late = [one for key, one in self.manifests.items() if _reaches(cut, key) - _reaches(closing.previous_cut, key)]
        totals = [one for written in inside for one in written.totals if one.insured_on == closing.day]
        totals += [one for written in late for one in written.totals if one.insured_on and one.insured_on < closing.day]
        return DayCounted(
            day=closing.day,
            attempt=closing.attempt,
            cut=closing.cut,
            settlement=settlement,
            totals=[one for one in totals if one.outcome in {"charged", "excluded", "reversed"}],
            workers=[],
            first_time=[],
            resends=0,
            unmatched_cancellations=0,
        )


def _reaches(cut: dict[str, int], key: tuple[str, int]) -> bool:
    return key[1] <= cut.get(key[0], 0)


@dataclass
class Ledger:
    """Migrated books, the engine of the service's own role, and the charging that feeds it."""

    engine: AsyncEngine
    owner: AsyncEngine
    url: str
    charging: Charging = field(default_factory=Charging)

    async def take(self, one: PremiumsCharged) -> str:
        """Deliver a manifest, signed by its deployment after any change."""
        return await self.take_signed(signed(one))

    async def take_signed(self, one: PremiumsCharged, authors: Authors = AUTHORS) -> str:
        """Deliver it with the signature that it has, to a ledger that knows these authors."""
        return (await take_manifest(self.engine, msgspec.json.encode(one), authors)).state

    async def charge(self, run: str, *totals: Total) -> PremiumsCharged:
        """Write a manifest and deliver it."""
        written = self.charging.write(run, *totals)
        await self.take(written)
        return written

    async def begin_close(self, day: date, as_of: datetime | None = None) -> CloseResult:
        """Begin the close of a day, at its due time unless `as_of` is given."""
        return await close_day(self.engine, day, as_of or due(day), 36)

    async def last_closing(self) -> DayClosing:
        """The last published request for a count."""
        payload = await self.value("select payload from ledger.outbox where topic = 'days.closing.v1' order by id desc")
        return msgspec.json.decode(payload, type=DayClosing)

    async def answer(self) -> str:
        """Let charging answer the last request for a count."""
        counted = self.charging.count(await self.last_closing())
        return await take_count(self.engine, msgspec.json.encode(counted), COUNTERS)

    async def close(self, day: date) -> str:
        """Begin the close of a day and let charging answer."""
        assert (await self.begin_close(day)).state == "closing"
        return await self.answer()

    async def close_through(self, last: date) -> None:
        """Close every day up to and with `last`."""
        day = OPENED_ON
        while day <= last:
            if not await self.value("select 1 from ledger.day_closed where day = :day", day=day):
                assert await self.close(day) == "closed"
            day += timedelta(days=1)

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """Rows of a query, as the owner."""
        async with self.owner.connect() as connection:
            return list((await connection.execute(text(query), values)).all())

    async def value(self, query: str, **values: Any) -> Any:
        """First column of the first row, None without one."""
        rows = await self.rows(query, **values)
        return rows[0][0] if rows else None

    async def balances(self) -> Counter[str]:
        """Sum of the postings by kind of account; accounts at zero are left out."""
        rows = await self.rows("""select kind, sum(amount)::bigint from ledger.posting
            join ledger.account using (account_id) group by kind having sum(amount) <> 0""")
        return Counter({row[0]: row[1] for row in rows})


ANY_TIME = Clocks(span=timedelta(days=36_500))
"""For times of a story: they may lie ahead of the database's clock."""


def due(day: date) -> datetime:
    """When a day can be closed: T+1 12:00."""
    return day_start(day) + timedelta(hours=36)


@asynccontextmanager
async def open_ledger(owner_url: str, opened_on: date = OPENED_ON) -> AsyncIterator[Ledger]:
    """Migrate an empty database and open its books."""
    await migrate(owner_url, "ledger", MIGRATIONS, {"danbao_ledger": "ledger", "danbao_auditor": "auditor"})
    url = with_login(owner_url, "danbao_ledger", "ledger")
    async with open_engine(url) as engine, open_engine(owner_url, size=2) as owner:
        await open_books(engine, opened_on)
        yield Ledger(engine, owner, url)
