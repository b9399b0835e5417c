"""API keys of programs and links of workers: who makes them, what they open, how they end."""

import asyncpg

from services.reporting.access.viewers import Role, Viewer
from tests.integration.reporting import access_harness
from tests.integration.reporting.access_harness import browser, open_link
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    WORKER,
    House,
    bearer,
)

opened, house, owner = access_harness.opened, access_harness.house, access_harness.owner


async def test_an_enterprise_makes_keys_of_its_own_and_revokes_them(house: House, owner: asyncpg.Connection) -> None:
    own, wish = bearer("key-blue"), {"name": "nightly", "role": "enterprise", "scope": BLUE, "days": 30}
    for more in (
        {"scope": GREEN},
        {"role": "national", "scope": None},
        {"role": "province", "scope": "44"},
        {"days": 0},
    ):
        assert (await house.client.post("/v1/api-keys", json=wish | more, headers=own)).status_code == 409, more
    made = (await house.client.post("/v1/api-keys", json=wish, headers=own)).raise_for_status().json()
    key, path = bearer(made["key"]), f"/v1/api-keys/{made['key_id']}/revoke"
    assert (await house.client.get("/v1/discrepancies", headers=key)).status_code == 200
    listed = (await house.client.get("/v1/api-keys", headers=own)).json()["api_keys"]
    assert [key["key_id"] for key in listed if key["last_used_at"]] == [made["key_id"]]
    assert made["key"] not in str(listed)
    assert (await house.client.get("/v1/api-keys", headers=bearer("key-green"))).json() == {"api_keys": []}
    assert (await house.client.post(path, headers=bearer("key-green"))).status_code == 404
    assert (await house.client.post(path, headers=own)).status_code == 200
    assert (await house.client.get("/v1/discrepancies", headers=key)).status_code == 401
    kept = await owner.fetchval("select string_agg(k::text, ' ') from reporting.api_key k")
    assert made["key"].removeprefix("danbao_") not in kept


async def test_a_key_ends_with_its_time(house: House, owner: asyncpg.Connection) -> None:
    made = (await house.client.post("/v1/api-keys", json={"name": "n", "role": "national"})).json()
    assert (await house.client.get("/v1/looks", headers=bearer(made["key"]))).status_code == 200
    await owner.execute("update reporting.api_key set ends_at = clock_timestamp() where key_id = $1", made["key_id"])
    assert (await house.client.get("/v1/looks", headers=bearer(made["key"]))).status_code == 401


async def test_a_workers_link_opens_receipts_and_nothing_else(house: House) -> None:
    body = {"worker_id": WORKER, "days": 3}
    assert (await house.client.post("/v1/worker-links", json=body, headers=bearer("key-44"))).status_code == 403
    link = (await house.client.post("/v1/worker-links", json=body, headers=bearer("key-blue"))).json()
    async with browser(house) as client:
        assert (await client.get("/w/danbao_made-up")).status_code == 404
        opened = await open_link(client, link["path"])
        assert (opened.status_code, opened.headers["location"]) == (303, "/my-receipts")
        params = {"worker": WORKER, "at": "2026-10-03T12:00:00+08:00"}
        assert (await client.get("/v1/order-receipts", params=params)).json() == {"orders": []}
        assert (await client.get("/v1/discrepancies")).status_code == 403
        (entry,) = (await house.client.get("/v1/looks?limit=1", headers=bearer("key-national"))).json()["looks"]
        assert (entry["role"], entry["scope"], entry["what"]) == ("worker", f"{WORKER}:{BLUE}", "order_receipt")
        assert entry["subject"].startswith(f"worker {WORKER} at ")
        as_a_key = {"Authorization": f"Bearer {link['link'].rpartition('/')[2]}"}
        assert (await client.get("/v1/order-receipts", params=params, headers=as_a_key)).status_code == 401
        await house.client.post(f"/v1/api-keys/{link['key_id']}/revoke")
        assert (await client.get("/v1/order-receipts", params=params)).status_code == 401
        assert (await client.get(link["link"])).status_code == 404


def test_a_worker_sees_the_orders_of_its_link() -> None:
    everywhere, at_blue = Viewer("w", Role.WORKER, WORKER), Viewer("w", Role.WORKER, f"{WORKER}:{BLUE}")
    assert everywhere.sees("44", GREEN, WORKER)
    assert at_blue.sees("44", BLUE, WORKER)
    assert not at_blue.sees("44", GREEN, WORKER)
    assert not everywhere.sees("44", GREEN, "cd" * 32)
    assert not everywhere.sees("44", GREEN)
