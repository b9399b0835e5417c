"""A topic that is paused since events are lost: what is missing is shown, somebody decides, and it is read on."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from services.audit.charging.manifests import check_manifests
from services.audit.charging.row_contents import RowReader
from services.audit.facts import _MANIFESTS, PATIENCE, Facts, _manifest, _ManifestRow
from services.audit.verdict import Verdict
from shared.adapters.postgres.typed_rows import fetch_structs
from shared.contracts.topics import orders_topic
from tests.integration.charging.charging_harness import OTHER_RIDES, RIDES, House, Sent, accepted, demo_scheme
from tests.integration.charging.charging_service import KEY, Field, Process, open_field
from tests.support.access_keys import caller_variables
from tests.support.authors import person_variables
from tests.support.brokers import NO_RETENTION, differs
from tests.support.kafka_admin import delete_records
from tests.support.servers import Broker, client_settings
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

TOPIC = orders_topic(RIDES)


@pytest.fixture
async def field(house: House, fresh_broker: Broker) -> AsyncIterator[Field]:
    async with open_field(house, client_settings(fresh_broker)) as opened:
        await opened.make_topics(RIDES, OTHER_RIDES)
        yield opened


async def wait_paused(worker: Process) -> None:
    async def is_paused() -> bool:
        return TOPIC in (await worker.get("/v1/status"))["paused"]

    await eventually_async(is_paused, "the pause")


async def run_command(worker: Process, *arguments: str) -> tuple[int, str]:
    """`danbao topics …` against this worker."""
    env = {**os.environ, **caller_variables(KEY), **person_variables(worker.log.parent)}
    env["DANBAO_CHARGING_URL"] = str(worker.api.base_url).rstrip("/")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", "topics", *arguments, env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await child.communicate()
    return child.returncode or 0, output.decode()


async def audit_finds(house: House) -> list[str]:
    """Faults that the audit names in manifests and positions."""
    owner = await asyncpg.connect(house.owner_url)
    try:
        verdict = Verdict()
        check = verdict.check("I4", "reads")
        facts = Facts(
            scheme=demo_scheme(),
            opened_on=None,
            enterprises={row["id"]: row["uscc"] for row in await owner.fetch("select * from charging.enterprise")},
            manifests={
                row.batch: _manifest(row, check)
                for row in await fetch_structs(owner, _ManifestRow, _MANIFESTS, PATIENCE)
            },
            closed=[],
            run_ids={},
        )
        async with owner.transaction():
            rows = RowReader(facts, check)
            await rows.read(owner)
            await check_manifests(owner, facts, rows, verdict)
        return [line for line in verdict.lines() if "FAILED" in line]
    finally:
        await owner.close()


async def moved(house: House) -> list[tuple[Any, ...]]:
    columns = "partition, from_offset, to_offset, events, topic_id is distinct from new_topic_id, who, why"
    return await house.fetch(f"select {columns} from charging.moved_on order by id")


async def test_a_topic_made_anew_is_read_on_when_somebody_says_so(field: Field) -> None:
    async with field.worker() as worker, field.worker() as other:
        poison = Sent(b"poison")
        await field.send(*(accepted(f"o{n}") for n in range(49)), poison)
        await field.has_counted(50)
        assert await run_command(worker, "losses", TOPIC) == (0, "nothing is missing: every position fits its log\n")
        await field.delete_topics(RIDES)
        await field.make_topics(RIDES)
        await field.send(*(accepted(f"new{n}") for n in range(49)), poison)

        async def one_is_paused() -> bool:
            return any([TOPIC in (await process.get("/v1/status"))["paused"] for process in (worker, other)])

        await eventually_async(one_is_paused, "the pause")
        status, reported = await run_command(worker, "move-on", TOPIC)
        assert (status, "partition 0: charged up to 50, would be read on from 0: recreated" in reported) == (0, True)
        assert await moved(field.house) == [], "shown, not done"
        status, reported = await run_command(worker, "move-on", TOPIC, "--yes")
        assert (status, "--why is needed" in reported) == (2, True)
        why = ("--why", "deleted by mistake; sent again")
        status, reported = await run_command(worker, "move-on", TOPIC, "--yes", *why)
        assert (status, f"1 partitions of {TOPIC} are read on" in reported) == (0, True)
        await field.has_counted(100)
        for process in (worker, other):
            await eventually_async(process.is_ready, "readiness")
        assert await moved(field.house) == [(0, 50, 0, 50, True, "operator", "deleted by mistake; sent again")]
        stale = {"partition": 0, "from_offset": 50, "to_offset": 0}
        body = {"losses": [stale], "why": "again"}
        assert (await worker.api.post(f"/v1/topics/{TOPIC}/move-on", json=body)).status_code == 409
    assert await audit_finds(field.house) == []
    assert await field.house.value("select count(*) from charging.parked where record_offset = 49") == 2


@differs(NO_RETENTION)
async def test_events_that_retention_took_are_named_and_passed_over_when_somebody_says_so(field: Field) -> None:
    async with field.worker():
        await field.send(*(accepted(f"o{n}") for n in range(50)))
        await field.has_counted(50)
    await field.send(*(accepted(f"lost{n}") for n in range(30)))
    await delete_records(field.client, TOPIC, 80)
    await field.send(*(accepted(f"after{n}") for n in range(10)))
    async with field.worker(wait=False) as worker:
        await eventually_async(worker.is_listening, "an answer")
        await wait_paused(worker)
        status, reported = await run_command(worker, "move-on", TOPIC, "--yes", "--why", "they are sent again")
        assert (status, "offsets 50 to 79 are gone from the log" in reported) == (0, True)
        await field.has_counted(60)
        await eventually_async(worker.is_ready, "readiness")
    assert [row[:4] for row in await moved(field.house)] == [(0, 50, 80, 50)]
    assert await audit_finds(field.house) == []
