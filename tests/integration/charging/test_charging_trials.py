"""A dry run of an event shows what the consumer does with it, and leaves nothing behind."""

import base64
from datetime import UTC, datetime

import httpx
from fastapi import FastAPI

from services.charging.api.dry_run_routes import MOST_BYTES, make_dry_run_router
from services.charging.ingest.batch_reader import EventReader
from services.charging.queries.dry_run import DryRun
from shared.adapters.files.regions import DELIVERED, known_regions, load_regions
from shared.contracts.manifests import PremiumsCharged
from shared.domain.money import Amount, yuan
from tests.generators.corpus_files import NOON_MS, read_corpus
from tests.integration.charging.charging_harness import (
    LIMITS,
    NOON,
    RIDES,
    House,
    Sent,
    accepted,
    cancelled,
    completed,
    declared,
)
from tests.support.access_keys import opened_by

LAST_MS = round(datetime(9999, 1, 1, tzinfo=UTC).timestamp() * 1000)
TABLES = """select relname from pg_class where relnamespace = 'charging'::regnamespace and relkind in ('r', 'p')
    and not relispartition and has_table_privilege(oid, 'select')"""


async def trials_of(house: House) -> DryRun:
    ids = {row["uscc"]: row["id"] for row in await house.pool.fetch("select uscc, id from charging.enterprise")}
    return DryRun(house.pool, lambda: EventReader(house.scheme, known_regions(), ids, LIMITS), load_regions(DELIVERED))


async def tried(trials: DryRun, sent: Sent) -> tuple[str, str]:
    time_ms = round(sent.at.timestamp() * 1000) if sent.time_ms is None else sent.time_ms
    at = datetime.fromtimestamp(time_ms / 1000, UTC)
    result = await trials.run(sent.uscc, sent.value or b"", at)
    return result.outcome.value, result.reason or ""


def ended(manifest: PremiumsCharged) -> tuple[str, str]:
    (total,) = manifest.totals
    return total.outcome.value, total.reason or ""


async def count_rows(house: House) -> dict[str, int]:
    return {name: await house.value(f'select count(*) from charging."{name}"') for (name,) in await house.fetch(TABLES)}


async def test_the_corpus_ends_as_it_was_tried(house: House) -> None:
    """Tried, taken, and tried again: then a taken event would be a repeat, and a parked one is parked again."""
    trials, worker, met = await trials_of(house), await house.worker(), []
    for nasty in read_corpus():
        if nasty.sent.value is None or not 0 <= (nasty.sent.time_ms or NOON_MS) < LAST_MS:
            continue  # a trial has bytes, and an instant
        before = await count_rows(house)
        first = await tried(trials, nasty.sent)
        assert await count_rows(house) == before, nasty.name
        assert first == nasty.ends == ended(await worker.charge(nasty.sent)), nasty.name
        assert await tried(trials, nasty.sent) == (first if first[0] == "parked" else ("repeat", "")), nasty.name
        met.append(first[0])
    assert {"parked", "charged"} <= set(met)


async def test_a_stored_key_with_other_content_is_a_conflict(house: House) -> None:
    trials, worker = await trials_of(house), await house.worker()
    pairs = [
        (accepted("a"), accepted("a", acceptance_region="440305")),
        (completed("a"), completed("a", seconds=700)),
        (cancelled("b"), cancelled("b", seconds=31)),
        (declared("d"), declared("d", orders=2)),
    ]
    for one, other in pairs:
        assert (await tried(trials, one))[0] in {"charged", "recorded"}
        await worker.charge(one)
        assert await tried(trials, one) == ("repeat", "")
        assert await tried(trials, other) == ("conflict", "")
        assert ended(await worker.charge(other)) == ("conflict", "")


async def test_over_http_for_services_only(house: House) -> None:
    app = FastAPI()
    app.include_router(make_dry_run_router(opened_by("service"), await trials_of(house)))
    event = accepted("a").value or b""
    wish = {"enterprise": RIDES, "event": base64.b64encode(event).decode(), "as_of": NOON.isoformat()}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.post("/v1/trials", json=wish)).status_code == 401
        client.headers["Authorization"] = "Bearer service"
        reported = (await client.post("/v1/trials", json=wish)).raise_for_status().json()["trial"]
        (total,) = (await (await house.worker()).charge(accepted("a"))).totals
        assert reported == {
            "outcome": "charged", "reason": None, "detail": None, "insured_on": str(total.insured_on),
            "province": total.province, "industry": total.industry, "tariff_line": total.tariff_line,
            "amount_yuan": yuan(Amount(total.premium)),
        }  # fmt: skip
        parked = wish | {"event": base64.b64encode(b"{").decode()}
        reported = (await client.post("/v1/trials", json=parked)).json()["trial"]
        assert reported["outcome"] == "parked"
        assert reported["detail"]
        large = wish | {"event": base64.b64encode(b"x" * (MOST_BYTES + 1)).decode()}
        assert (await client.post("/v1/trials", json=large)).status_code == 413
        assert (await client.post("/v1/trials", json=wish | {"event": "not base64!"})).status_code == 422
