"""Repeats, conflicts, order of arrival: where each event ends, and that the sum of outcomes (I2) comes out."""

from datetime import timedelta
from typing import Any

import pytest

from services.charging.rows.row_kinds import EXCLUSION_REASONS
from services.charging.store.batch_writer import write_batch
from shared.contracts.manifests import Outcome
from tests.contract.test_decode import BYTES, CONTENT, SHAPE
from tests.integration.charging.charging_harness import (
    BEIJING,
    CLUSTER,
    FREIGHT,
    NOON,
    OTHER_RIDES,
    House,
    Sent,
    Worker,
    accepted,
    cancelled,
    completed,
    declared,
    moves_of,
    reported,
    worker,
)


@pytest.mark.parametrize("use_copy", [True, False])
async def test_a_repeat_is_counted_once_at_once_in_one_batch_and_after_days(house: House, use_copy: bool) -> None:
    one = await house.worker()
    order = accepted("o1")
    assert reported(await one.charge(order, order, use_copy=use_copy)) == {("charged", None): 1, ("repeat", None): 1}
    assert reported(await one.charge(order, accepted("o2"), use_copy=use_copy)) == {
        ("charged", None): 1,
        ("repeat", None): 1,
    }
    much_later = Sent(order.value, NOON + timedelta(days=9))
    assert reported(await one.charge(much_later, use_copy=use_copy)) == {("repeat", None): 1}
    assert await house.value("select count(*) from charging.entry") == 2
    assert await house.value("select sum(premium) from charging.entry") == 200


async def test_a_repeat_that_was_looked_for_is_found_before_anything_is_written(house: House) -> None:
    """A worker that read the order before queries its key, and stays on the COPY path."""
    one, first, second = await house.worker(), accepted("o1"), accepted("o2", NOON + timedelta(minutes=1))
    late, third = accepted("o0", NOON - timedelta(hours=1)), accepted("o3", NOON + timedelta(minutes=2))
    assert not await is_surprised(one, first, second, first)
    assert not await is_surprised(one, third, first, late, accepted("o2", NOON + timedelta(minutes=1), sequence=9))
    two, fourth = await house.worker(), accepted("o4", NOON + timedelta(minutes=3))
    assert await is_surprised(two, fourth, third)
    assert not await is_surprised(two, fourth, third)
    stored = await house.fetch("select order_id from charging.entry order by accepted_at")
    assert stored == [("o0",), ("o1",), ("o2",), ("o3",), ("o4",)]


async def is_surprised(one: Worker, *sent: Sent) -> bool:
    """Charge one batch, COPY first, and say whether it met a stored key that it had not queried."""
    records = await one.house.place(sent)
    batch = one.reader.read(records, one.run.next_batch())
    await one.partitions.ensure(batch.days)
    async with one.house.pool.acquire() as connection:
        written = await write_batch(connection, CLUSTER, one.run, batch, moves_of(records), use_copy=True)
    return written.has_collision


async def test_series_sequence_envelope_and_offset_of_the_clock_do_not_make_another_content(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o1", sequence=7))
    in_utc = accepted("o1", NOON - timedelta(hours=8), accepted_at="2026-10-03T04:00:00Z", series="b", sequence=8)
    renamed = Sent((in_utc.value or b"").replace(b'"accepted o1"', b'"again"'), NOON)
    assert reported(await one.charge(renamed)) == {("repeat", None): 1}
    assert await house.fetch("select series, sequence from charging.entry") == [("main", 7)]


@pytest.mark.parametrize(
    "other",
    [
        {"acceptance_region": BEIJING},
        {"industry": "instant_delivery"},
        {"token_key": 2},
        {"agency_uscc": OTHER_RIDES},
        {"employer_insurance_no": "A-1"},
        {"worker_id": worker(1, 1)},
    ],
    ids=lambda other: next(iter(other)),
)
@pytest.mark.parametrize("use_copy", [True, False])
async def test_other_content_under_one_key_is_a_conflict_kept_with_its_bytes(
    house: House, other: dict[str, Any], use_copy: bool
) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"))
    second = accepted("o1", **other)
    assert reported(await one.charge(second, use_copy=use_copy)) == {("conflict", None): 1}
    kept = await house.fetch("select order_id, kind, record_offset, accepted_at from charging.conflict")
    assert kept == [("o1", 1, 1, NOON)]
    assert [record.value for record in (await house.kept("conflict")).values()] == [second.value]
    assert await house.value("select count(*) from charging.entry") == 1


async def test_another_end_or_reason_of_an_ended_order_is_a_conflict(house: House) -> None:
    one = await house.worker()
    await one.charge(completed("o1", seconds=60), cancelled("o2"), cancelled("o3"))
    sent = [completed("o1", seconds=61), cancelled("o2", reason="worker"), cancelled("o3", departed=True)]
    assert reported(await one.charge(*sent)) == {("conflict", None): 3}
    assert reported(await one.charge(completed("o1", seconds=60), cancelled("o2"))) == {("repeat", None): 2}


async def test_within_a_batch_the_lower_offset_comes_first(house: House) -> None:
    one = await house.worker()
    first, second = accepted("o1"), accepted("o1", acceptance_region=BEIJING)
    manifest = await one.charge(accepted("o0"), first, second, first)
    assert reported(manifest) == {("charged", None): 2, ("conflict", None): 1, ("repeat", None): 1}
    assert await house.fetch("select region, leaf_index from charging.entry where order_id = 'o1'") == [(440106, 1)]


async def test_two_workers_on_one_order_are_two_charges(house: House) -> None:
    one = await house.worker()
    manifest = await one.charge(accepted("o1"), accepted("o1", worker_id=worker(2)))
    assert reported(manifest) == {("charged", None): 2}


async def test_the_end_of_an_order_may_come_before_its_acceptance(house: House) -> None:
    one = await house.worker()
    assert reported(await one.charge(completed("o1"), cancelled("o2"))) == {
        ("recorded", "completion"): 1,
        ("recorded", "cancellation"): 1,
    }
    assert reported(await one.charge(accepted("o1"), accepted("o2"))) == {("charged", None): 2}
    assert await one.settle() == 1


async def test_exclusions_name_their_reason_and_cost_nothing(house: House) -> None:
    one = await house.worker()
    before_the_pilot = NOON.replace(year=2025, month=6)
    manifest = await one.charge(
        accepted("o1", industry="intracity_freight"),
        accepted("o2", employer_insurance_no="GS-1"),
        accepted("o3", before_the_pilot, acceptance_region="130102"),
        accepted("o4", uscc=FREIGHT, industry="intracity_freight"),
    )
    assert reported(manifest) == {
        ("charged", None): 1,
        ("excluded", "enterprise_not_enrolled"): 1,
        ("excluded", "insured_as_employee"): 1,
        ("excluded", "province_not_in_pilot"): 1,
    }
    assert {t.reason for t in manifest.totals if t.outcome is Outcome.EXCLUDED} == set(EXCLUSION_REASONS[1:])
    assert [t.premium for t in manifest.totals if t.outcome is Outcome.EXCLUDED] == [0, 0, 0]
    assert await house.fetch("select premium, reason from charging.entry where premium <> 0") == [(1800, 0)]


async def test_a_declaration_is_recorded_once_and_another_under_its_id_is_a_conflict(house: House) -> None:
    one = await house.worker()
    assert reported(await one.charge(declared("d1"), declared("d1"))) == {
        ("recorded", "declaration"): 1,
        ("repeat", None): 1,
    }
    other = declared("d1", orders=2)
    assert reported(await one.charge(declared("d1"), other)) == {("repeat", None): 1, ("conflict", None): 1}
    assert [record.value for record in (await house.kept("conflict")).values()] == [other.value]
    assert await house.value("select count(*) from charging.declaration") == 1


async def test_every_event_of_a_mixed_batch_is_in_exactly_one_total(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"))
    sent = [
        accepted("o1"), accepted("o1", token_key=2), accepted("o2"), completed("o2"), cancelled("o3"),
        declared("d1"), Sent(b"nonsense"), Sent(None), accepted("o4", employer_insurance_no="1"),
        accepted("o5", uscc=FREIGHT, industry="intracity_freight"),
    ]  # fmt: skip
    manifest = await one.charge(*sent)
    assert sum(total.orders for total in manifest.totals) == len(sent)
    assert await house.value("select sum(events) from charging.manifest") == 1 + len(sent)
    assert await house.value("select sum(events) from charging.position") == 1 + len(sent)
    assert manifest.leaves == len(sent) - 1, "a repeat leaves no leaf"


@pytest.mark.parametrize("use_copy", [True, False])
async def test_all_bad_input_in_one_batch_is_kept_byte_for_byte(house: House, use_copy: bool) -> None:
    one = await house.worker()
    odd: list[tuple[str, bytes | None]] = [("a\0b", b"\0\xff"), ("twice", None), ("twice", b"1")]
    bad = [Sent(value, headers=odd, key=None) for value, _ in {**BYTES, **SHAPE}.values()]
    bad += [sent for sent, reason in CONTENT.values() if reason]
    sent = [accepted("first"), *bad, accepted("last")]
    placed = await house.place(sent)
    manifest = await one.take(placed, use_copy=use_copy)
    assert sum(total.orders for total in manifest.totals) == len(sent) == manifest.leaves
    assert reported(manifest)[("charged", None)] == 2
    times = {(topic, offset): time for topic, offset, time in await house.fetch(
        "select topic, record_offset, record_time_ms from charging.parked")}  # fmt: skip
    kept = await house.kept("parked")
    originals = {(record.topic, record.offset): record for record in placed}
    assert len(kept) == len(bad)
    for place, record in kept.items():
        was = originals[place]
        assert (record.value, record.key, times[place]) == (was.value, was.key, was.timestamp)
        assert record.headers in ([tuple(header) for header in was.headers], [])
    assert next(record.headers for record in kept.values() if record.headers) == odd
    assert await house.value("select count(*) from charging.parked where headers <> '[]'") == 0, "none is a known one"
