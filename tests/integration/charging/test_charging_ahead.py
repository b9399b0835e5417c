"""DayPartitions are made days ahead; a missing one raises an alarm days before a batch needs it."""

import re
from datetime import date, timedelta

import asyncpg
from prometheus_client import CollectorRegistry

from services.charging.metrics import Metrics
from services.charging.store.day_partitions import DayPartitions, PartitionsAhead
from tests.integration.charging.charging_harness import House

TODAY = date(2026, 10, 3)
_ROWS = """insert into charging.entry (accepted_at, worker_key, batch, leaf_index, premium, region, tariff_line,
        enterprise, token_key, industry, kind, reason, order_id, worker_rest, received)
    select '2026-10-03T12:00:00+08:00', n, 1, n, 100, 440106, 1, 1, 1, 1, 1, 0, 'a', repeat('x', 900)::bytea, ''
    from generate_series(1, 6000) n"""


async def test_their_lack_is_an_alarm_that_says_why_and_ends_with_it(house: House) -> None:
    registry = CollectorRegistry()
    ahead = PartitionsAhead(house.pool, Metrics(registry), ahead=7, least=3)

    async def reported(day: date) -> tuple[float | None, str | None]:
        await ahead.create(day)
        return registry.get_sample_value("danbao_charging_parts_ahead_days"), await ahead.readiness()

    owner = await asyncpg.connect(house.owner_url)
    try:
        assert await reported(TODAY) == (7, None)
        await owner.execute("revoke execute on function charging.ensure_partitions from danbao_charging")
        assert await reported(TODAY + timedelta(days=4)) == (3, None)
        count, why = await reported(TODAY + timedelta(days=5))
        assert count == 2
        assert why is not None
        assert why.startswith("rows have parts for 2 more days, fewer than 3: InsufficientPrivilegeError")
        assert (await reported(TODAY + timedelta(days=9)))[0] == -1  # not even the day's own
        await owner.execute("grant execute on function charging.ensure_partitions to danbao_charging")
        assert await reported(TODAY + timedelta(days=9)) == (7, None)
        await owner.execute("alter table charging.entry detach partition charging.entry_20261015")
        assert (await reported(TODAY + timedelta(days=9)))[0] == 2  # a table of that name is not yet a part
    finally:
        await owner.close()


async def test_an_open_part_is_left_to_vacuum_when_its_day_is_over(house: House) -> None:
    """While it is open, vacuum would shut out who makes its summaries."""
    ahead = PartitionsAhead(house.pool, Metrics(CollectorRegistry()), ahead=1, least=0)
    await ahead.create(TODAY)
    options = "select relname from pg_class where relname ~ '^entry_2026[0-9]+$' and reloptions is not null order by 1"
    assert [row[0] for row in await house.fetch(options)] == ["entry_20261003", "entry_20261004"]
    await ahead.create(TODAY + timedelta(days=1))
    assert [row[0] for row in await house.fetch(options)] == ["entry_20261004", "entry_20261005"]
    await house.pool.execute(
        "select charging.restore_autovacuum('2026-10-03'), charging.restore_autovacuum('2031-01-01')"
    )  # and again


async def test_what_batches_added_is_summed_up_unless_the_part_is_taken(house: House) -> None:
    """But for the last stretches, into which rows still go."""
    partitions, day = DayPartitions(house.pool, days_ahead=0), (TODAY - date(1970, 1, 1)).days
    await partitions.ensure([day])
    owner = await asyncpg.connect(house.owner_url)
    size = "select pg_relation_size('charging.entry_20261003') / 8192 / 48"
    left = "select sum(brin_summarize_new_values('charging.entry_20261003' || name)) from unnest($1::text[]) as name"
    summaries, being_filled = ["_open", "_open_worker"], 2 * 11
    try:
        await owner.execute(_ROWS)
        async with owner.transaction():
            await owner.execute("lock table charging.entry_20261003 in share update exclusive mode")  # as vacuum does
            await partitions.summarize_brin()
        filled = await owner.fetchval(size) - 10
        assert filled > 2
        await partitions.summarize_brin()
        assert await owner.fetchval(left, summaries) == being_filled
        await partitions.summarize_brin()
        await owner.execute("select brin_desummarize_range('charging.entry_20261003_open', $1)", 48 * (filled - 1))
        await owner.execute(_ROWS.replace("'a'", "'b'"))
        await partitions.ensure([day, day + 400])
        await partitions.summarize_brin()
        assert await owner.fetchval(left, summaries) == being_filled + 1, "it goes on where it was"
        await house.pool.execute("select charging.seal_partition($1)", TODAY)
        await partitions.ensure([day])
        await partitions.summarize_brin()
    finally:
        await owner.close()


async def test_a_summary_that_is_broken_off_is_taken_back(house: House) -> None:
    """What PostgreSQL leaves of it has every later stretch read (docs/decisions/0010)."""
    await house.pool.execute("select charging.ensure_partitions($1, $1)", TODAY)
    owner, worker = await asyncpg.connect(house.owner_url), await asyncpg.connect(house.url)
    stretch, broken_off = 0, 0
    try:
        for number in range(4):
            rows = _ROWS.replace("900", "24").replace("6000", "60000")  # a stretch then takes a while
            await owner.execute(rows.replace("'a'", f"'{number}'"))
            for milliseconds in (1, 2, 3, 4, 5, 6, 7, 8):
                await worker.execute(f"set statement_timeout = {milliseconds}")
                try:
                    stretch = await worker.fetchval("select charging.summarize_partition($1, $2)", TODAY, stretch)
                except asyncpg.QueryCanceledError:
                    broken_off += 1
        await worker.execute("set statement_timeout = 0")
        await worker.fetchval("select charging.summarize_partition($1, $2)", TODAY, stretch)
        await owner.execute("set enable_seqscan = off; set cpu_index_tuple_cost = 1000")
        plan = await owner.fetch(
            "explain (analyze, costs off, timing off) select from charging.entry_20261003 where order_id = 'nobody'"
        )
        reported = "\n".join(row[0] for row in plan)
        read = re.search(r"Rows Removed by Index Recheck: (\d+)", reported)
        assert broken_off > 0
        assert read is not None, reported
        assert int(read[1]) < 4 * 60_000 / 3, reported
    finally:
        await owner.close()
        await worker.close()
