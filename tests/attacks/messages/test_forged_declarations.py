"""Somebody declares an enterprise's day in its place: nothing of it is taken, and the other events are charged."""

from datetime import date

from services.charging.cut import Batches
from services.charging.numbers.day_declarations import holding, read_declared
from services.charging.numbers.number_findings import series_findings
from tests.integration.charging.charging_harness import OTHER_RIDES, RIDES, House, Sent, accepted, reported
from tests.support.signed_declarations import FIRST_KEY, NEXT_KEY, data_of, sent, signature_of, signed

DAY, NEXT_DAY = "2027-01-02", "2027-01-03"
CHARGED, RECORDED = {("charged", None): 1}, {("recorded", "declaration"): 1}


async def held(house: House) -> dict[str, str]:
    """The manifest that holds, by day."""
    async with house.pool.acquire() as connection:
        declared = holding(await read_declared(connection, None, Batches([])))
    return {str(day): declaration.reported.declaration_id for (_, day), declaration in declared.items()}


async def parked(house: House, *forged: Sent) -> set[str | None]:
    """Charge them with an order; the reasons for which they are parked. The order is charged."""
    one = await house.worker()
    ends = reported(await one.charge(*forged, accepted(f"o{len(house.workers)}", sequence=len(house.workers))))
    assert ends.pop(("charged", None)) == 1
    assert {outcome for outcome, _ in ends} == {"parked"}, ends
    assert sum(ends.values()) == len(forged)
    return {reason for _, reason in ends}


async def test_an_unsigned_manifest_on_a_victims_topic_is_parked(house: House) -> None:
    assert await parked(house, sent("f1", data_of("f1", DAY))) == {"unsigned"}
    assert await parked(house, sent("f2", data_of("f2", DAY), 9, "not a signature")) == {"unsigned"}
    assert await held(house) == {}


async def test_a_strangers_key_and_an_ended_one_are_parked(house: House) -> None:
    data = data_of("f1", DAY)
    strange = sent("f1", data, 1, signature_of(DAY, 1, data, "stranger.example"))
    assert await parked(house, strange, signed("f2", "2027-07-01", key=FIRST_KEY)) == {"wrong_author"}
    assert await parked(house, signed("f3", "2027-05-31", key=NEXT_KEY)) == {"wrong_author"}, "a key that begins later"
    assert await held(house) == {}


async def test_a_signature_is_good_for_its_own_manifest_only(house: House) -> None:
    """Not for another day, another revision, other bytes, nor for another enterprise."""
    data, other = data_of("d1", DAY), data_of("d1", NEXT_DAY)
    good = signature_of(DAY, 1, data)
    forged = [
        sent("d1", other, 1, good),
        sent("d1", data, 2, good),
        sent("d1", data.replace(b'"orders": 1', b'"orders": 0'), 1, good),
        sent("d1", data.replace(b": 9", b":  9"), 1, good),
        sent("d1", data, 1, signature_of(DAY, 1, data, uscc=OTHER_RIDES)),
    ]
    assert await parked(house, *forged) == {"wrong_author"}
    one = await house.worker()
    assert reported(await one.charge(sent("d1", data, 1, good))) == RECORDED, "what was refused takes no id"


async def test_an_older_revision_that_is_replayed_changes_nothing(house: House) -> None:
    one = await house.worker()
    old, new = signed("d1", DAY, 1, orders=1), signed("d2", DAY, 2, orders=5)
    await one.charge(old)
    await one.charge(new)
    assert await held(house) == {DAY: "d2"}
    assert reported(await one.charge(old)) == {("repeat", None): 1}
    assert await held(house) == {DAY: "d2"}


async def test_an_older_revision_that_was_held_back_does_not_hold_and_is_a_finding(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"), signed("d2", DAY, 2, orders=5))
    await house.close("2027-01-01")
    await one.charge(signed("d1", DAY, 1, orders=1))
    await house.close(DAY)
    assert await held(house) == {DAY: "d2"}
    async with house.pool.acquire() as connection:
        findings = await series_findings(connection, date.fromisoformat(DAY))
    (changed,) = [finding for finding in findings if finding.kind == "manifest_changed"]
    assert changed.detail.endswith("and does not hold: revision 2 was there before it")


async def test_one_id_with_another_revision_is_a_conflict(house: House) -> None:
    one, data = await house.worker(), data_of("d1", DAY)
    await one.charge(signed("d1", DAY, 1))
    assert reported(await one.charge(sent("d1", data, 2, signature_of(DAY, 2, data)))) == {("conflict", None): 1}


async def test_before_the_key_and_without_one_all_is_as_it_was(house: House) -> None:
    one = await house.worker()
    early = sent("e1", data_of("e1", "2026-12-31"))
    other = sent("x1", data_of("x1", DAY), uscc=OTHER_RIDES)
    odd = sent("x2", data_of("x2", DAY), 7, "some words", uscc=OTHER_RIDES)
    assert reported(await one.charge(early, other, odd)) == {("recorded", "declaration"): 3}
    assert await house.value("select count(*) from charging.declaration where signature is not null") == 0


async def test_in_the_overlap_both_keys_sign(house: House) -> None:
    one, day = await house.worker(), "2027-06-15"
    both = [signed("k1", day, 1, key=FIRST_KEY), signed("k2", day, 2, key=NEXT_KEY)]
    assert reported(await one.charge(*both)) == {("recorded", "declaration"): 2}
    assert await held(house) == {day: "k2"}
    kept = await house.fetch("select signed_data from charging.declaration order by declaration_id")
    assert [data for (data,) in kept] == [data_of("k1", day), data_of("k2", day)], "the very bytes are kept"
    assert {row.uscc for row in both} == {RIDES}
