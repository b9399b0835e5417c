"""Leaves and roots from what is stored: a third party computes the root of every manifest from the columns alone."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from shared.contracts.manifests import PremiumsCharged
from shared.domain.evidence.leaf import NO_INT64, RowKind, declaration_leaf, kept_leaf, order_leaf
from shared.domain.evidence.merkle import leaf_hash, root
from tests.integration.charging.charging_harness import (
    BEIJING,
    FREIGHT,
    NOON,
    OTHER_RIDES,
    House,
    Sent,
    accepted,
    cancelled,
    completed,
    declared,
    worker,
)

EPOCH_US = "(extract(epoch from {0}) * 1000000)::bigint"
ORDERS = f"""select leaf_index, kind, e.uscc, {EPOCH_US.format("accepted_at")} as accepted,
    {EPOCH_US.format("ended_at")} as ended, sequence, premium, region, tariff_line, token_key, industry, reason,
    departed, int8send(worker_key) || worker_rest as worker, received, order_id, series, agency_uscc,
    employer_insurance_no
    from charging.entry join charging.enterprise e on e.id = enterprise where batch = $1"""


async def stored_leaves(house: House, batch: int) -> list[bytes]:
    """The leaf hashes of a batch in the order of leaf_index, from its rows of every kind."""
    leaves = {row["leaf_index"]: order_content(row) for row in await house.pool.fetch(ORDERS, batch)}
    for kind, table, reason in ((RowKind.PARKED, "parked", "reason"), (RowKind.CONFLICT, "conflict", "'conflict'")):
        sql = f"""select leaf_index, topic, partition, record_offset, record_time_ms, {reason},
            received from charging.{table} where batch = $1"""
        leaves |= {index: kept_leaf(kind, *columns) for index, *columns in await house.fetch(sql, batch)}
    sql = """select leaf_index, e.uscc, declaration_id, declared_day, received, sha256(body)
        from charging.declaration join charging.enterprise e on e.id = enterprise where batch = $1"""
    for index, uscc, name, day, received, body in await house.fetch(sql, batch):
        leaves[index] = declaration_leaf(uscc.encode(), name, day.toordinal(), received, body)
    return [leaf_hash(leaves[index]) for index in sorted(leaves)]


def order_content(row: Any) -> bytes:
    def text(name: str) -> bytes | None:
        return None if row[name] is None else row[name].encode()

    return order_leaf(
        row["kind"], row["uscc"].encode(), row["accepted"], NO_INT64 if row["ended"] is None else row["ended"],
        NO_INT64 if row["sequence"] is None else row["sequence"], row["premium"], row["region"], row["tariff_line"],
        row["token_key"], row["industry"], row["reason"], -1 if row["departed"] is None else int(row["departed"]),
        row["worker"], row["received"], row["order_id"].encode(), text("series"), text("agency_uscc"),
        text("employer_insurance_no"),
    )  # fmt: skip


async def assert_evidence(house: House, manifest: PremiumsCharged) -> None:
    batch = await house.value(
        "select batch from charging.manifest join charging.run on id = run_id where run = $1 and number = $2",
        manifest.run,
        manifest.number,
    )
    leaves = await stored_leaves(house, batch)
    assert (len(leaves), root(leaves).hex()) == (manifest.leaves, manifest.root)
    stored = "select leaves, encode(root, 'hex') from charging.manifest where batch = $1"
    assert await house.fetch(stored, batch) == [(manifest.leaves, manifest.root)]


def of_every_kind(prefix: str) -> list[Sent]:
    """One event for every way to end but repeat and conflict."""
    return [
        accepted(f"{prefix}1", series="seria-1_x", sequence=2**53 - 1, worker_id="f" * 64, agency_uscc=OTHER_RIDES),
        accepted(f"{prefix}2", employer_insurance_no="GS-17", worker_id=worker(2**63 + 5, 2**191)),
        accepted(f"{prefix}3", NOON + timedelta(microseconds=999_999), industry="intracity_freight"),
        accepted(f"{prefix}4", uscc=FREIGHT, industry="intracity_freight", acceptance_region=BEIJING),
        completed(f"{prefix}1", seconds=0.000001),
        cancelled(f"{prefix}5", departed=True, reason="other"),
        cancelled(f"{prefix}6", agency_uscc=OTHER_RIDES, employer_insurance_no="X"),
        declared(f"{prefix}d"),
        Sent(b"{"), Sent(None), Sent(b"x" * 70_000, time_ms=-5), accepted(f"{prefix}9", uscc="91000000FAKE00999X"),
    ]  # fmt: skip


@pytest.mark.parametrize("use_copy", [True, False], ids=["fast", "general"])
async def test_the_root_of_a_batch_follows_from_its_rows(house: House, use_copy: bool) -> None:
    one = await house.worker()
    await assert_evidence(house, await one.charge(*of_every_kind("a"), use_copy=use_copy))


@pytest.mark.parametrize("use_copy", [True, False], ids=["fast", "general"])
async def test_the_root_of_a_batch_with_repeats_and_conflicts_follows_from_its_rows(
    house: House, use_copy: bool
) -> None:
    one = await house.worker()
    await one.charge(*of_every_kind("a"))
    again = [accepted("a1", token_key=9), declared("ad", orders=5), cancelled("a5", reason="worker")]
    manifest = await one.charge(*of_every_kind("a"), *again, *of_every_kind("b"), use_copy=use_copy)
    await assert_evidence(house, manifest)


async def test_a_batch_of_repeats_alone_has_the_root_of_nothing(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("a1"))
    manifest = await one.charge(accepted("a1"))
    assert (manifest.leaves, manifest.root) == (0, root([]).hex())
    await assert_evidence(house, manifest)


async def test_the_root_of_a_settlement_follows_from_its_rows(house: House) -> None:
    one = await house.worker()
    await one.charge(
        *(accepted(f"o{n}", worker_id=worker(n), agency_uscc=OTHER_RIDES if n % 2 else None) for n in range(7)),
        *(cancelled(f"o{n}", worker_id=worker(n), agency_uscc=OTHER_RIDES if n % 2 else None) for n in range(7)),
    )
    assert await one.settle() == 7
    payload = await house.value("select payload from charging.manifest join charging.run on id = run_id"
                                " where purpose = 'settlement'")  # fmt: skip
    await assert_evidence(house, msgspec.json.decode(payload, type=PremiumsCharged))


async def test_the_root_of_a_close_follows_from_its_rows(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"), accepted("o1", NOON + timedelta(minutes=5)), accepted("o2"), cancelled("o2"))
    counted = await house.close("2026-10-03")
    assert counted.settlement is not None
    assert counted.settlement.leaves == 2
    await assert_evidence(house, counted.settlement)
