"""Plays a history of `tests/generators/workload.py` to the real services and to the model, and compares every figure.

No Kafka: records are read and written as the consumer does it; messages leave through the real outboxes and are handed
over here, late, twice or out of order, as the history says. PostgreSQL is real.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from services.charging.close.count_day import count_day
from services.charging.close.settlement import settle
from services.charging.ingest.batch_reader import EventReader
from services.charging.queries.days import DayQueries
from services.charging.queries.progress import ProgressQueries
from services.charging.rerate.rerate import Window, book_differences, find_differences
from services.charging.rows.batch import Batch
from services.charging.store.batch_writer import WrittenBatch, write_batch
from services.charging.store.day_partitions import DayPartitions
from services.charging.store.manifests import Run, start_run
from services.charging.store.positions import Fenced, Move
from services.ledger.books.booking import take_manifest
from services.ledger.books.missing_manifests import fill_gaps
from services.ledger.books.open_days import open_books
from services.ledger.close.close_day import close_day
from services.ledger.close.compare_count import take_count
from shared.adapters.files.regions import known_regions
from shared.adapters.files.scheme import load_scheme
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.outbox import Outbox
from shared.adapters.postgres.pool import Pool, open_pool, with_login
from shared.contracts import topics
from shared.contracts.manifests import DayClosed, DayClosing, DayCounted, PremiumsCharged
from shared.domain.errors import Refused
from shared.domain.scheme.rating import Scheme
from tests.generators.workload import OPENED_ON, PARTITIONS, Step, bytes_of
from tests.generators.workload_faults import UNREGISTERED
from tests.generators.workload_places import EVERYWHERE, JOINING, LEAVING
from tests.integration.charging.charging_harness import CLUSTER, LIMITS, PASSWORD, ROOT, Record, copied_database
from tests.integration.histories.model_audit import (
    Audit,
    differing,
    expected_differing,
    model_sums,
    reported_sums,
    same,
    same_day,
    units,
)
from tests.integration.histories.model_money import Money
from tests.integration.ledger.ledger_harness import COUNTERS
from tests.integration.reporting.other_services import Manifests
from tests.model.charging import ONE
from tests.model.model import CLOSE_AFTER, Model
from tests.model.rows import Count
from tests.model.scheme import midnight, read_scheme
from tests.support.authors import AUTHORS, CHARGING
from tests.support.decisions import store_decision
from tests.support.servers import Postgres

SEEDS = ROOT / "tests" / "seeds"
SCHEME = SEEDS / "scheme"
REGISTERED = (EVERYWHERE, JOINING, LEAVING)


@dataclass
class Start:
    """One start of a worker: its runs, and what the model calls them."""

    reader: EventReader
    run: Run
    settling: Run


@dataclass
class Play(Money):
    """The services of one database, their model, and the messages on their way between them."""

    owner_url: str
    outgoing: Pool
    """Of the ledger's role, for its outbox."""
    scheme: Scheme
    ids: dict[str, int]
    partitions: DayPartitions
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)
    way: dict[str, list[bytes]] = field(default_factory=dict)
    last_batch: tuple[Batch, list[Move]] | None = None
    events: int = 0

    async def start(self, worker: int) -> None:
        """Start or restart a worker with a new run."""
        async with self.pool.acquire() as connection:
            run = await start_run(connection, "orders", CHARGING)
            settling = await start_run(connection, "settlement", CHARGING)
        reader = EventReader(self.scheme, known_regions(), self.ids, LIMITS)
        self.starts[worker : worker + 1] = [Start(reader, run, settling)]

    async def play(self, steps: Sequence[Step]) -> None:
        """The whole history, and the audit after it."""
        for number, step in enumerate(steps):
            try:
                await self.step(step)
            except BaseException as error:
                error.add_note(f"at step {number}: {json.dumps(step)[:2000]}")
                raise
        await self.audit()

    async def step(self, step: Step) -> None:
        """One step of a history."""
        arguments = {name: value for name, value in step.items() if name != "do"}
        await getattr(self, f"do_{step['do']}")(**arguments)
        if step["do"] in {"send", "settle"}:
            await self._publish(self.pool, "charging")
        elif step["do"] == "freeze":
            await self._publish(self.outgoing, "ledger")

    async def _publish(self, pool: Pool, schema: str) -> None:
        async def publish(topic: str, _key: str, payload: bytes) -> None:
            self.way.setdefault(topic, []).append(payload)

        await Outbox(pool, schema, publish).publish_once()

    # What enterprises and workers do

    async def do_send(
        self, worker: int, use_copy: bool, records: list[dict[str, Any]], concurrent: list[dict[str, Any]] | None = None
    ) -> None:
        """Write a batch of a worker and, when `concurrent` is given, one of the other worker at the same time."""
        taken = {record["topic"] for record in records}
        rest = [record for record in concurrent or [] if record["topic"] not in taken]
        jobs = [(self.starts[worker], self._placed(records))]
        jobs += [(self.starts[1 - worker], self._placed(rest))] if rest else []
        batches = [start.reader.read(placed, start.run.next_batch()) for start, placed in jobs]
        await self.partitions.ensure(set().union(*(batch.days for batch in batches)))
        written = [self._write(start, batch, use_copy) for (start, _), batch in zip(jobs, batches, strict=True)]
        for (start, placed), result in zip(jobs, await asyncio.gather(*written), strict=True):
            self._compare(start, placed, result)

    def _placed(self, records: list[dict[str, Any]]) -> list[Record]:
        placed = []
        for record in records:
            place = (record["topic"], record["partition"])
            offset = self.offsets[place]
            self.offsets[place] += 1
            placed.append(Record(*place, offset, record["ms"], b"k", bytes_of(record["value"])))
        return sorted(placed, key=lambda record: (record.topic, record.partition, record.offset))

    async def _write(self, start: Start, batch: Batch, use_copy: bool) -> WrittenBatch:
        moves: dict[tuple[str, int], list[Any]] = {}
        for record in batch.records:
            moves.setdefault((record.topic, record.partition), []).append(record)
        reported = [Move(*place, mine[0].offset, mine[-1].offset + 1, len(mine)) for place, mine in moves.items()]
        self.last_batch = batch, reported
        async with self.pool.acquire() as connection:
            return await write_batch(connection, CLUSTER, start.run, batch, reported, use_copy=use_copy)

    def _compare(self, start: Start, placed: list[Record], written: WrittenBatch) -> None:
        ends = self.model.take(start.run.run, list(placed))
        self.events += len(ends)
        for record, key, end in zip(placed, written.batch.totals, ends, strict=True):
            insured_on = None if key.insured_on < 0 else date(1970, 1, 1) + timedelta(days=key.insured_on)
            place = (insured_on, key.enterprise, key.province or "", key.industry or "")
            reported = (*place, key.outcome.value, key.reason or "", str(key.tariff_line or ""), key.base_amount)
            same(f"the end of {(record.value or b'')[:700]!r}", reported, (*end[:7], units(end.base)))
        same("the manifest", reported_sums(written.manifest.totals), model_sums(Counter(ends)))
        repeats = sum(end.outcome == "repeat" for end in ends)
        same("leaves", written.manifest.leaves, len(ends) - repeats)

    async def do_zombie(self) -> None:
        """A worker that lost its partitions tries to write its last batch again."""
        if self.last_batch is None:
            return
        batch, moves = self.last_batch
        again = self.starts[0].reader.read(batch.records, self.starts[0].run.next_batch())
        async with self.pool.acquire() as connection:
            with pytest.raises(Fenced):
                await write_batch(connection, CLUSTER, self.starts[0].run, again, moves, use_copy=True)

    async def do_restart(self, worker: int) -> None:
        await self.start(worker)

    async def do_clock(self, seconds: int) -> None:
        """From now on the database writes another time down as that of a commit: its clock was set."""
        owner = await asyncpg.connect(self.owner_url)
        try:
            default = f"clock_timestamp() + interval '{seconds} seconds'"
            await owner.execute(f"alter table charging.manifest alter column committed_at set default {default}")
        finally:
            await owner.close()

    async def do_correct(self, scheme: str) -> None:
        """Restart both workers on other scheme files."""
        self.scheme = load_scheme([SEEDS / scheme])
        self.model.scheme = read_scheme([SEEDS / scheme])
        for worker in range(2):
            await self.start(worker)

    async def do_rerate(self, first: str, last: str, enterprise: str, province: str) -> None:
        """Show what the scheme rates otherwise now, then book it; again there is nothing."""
        days = date.fromisoformat(first), date.fromisoformat(last)
        window = Window(*days, enterprise or None, province or None)
        expected = self.model.find_differences(*days, enterprise, province)
        differences = await find_differences(self.pool, self.scheme, window)
        same("what a re-rating would change", differing(differences), expected_differing(expected))
        booking = book_differences(self.pool, self.scheme, window, CHARGING, await store_decision(self.pool))
        if any(total.outcome == "uncovered" for _, total in expected):
            with pytest.raises(Refused):
                await anext(booking)
            return
        same("re-rated orders", booked := sum([count async for count in booking]), len(expected))
        if booked:
            await self._publish(self.pool, "charging")
            run = msgspec.json.decode(self.way[topics.MANIFESTS][-1], type=PremiumsCharged).run
            self.model.rerate(run, expected)
            mine = [manifest for (name, _), manifest in self.model.manifests.items() if name == run]
            for manifest in mine:
                reported = await self._manifest(run, manifest.number)
                same("the correction", reported_sums(reported.totals), model_sums(manifest.totals))
        same("what is left", await find_differences(self.pool, self.scheme, window), [])

    async def do_settle(self) -> None:
        run = self.starts[0].settling
        reversed_count = await settle(self.pool, self.scheme, run)
        expected = self.model.settle(run.run)
        same("orders reversed", reversed_count, sum(expected.values()))
        if expected:
            manifest = await self._manifest(run.run, run.last + 1)
            same("the settlement", reported_sums(manifest.totals), model_sums(expected))

    async def _manifest(self, run: str, number: int) -> PremiumsCharged:
        payload = await ProgressQueries(self.pool, CHARGING, known_regions()).manifest(run, number)
        assert payload is not None, f"{run}/{number}"
        return msgspec.json.decode(payload, type=PremiumsCharged)

    # What happens between charging and the ledger

    async def do_deliver(self, picks: list[int], twice: bool) -> None:
        for pick in picks:
            if waiting := self.way.get(topics.MANIFESTS):
                await self._deliver(waiting.pop(pick % len(waiting)))
                if twice:
                    await self._deliver(self.delivered)

    async def _deliver(self, payload: bytes) -> None:
        self.delivered = payload
        manifest = msgspec.json.decode(payload, type=PremiumsCharged)
        received = await take_manifest(self.ledger, payload, AUTHORS)
        same("what became of a manifest", received.state, self.model.deliver(manifest.run, manifest.number))

    async def do_fill(self) -> None:
        """Fetch every manifest that a later one waits for."""
        transport = Manifests(ProgressQueries(self.pool, CHARGING, known_regions()))
        async with httpx.AsyncClient(transport=transport, base_url="http://charging") as client:
            while await fill_gaps(self.ledger, AUTHORS, client):
                continue  # a pass fills the first gap of each run
        for run, number in sorted(self.model.inbox):
            for missing in range(self.model.booked.get(run, 0) + 1, number):
                if (run, missing) not in self.model.inbox:
                    self.model.deliver(run, missing)
        self.model.book_waiting()

    async def do_freeze(self) -> None:
        day = self.model.first_open
        as_of = midnight(day) + CLOSE_AFTER
        early = await close_day(self.ledger, day, as_of - timedelta(microseconds=1), 36)
        same("a close before its time", early.state, self.model.freeze(day, as_of - timedelta(microseconds=1)))
        for wish in (day + ONE, day, day - ONE):
            answer = await close_day(self.ledger, wish, as_of + ONE, 36)
            same(f"the wish to close {wish}", answer.state, self.model.freeze(wish, as_of + ONE))

    async def do_count(self) -> None:
        """Charging hears the last question, once more where it is answered already."""
        questions = self.way.get(topics.DAYS_CLOSING)
        if not questions:
            return
        closing = msgspec.json.decode(questions[-1], type=DayClosing)
        await count_day(self.pool, self.scheme, closing, CHARGING)
        await self._publish(self.pool, "charging")
        if self.model.closing is not None:
            reported = msgspec.json.decode(self.way[topics.DAYS_COUNTED][-1], type=DayCounted)
            count = self.model.count()
            same("the settlement of the close", reported_sums(_settled(reported)), model_sums(count.settlement))
            same_day(reported, count)
            same("re-sends", reported.resends, count.resends)
            same("cancellations without acceptance", reported.unmatched_cancellations, count.unmatched)

    async def do_answer(self, twice: bool) -> None:
        """The ledger hears the last answer."""
        answers = self.way.get(topics.DAYS_COUNTED)
        if not answers:
            return
        is_due = self.model.closing is not None and self.model.closing.count is not None
        state = await take_count(self.ledger, answers[-1], COUNTERS)
        same("the answer", state, "closed" if is_due else "already_counted")
        if is_due:
            count = self.model.close()
            await self._publish(self.outgoing, "ledger")
            same_day(msgspec.json.decode(self.way[topics.DAYS_CLOSED][-1], type=DayClosed), count)
            await self._same_workers(count)
        if twice:
            same("the answer again", await take_count(self.ledger, answers[-1], COUNTERS), "already_counted")

    async def _same_workers(self, count: Count) -> None:
        days = DayQueries(self.pool)
        for province in ("31", "44", "37", "46", "12"):
            registrations = await days.registrations(count.day, province, "", 100)
            same(f"first-time workers of {province}", registrations, sorted(count.first_time.get(province, ())))
            reported = {
                (row.enterprise, province, row.worker_id, row.employer_insurance_no): row.orders
                for row in await days.employee_exclusions(count.day, province)
            }
            mine = {key: orders for key, orders in count.employees.items() if key[1] == province}
            same(f"employees of {province}", reported, mine)

    async def do_rush(self, until: str) -> None:
        """Close one day after another."""
        while self.model.first_open <= date.fromisoformat(until):
            for step in ({"do": "freeze"}, {"do": "count"}, {"do": "answer", "twice": False}):
                await self.step(step)

    async def audit(self) -> None:
        """Every figure that is written down."""
        await Audit(self.pool, self.ledger, self.model).all()


def _settled(reported: DayCounted) -> list[Any]:
    return [] if reported.settlement is None else reported.settlement.totals


@asynccontextmanager
async def open_play(server: Postgres, template: str, opened_on: date = OPENED_ON) -> AsyncIterator[Play]:
    """A copy of the template with books that open on a day, two workers, and a model of the same scheme."""
    scheme = load_scheme([SCHEME])
    model = Model(read_scheme([SCHEME]), set(REGISTERED), known_regions(), opened_on=opened_on)
    async with copied_database(server, template) as url:
        charging, ledger = (with_login(url, f"danbao_{schema}", PASSWORD) for schema in ("charging", "ledger"))
        async with (
            open_pool(charging, size=3) as pool,
            open_pool(ledger, size=1) as outgoing,
            open_engine(ledger, size=2) as engine,
        ):
            await pool.execute("insert into charging.enterprise (uscc) select unnest($1::text[])", list(REGISTERED))
            ids = {row["uscc"]: row["id"] for row in await pool.fetch("select uscc, id from charging.enterprise")}
            await open_books(engine, opened_on)
            play = Play(pool, engine, model, url, outgoing, scheme, ids, DayPartitions(pool, 0))
            for uscc in (*REGISTERED, UNREGISTERED):
                play.offsets |= {(topics.orders_topic(uscc), partition): 0 for partition in range(PARTITIONS)}
            sql = "insert into charging.position select $1, unnest($2::text[]), unnest($3::int[]), 0, 0, 0"
            places = sorted(play.offsets)
            await pool.execute(sql, CLUSTER, [topic for topic, _ in places], [number for _, number in places])
            for worker in range(2):
                await play.start(worker)
            yield play
